"""hh.ru's errors: a test per row of the table, and the responses that are not JSON at all."""

import json
import re

import pytest

from ullgetthejob.hh import error_rules, errors
from ullgetthejob.hh.error_parsing import Received, parse, parse_resume, parse_token


def received(status, body=None, *, html=None, **headers):
    if html is not None:
        return Received(status, {"content-type": "text/html", **headers}, html.encode())
    content = b"" if body is None else json.dumps(body).encode()
    return Received(status, {"content-type": "application/json", **headers}, content)


def example_of(rule):
    """Return a response of hh.ru that only this row matches."""
    entry = {name: getattr(rule, name) for name in ("type", "value") if getattr(rule, name)}
    if rule.status:
        return received(rule.status, {"request_id": "1"})
    return received(403, {"errors": [entry], "request_id": "1"})


@pytest.mark.parametrize(
    "rule", error_rules.RULES, ids=lambda rule: str(rule.value or rule.type or rule.status)
)
def test_row_raises_its_error_with_its_message(rule):
    with pytest.raises(rule.error) as raised:
        parse(example_of(rule))
    if rule.error is not errors.HHBadArgument:
        assert raised.value.message == rule.message


NOISES = {
    "as it is": lambda text: text,
    "stray spaces": lambda text: f"  {text.replace(' ', '   ')}\n",
    "capitals": str.upper,
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize(
    "rule",
    error_rules.TOKEN_RULES,
    ids=lambda rule: f"{rule.grant or 'any'}: {rule.description or rule.oauth_error}",
)
def test_token_row_raises_its_error(rule, noise):
    answer = {
        "error": noise(rule.oauth_error),
        "error_description": noise(rule.description or "an unknown text"),
    }
    for grant in (
        (rule.grant,)
        if rule.grant
        else (error_rules.CODE, error_rules.REFRESH, error_rules.APPLICATION)
    ):
        with pytest.raises(rule.error) as raised:
            parse_token(received(400, answer), grant)
        assert raised.value.message == rule.message
        assert getattr(raised.value, "reason", None) == rule.reason
        assert not raised.value.may_have_acted


def test_token_rows_have_advice_and_reason():
    for rule in error_rules.TOKEN_RULES:
        if rule.error is errors.HHRefreshRefused:
            assert "log in" in rule.message
        if rule.error in (errors.HHRefreshRefused, errors.HHLoginRefused):
            assert rule.reason
            assert re.fullmatch("[a-z_]+", rule.reason)


def test_documented_token_errors_are_in_the_table():
    known = {(rule.oauth_error, rule.description) for rule in error_rules.TOKEN_RULES}
    for error, texts in {
        "invalid_request": "account not found, account is locked, password invalidated, "
        "login not verified, bad redirect url, token is empty, token not found, code not found",
        "invalid_client": "client_id or client_secret not found",
        "invalid_grant": "token has already been refreshed, token not expired, token was revoked, "
        "bad token, code has already been used, code expired, code was revoke, token deactivated",
        "unsupported_grant_type": "unsupported grant_type",
        "forbidden": "app token refresh too early",
    }.items():
        assert {(error, text) for text in texts.split(", ")} <= known


def test_token_error_depends_on_the_grant():
    locked = received(400, {"error": "invalid_request", "error_description": "account is locked"})
    with pytest.raises(errors.HHLoginRefused):
        parse_token(locked, error_rules.CODE)
    with pytest.raises(errors.HHRefreshRefused):
        parse_token(locked, error_rules.REFRESH)


@pytest.mark.parametrize("grant", [error_rules.CODE, error_rules.REFRESH])
@pytest.mark.parametrize(
    "answer",
    [
        received(400, {"error": "invalid_request", "error_description": "x"}),
        received(400, {"error": "temporarily_unavailable"}),
        received(400, {"error": ["invalid_grant"]}),
        received(400, ["invalid_grant"]),
        received(400, {}),
        received(401, {"error": "x"}),
        received(404, {"errors": [{"type": "not_found"}]}),
        received(403, {"errors": [{"type": "oauth", "value": "bad_authorization"}]}),
    ],
    ids=lambda answer: answer.body.decode(),
)
def test_unknown_token_error_invalidates_no_token(answer, grant):
    with pytest.raises(errors.HHMisconfigured) as raised:
        parse_token(answer, grant)
    assert not raised.value.may_have_acted


@pytest.mark.parametrize(
    ("answer", "kind", "may_have_acted"),
    [
        (received(500, {"error": "invalid_grant"}), errors.HHUnavailable, True),
        (received(502, html="<h1>Bad Gateway</h1>"), errors.HHUnavailable, True),
        (Received(200, {}, b'{"access_token": "US'), errors.HHUnavailable, True),
        (received(429, {"error": "x"}), errors.HHBusy, False),
        (received(429, {"errors": [{"type": "too_many_requests"}]}), errors.HHBusy, False),
        (received(403, {"error": "forbidden"}), errors.HHForbidden, False),
        (received(403, html="<title>DDoS-Guard</title>"), errors.HHRegionBlocked, False),
        (
            received(400, {"errors": [{"type": "bad_user_agent", "value": "unset"}]}),
            errors.HHMisconfigured,
            False,
        ),
    ],
)
def test_token_endpoint_failures_follow_the_general_table(answer, kind, may_have_acted):
    with pytest.raises(kind) as raised:
        parse_token(answer, error_rules.REFRESH)
    assert raised.value.may_have_acted is may_have_acted


def test_field_name_with_stray_spaces_is_read():
    answer = {"error ": "invalid_grant", " error_description": "token not expired"}
    with pytest.raises(errors.HHTokenNotExpired):
        parse_token(received(400, answer), error_rules.REFRESH)


def test_token_pair_is_returned_as_content():
    pair = {"access_token": "USERa", "refresh_token": "USERr", "expires_in": 5}
    assert parse_token(received(200, pair), error_rules.CODE) == pair


def test_reason_of_a_refused_token_is_a_known_value():
    for entry, reason in (
        ({"type": "oauth", "value": "token_expired"}, "token_expired"),
        ({"type": "oauth"}, None),
        ({"type": "oauth", "value": "Some text of hh.ru's"}, None),
        ({"type": "oauth", "value": ["x"]}, None),
    ):
        with pytest.raises(errors.HHTokenRefused) as raised:
            parse(received(403, {"errors": [entry]}))
        assert raised.value.reason == reason
    with pytest.raises(errors.HHTokenRefused) as raised:
        parse(received(401, {}))
    assert raised.value.reason is None


def test_value_precedes_type_and_type_precedes_status():
    revoked = {"errors": [{"type": "oauth", "value": "token_revoked"}]}
    with pytest.raises(errors.HHTokenRefused):
        parse(received(403, revoked))
    with pytest.raises(errors.HHCaptcha):
        parse(received(403, {"errors": [{"type": "captcha_required"}]}))
    with pytest.raises(errors.HHForbidden):
        parse(received(403, {"errors": [{"type": "never_heard_of"}]}))


def test_most_specific_of_several_errors_wins():
    both = {"errors": [{"type": "forbidden"}, {"type": "oauth", "value": "token_expired"}]}
    with pytest.raises(errors.HHTokenRefused):
        parse(received(403, both))


def test_200_with_errors_is_a_failure_of_the_field():
    answer = {"errors": [{"type": "bad_argument", "value": "employment"}]}
    with pytest.raises(errors.HHBadArgument) as raised:
        parse(received(200, answer))
    assert raised.value.details["fields"][0]["field"] == "employment"


@pytest.mark.parametrize("errors_", [{"type": "x"}, "bad", ["text"], [None], [{}]])
def test_errors_of_any_shape_are_unavailable(errors_):
    with pytest.raises(errors.HHUnavailable):
        parse(received(200, {"errors": errors_, "items": [], "found": 0}))


def test_captcha_keeps_the_link():
    entry = {"type": "captcha_required", "captcha_url": "https://hh.ru/account/captcha?state=1"}
    with pytest.raises(errors.HHCaptcha) as raised:
        parse(received(403, {"errors": [entry]}))
    assert raised.value.captcha_url == entry["captcha_url"]
    assert raised.value.link("https://app.example/a?b=1") == (
        "https://hh.ru/account/captcha?state=1&backurl=https%3A%2F%2Fapp.example%2Fa%3Fb%3D1"
    )


@pytest.mark.parametrize(
    ("entry", "link"),
    [
        ({"fallback_url": "https://hh.ru/search?a=1"}, "https://hh.ru/search?a=1"),
        (
            {"captcha_url": "https://hh.ru/c", "fallback_url": "https://hh.ru/s"},
            "https://hh.ru/c?backurl=a%3A%2F%2Fb",
        ),
        ({"captcha_url": None, "fallback_url": None}, None),
        ({"captcha_url": "javascript:alert(1)"}, None),
        ({"captcha_url": 5}, None),
    ],
)
def test_captcha_link_carries_the_back_url(entry, link):
    with pytest.raises(errors.HHCaptcha) as raised:
        parse(received(403, {"errors": [{"type": "captcha_required", **entry}]}))
    assert raised.value.link("a://b") == link


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
def test_response_of_the_edge_is_a_blocked_region(answer):
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
def test_unreadable_response_is_unavailable(answer):
    with pytest.raises(errors.HHUnavailable):
        parse(answer)


def test_good_response_is_returned_as_content():
    assert parse(received(200, {"items": []})) == {"items": []}
    assert parse(received(200, [{"id": "113"}])) == [{"id": "113"}]
    assert parse(received(304)) is None
    assert parse(Received(201, {"content-type": "text/html"}, b"")) is None


def test_hh_ru_text_is_not_in_the_error():
    secret = "hh-internal-detail"
    for status in (400, 401, 403, 404, 429, 500):
        body = {"errors": [{"type": "x", "reason": secret}], "description": secret}
        with pytest.raises(errors.HHError) as raised:
            parse(received(status, body))
        assert secret not in str(raised.value.__dict__)


def test_nul_is_dropped_but_an_escaped_backslash_kept():
    assert parse(received(200, {"a": "x\0y"})) == {"a": "xy"}
    assert parse(received(200, {"a": "x\\u0000y"})) == {"a": "x\\u0000y"}


# ── resumes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "rule",
    error_rules.RESUME_RULES,
    ids=lambda rule: str(rule.wrong or rule.value or rule.type or rule.status),
)
def test_resume_row_raises_its_refusal(rule):
    entry = {"type": rule.type, "value": rule.value or "experience", "reason": rule.wrong or "x"}
    body = {"errors": [entry]} if rule.type else None
    with pytest.raises(errors.HHResumeRefused) as raised:
        parse_resume(received(rule.status or 400, body))
    refused = raised.value
    assert (refused.reason, refused.action, refused.message) == (
        rule.reason,
        rule.action,
        rule.message,
    )
    assert not refused.may_have_acted


