"""Every method of hh.ru that Core calls, with every way in which hh.ru can refuse it."""

from __future__ import annotations

import httpx
import pytest

from tests.harness.hh_client import Hh, Tokens
from ullgetthejob.hh import error_rules, errors
from ullgetthejob.hh.search_parameters import SearchParameters

CALLS = {
    "POST /negotiations": lambda hh: hh.apply(
        Tokens(), vacancy_id="1", resume_id="ab", letter="a letter"
    ),
    "GET /negotiations": lambda hh: hh.negotiations(Tokens()),
    "GET /resumes/mine": lambda hh: hh.resumes(Tokens()),
    "GET /me": lambda hh: hh.me(Tokens()),
    "POST /token": lambda hh: hh.refresh("r1"),
    "GET /vacancies": lambda hh: hh.search(SearchParameters()),
}
UNKNOWN_ENTRY = {"type": "closed_since_yesterday", "value": "for_applications"}
# The values of hh.ru's table of 403s, which apply to all methods but the token endpoint.
VALUES = {rule.value: rule for rule in error_rules.RULES if rule.value and rule.type is None}


def refusal(status, kind):
    if kind == "html":
        return httpx.Response(status, html="<html>Closed</html>")
    if kind == "empty":
        return httpx.Response(status)
    entry = UNKNOWN_ENTRY if kind == "json" else {"type": "oauth", "value": kind}
    return httpx.Response(status, json={"errors": [entry], "request_id": "1"})


def raised_by(method, answer):
    hh = Hh(lambda request: answer)
    with pytest.raises(errors.HHError) as raised:
        CALLS[method](hh.client)
    assert len(hh.requests) <= 2, "once, and once more with a renewed token"
    return raised.value, hh


@pytest.mark.parametrize("kind", ["json", "html", "empty"])
@pytest.mark.parametrize("status", [404, 405, 410, 501])
@pytest.mark.parametrize("method", CALLS)
def test_withdrawn_method_is_forbidden_and_did_not_act(method, status, kind):
    error, hh = raised_by(method, refusal(status, kind))
    assert type(error) is errors.HHForbidden
    assert f"{error.method} {error.path}" == method
    assert error.is_missing
    assert (error.closed_method == "apply") is (method == "POST /negotiations")
    assert not error.may_have_acted
    assert hh.pacer.pauses == [], "other calls are not paused"


@pytest.mark.parametrize("kind", ["json", "empty"])
@pytest.mark.parametrize("method", [name for name in CALLS if name != "POST /token"])
def test_unknown_403_is_forbidden(method, kind):
    error, _ = raised_by(method, refusal(403, kind))
    assert type(error) is errors.HHForbidden
    assert not error.may_have_acted


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("method", [name for name in CALLS if name != "POST /token"])
def test_known_403_follows_the_table(method, value):
    error, _ = raised_by(method, refusal(403, value))
    expected = VALUES[value].error
    if expected is errors.HHTokenRefused and method == "GET /vacancies":
        expected = errors.HHAppTokenMissing  # the application's token, renewed in vain
    assert type(error) is expected
    assert not error.may_have_acted


@pytest.mark.parametrize("kind", ["json", "empty", *VALUES])
def test_403_of_the_token_endpoint_invalidates_no_token(kind):
    error, _ = raised_by("POST /token", refusal(403, kind))
    assert isinstance(error, errors.HHForbidden | errors.HHMisconfigured)
    assert not error.may_have_acted


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("status", "kind"), [(451, "json"), (451, "html"), (451, "empty"), (403, "html"), (200, "html")]
)
def test_refusal_of_the_edge_is_a_blocked_region(method, status, kind):
    error, hh = raised_by(method, refusal(status, kind))
    assert type(error) is errors.HHRegionBlocked
    assert not error.may_have_acted
    # Only a read shows a blocked address; a write may be closed alone.
    paused = [reason for reason, _ in hh.pacer.pauses]
    assert paused == (["region_blocked"] if method.startswith("GET") else [])


@pytest.mark.parametrize("method", CALLS)
def test_empty_200_is_unavailable(method):
    error, _ = raised_by(method, refusal(200, "empty"))
    assert type(error) is errors.HHUnavailable
    assert error.may_have_acted
    assert error.is_lost is (method != "POST /negotiations")


@pytest.mark.parametrize("status", [302, 402, 406, 409, 418, 422])
def test_unknown_refusal_of_an_application_is_handed_off(status):
    error, _ = raised_by("POST /negotiations", refusal(status, "json"))
    assert isinstance(error, errors.HHApplyRefused)
    assert error.action is errors.Action.HAND_OFF


@pytest.mark.parametrize("status", [302, 402, 406, 409, 418, 422])
@pytest.mark.parametrize("method", [name for name in CALLS if name != "POST /negotiations"])
def test_unknown_refusal_did_not_act(method, status):
    error, _ = raised_by(method, refusal(status, "json"))
    assert not error.may_have_acted


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, {"json": {"errors": [{"type": "not_found"}]}}, errors.HHVacancyNotFound),
        (410, {"json": {"errors": [{"type": "not_found"}]}}, errors.HHVacancyNotFound),
        (404, {"html": "<html>404</html>"}, errors.HHForbidden),
        (410, {}, errors.HHForbidden),
        (405, {}, errors.HHForbidden),
        (501, {"html": "<html>501</html>"}, errors.HHForbidden),
    ],
)
def test_vacancy_is_gone_only_by_hh_rus_own_json(status, body, expected):
    hh = Hh(lambda request: httpx.Response(status, **body))
    with pytest.raises(errors.HHError) as raised:
        hh.client.vacancy("1")
    assert type(raised.value) is expected


def test_exchange_limit_pauses_exchanges_alone():
    answer = {"error": "invalid_grant", "error_description": "force exchange limit exceeded"}
    error, hh = raised_by("POST /token", httpx.Response(400, json=answer))
    assert type(error) is errors.HHExchangesLimited
    assert error.retry_after_s == 300
    assert hh.pacer.pauses == [], "other calls go on"
    assert hh.exchange_pacer.pauses == [("exchanges_limited", 300)]
