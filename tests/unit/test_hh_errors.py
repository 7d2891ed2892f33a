"""hh.ru's errors: a test a row of the table, and the answers that are not JSON at all."""

import json

import pytest

from ullgetthejob.hh import errors
from ullgetthejob.hh.errors import Received, parse


def received(status, body=None, *, html=None, **headers):
    if html is not None:
        return Received(status, {"content-type": "text/html", **headers}, html.encode())
    content = b"" if body is None else json.dumps(body).encode()
    return Received(status, {"content-type": "application/json", **headers}, content)


def example_of(rule):
    """An answer of hh.ru's that only this row is made for."""
    entry = {name: getattr(rule, name) for name in ("type", "value") if getattr(rule, name)}
    if rule.status:
        return received(rule.status, {"request_id": "1"})
    return received(403, {"errors": [entry], "request_id": "1"})


@pytest.mark.parametrize("rule", errors.RULES, ids=lambda r: str(r.value or r.type or r.status))
def test_each_row_raises_its_error_with_its_message(rule):
    with pytest.raises(rule.error) as raised:
        parse(example_of(rule))
    if rule.error is not errors.HHBadArgument:
        assert raised.value.message == rule.message


def test_value_wins_over_type_and_type_over_status():
    revoked = {"errors": [{"type": "oauth", "value": "token_revoked"}]}
    with pytest.raises(errors.HHTokenRefused):
        parse(received(403, revoked))
    with pytest.raises(errors.HHCaptcha):
        parse(received(403, {"errors": [{"type": "captcha_required"}]}))
    with pytest.raises(errors.HHForbidden):
        parse(received(403, {"errors": [{"type": "never_heard_of"}]}))


def test_the_most_telling_of_several_errors_wins():
    both = {"errors": [{"type": "forbidden"}, {"type": "oauth", "value": "token_expired"}]}
    with pytest.raises(errors.HHTokenRefused):
        parse(received(403, both))


def test_a_200_that_carries_errors_is_a_failure_naming_the_field():
    answer = {"errors": [{"type": "bad_argument", "value": "employment"}]}
    with pytest.raises(errors.HHBadArgument) as raised:
        parse(received(200, answer))
    assert raised.value.details["fields"][0]["field"] == "employment"


@pytest.mark.parametrize("errors_", [{"type": "x"}, "bad", ["text"], [None], [{}]])
def test_errors_of_any_shape_are_a_failure(errors_):
    with pytest.raises(errors.HHUnavailable):
        parse(received(200, {"errors": errors_, "items": [], "found": 0}))


def test_a_captcha_keeps_the_link_for_the_person():
    entry = {"type": "captcha_required", "captcha_url": "https://hh.ru/account/captcha?state=1"}
    with pytest.raises(errors.HHCaptcha) as raised:
        parse(received(403, {"errors": [entry]}))
    assert raised.value.captcha_url == entry["captcha_url"]


@pytest.mark.parametrize(
    "answer",
    [
        received(403, html="<!DOCTYPE html><title>DDoS-Guard</title>", server="ddos-guard"),
        received(403, html=""),
        received(451, {"errors": [{"type": "forbidden"}]}),
        received(451, html="Unavailable For Legal Reasons"),
        received(200, html="<html><body>vpn check</body></html>"),
        received(200, html=""),
        received(302, html="", location="https://hh.ru/vpncheeck?from=api"),
    ],
    ids=["edge", "empty-edge", "451-json", "451-html", "vpn-check", "empty-vpn-check", "redirect"],
)
def test_the_edge_is_told_from_the_api(answer):
    with pytest.raises(errors.HHRegionBlocked):
        parse(answer)


@pytest.mark.parametrize(
    "answer",
    [
        received(500, {"errors": [{"type": "bad_gateway"}]}),
        received(502, html="<h1>Bad Gateway</h1>"),
        received(503, {}),
        Received(200, {"content-type": "application/json"}, b'{"items": [{"id": "1'),
        Received(200, {"content-type": "application/json"}, b""),
        received(302, html="", location="https://example.org"),
    ],
    ids=["500", "502-html", "503", "truncated", "empty", "redirect"],
)
def test_what_cannot_be_read_is_unavailable(answer):
    with pytest.raises(errors.HHUnavailable):
        parse(answer)


def test_good_answers_are_their_content():
    assert parse(received(200, {"items": []})) == {"items": []}
    assert parse(received(200, [{"id": "113"}])) == [{"id": "113"}]
    assert parse(received(304)) is None
    assert parse(Received(201, {"content-type": "text/html"}, b"")) is None


def test_no_text_of_hh_ru_reaches_the_message():
    secret = "hh-internal-detail"
    for status in (400, 401, 403, 404, 429, 500):
        body = {"errors": [{"type": "x", "reason": secret}], "description": secret}
        with pytest.raises(errors.HHError) as raised:
            parse(received(status, body))
        assert secret not in str(raised.value.__dict__)


def test_nul_is_dropped_and_an_escaped_backslash_is_not_touched():
    assert parse(received(200, {"a": "x\0y"})) == {"a": "xy"}
    assert parse(received(200, {"a": "x\\u0000y"})) == {"a": "x\\u0000y"}