def test_resume_published_too_early_is_not_busy():
    entry = {"type": "resumes", "value": "touch_limit_exceeded"}
    with pytest.raises(errors.HHResumeRefused) as raised:
        parse_resume(received(429, {"errors": [entry]}))
    assert raised.value.action is errors.Action.GO_ON
    with pytest.raises(errors.HHBusy):
        parse_resume(received(429, {"errors": [{"type": "too_many_requests"}]}))


def test_refused_resume_names_fields_but_no_hh_ru_text():
    entries = [
        {"type": "bad_json_data", "value": "skills", "reason": "required", "description": "Secret"},
        {"type": "bad_json_data", "value": "title", "reason": "not_match_regexp"},
        {"type": "bad_json_data", "value": "Secret text", "reason": "required"},
        {"type": "bad_json_data"},
    ]
    with pytest.raises(errors.HHResumeRefused) as raised:
        parse_resume(received(400, {"errors": entries}))
    assert (raised.value.reason, raised.value.fields) == ("resume_incomplete", ("skills", "title"))
    assert "Secret" not in str(raised.value.__dict__)


@pytest.mark.parametrize(
    ("answer", "resume_id"),
    [
        (received(201, html="", location="/resumes/0a1b"), "0a1b"),
        (received(201, html="", location="https://api.hh.ru/resumes/0a1b?host=hh.ru"), "0a1b"),
        (received(201, html="", location="/resumes/../me"), None),
        (received(201, html=""), None),
        (received(204), None),
    ],
)
def test_id_of_a_created_or_changed_resume_is_returned(answer, resume_id):
    assert parse_resume(answer) == resume_id


@pytest.mark.parametrize(
    ("answer", "kind", "may_have_acted"),
    [
        (received(502, {"errors": [{"type": "bad_request"}]}), errors.HHUnavailable, True),
        (received(200, {"id": "0a"}), errors.HHUnavailable, True),
        (received(404, {"errors": [{"type": "not_found"}]}), errors.HHNotFound, False),
        (received(403, html="<title>DDoS-Guard</title>"), errors.HHRegionBlocked, False),
    ],
)
def test_other_resume_errors_follow_the_general_table(answer, kind, may_have_acted):
    with pytest.raises(kind) as raised:
        parse_resume(answer)
    assert raised.value.may_have_acted is may_have_acted
