"""The access state of an account: what hh.ru's answers make of it, and how it ends."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from tests.fixtures.core import LIFE_S
from tests.fixtures.hh_sandbox import REDIRECT_URI
from ullgetthejob.hh.client import HHClient

HOUR = 3600
RESUMES = "GET /resumes/mine"


@pytest.fixture
def anna(core):
    """Anna's session and JWT."""
    return core.log_in("anna")


def resumes(core, jwt):
    return core.call("GET /api/hh/resumes", jwt=jwt, secret=None)


def resume(core, session_id, **options):
    """Go on after a captcha."""
    parameters = {"user_id": session_id}
    return core.call("POST /api/accounts/{user_id}/resume", parameters=parameters, **options)


def moment(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def in_the_way(core, reply, code, session_id):
    """The access state that a refusal tells, which is what the account says too."""
    assert reply.refusal == (409, code)
    assert reply.body["details"]["access"] == core.access(session_id)
    return reply.body["details"]["access"]


# ── before anything stands in the way ────────────────────────────────────────────────────────────


def test_a_connected_account_is_ok(core, anna):
    session_id, jwt = anna
    for options in ({}, {"jwt": jwt}, {"jwt": jwt, "secret": None}):
        account = core.account(session_id, **options)
        assert account["user_id"] == session_id
        assert account["account_id"] == str(core.rows("SELECT id FROM accounts")[0]["id"])
        assert account["connected"] is True
        held = account["access"]
        assert (held["state"], held["action"]) == ("ok", "none")
        assert (held["reason"], held["until"], held["captcha_url"]) == (None, None, None)
        assert core.now() - moment(held["since"]) < timedelta(minutes=1)
    assert core.hits("GET /me") == 0


def test_a_user_without_an_account_is_told_to_connect(core):
    session_id = str(uuid4())
    core.rows(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, 'x@example.org', '!', '2025-01-01', '2025-01-01')",
        session_id,
    )
    account = core.account(session_id)
    assert (account["account_id"], account["connected"]) == (None, False)
    held = account["access"]
    assert (held["state"], held["reason"]) == ("reauth_required", "not_connected")
    assert (held["action"], held["message"]) == ("log_in", "connect hh.ru first")
    assert resume(core, session_id).refusal == (409, "reauth_required")


def test_a_user_whom_nobody_knows_is_not_found(core):
    for session_id, refusal in (
        (str(uuid4()), (404, "user_not_found")),
        ("undefined", (422, "invalid_request")),
    ):
        reply = core.call("GET /api/accounts/{user_id}", parameters={"user_id": session_id})
        assert reply.refusal == refusal
        assert resume(core, session_id).refusal == refusal


# ── closed ───────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_method_is_not_asked_again_for_a_day(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/mode", {"mode": "closed"})
    held = in_the_way(core, resumes(core, jwt), "hh_closed", session_id)
    assert (held["state"], held["action"]) == ("closed", "use_hh")
    assert timedelta(hours=23) < moment(held["until"]) - core.now() <= timedelta(days=1)
    assert core.account(session_id)["connected"] is True
    core.sandbox.advance(23 * HOUR)
    in_the_way(core, resumes(core, jwt), "hh_closed", session_id)
    assert resume(core, session_id).refusal == (409, "hh_closed")
    assert core.hits(RESUMES) == 1


def test_a_closed_method_is_tried_again_a_day_later_and_then_after_twice_as_long(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/mode", {"mode": "closed"})
    resumes(core, jwt)
    for day in (1, 2):
        core.sandbox.advance(day * 24 * HOUR + 1)
        assert core.access(session_id)["state"] == "ok"
        held = in_the_way(core, resumes(core, jwt), "hh_closed", session_id)
        pause = timedelta(days=2 * day)
        assert pause - timedelta(hours=1) < moment(held["until"]) - core.now() <= pause
        in_the_way(core, resumes(core, jwt), "hh_closed", session_id)
        assert core.hits(RESUMES) == 1 + day
    core.sandbox.control("POST", "/mode", {"mode": "open"})
    core.sandbox.advance(4 * 24 * HOUR + 1)
    assert resumes(core, jwt).status == 200
    held = core.access(session_id)
    assert (held["state"], held["until"]) == ("ok", None)
    assert core.rows("SELECT access_state FROM accounts") == [{"access_state": "ok"}]


# ── captcha ──────────────────────────────────────────────────────────────────────────────────────


def captcha(core, times=1):
    core.sandbox.fault("captcha", path="/resumes", times=times)


@pytest.mark.parametrize("app_url", [None, "https://app.example.org/back?a=1&b=2"])
def test_a_captcha_is_the_person_s_and_its_link_leads_back(core, anna, monkeypatch, app_url):
    if app_url:
        monkeypatch.setenv("APP_URL", app_url)
    session_id, jwt = anna
    captcha(core)
    held = in_the_way(core, resumes(core, jwt), "hh_captcha", session_id)
    assert (held["state"], held["action"], held["until"]) == ("captcha", "solve_captcha", None)
    link = urlsplit(held["captcha_url"])
    assert f"{link.scheme}://{link.netloc}{link.path}" == "https://hh.ru/account/captcha"
    assert parse_qsl(link.query) == [
        ("state", "sandbox"),
        ("backurl", app_url or REDIRECT_URI),
    ]
    assert core.account(session_id)["connected"] is True


def test_a_captcha_is_tried_again_after_ten_minutes_and_then_after_twice_as_long(core, anna):
    session_id, jwt = anna
    captcha(core, times=3)
    for minutes in (10, 20, 40):
        in_the_way(core, resumes(core, jwt), "hh_captcha", session_id)
        core.sandbox.advance(minutes * 60 - 30)
        hits = core.hits(RESUMES)
        in_the_way(core, resumes(core, jwt), "hh_captcha", session_id)
        assert core.hits(RESUMES) == hits
        assert core.access(session_id)["captcha_url"]
        core.sandbox.advance(31)
    assert resumes(core, jwt).status == 200
    assert core.access(session_id)["state"] == "ok"


def test_status_during_a_captcha_is_connected_and_says_where_to_solve_it(core, anna):
    session_id, jwt = anna
    status = core.call("GET /api/hh/status", jwt=jwt, secret=None).body
    assert status == {"connected": True, "access": "ok", "link": None, "message": None}
    captcha(core)
    resumes(core, jwt)
    status = core.call("GET /api/hh/status", jwt=jwt, secret=None).body
    assert (status["connected"], status["access"]) == (True, "captcha")
    assert status["link"] == core.access(session_id)["captcha_url"]
    assert "captcha" in status["message"]


def test_after_resume_it_works(core, anna):
    session_id, jwt = anna
    captcha(core)
    resumes(core, jwt)
    reply = resume(core, session_id, jwt=jwt, secret=None, request_id="request-to-resume")
    assert reply.status == 200
    held = reply.body["access"]
    assert (held["state"], held["action"], held["captcha_url"]) == ("ok", "none", None)
    assert reply.body == core.account(session_id)
    assert resumes(core, jwt).status == 200
    row = core.rows("SELECT * FROM audit_log WHERE action = 'access.resume'")[0]
    assert (row["actor"], row["outcome"], row["request_id"]) == ("user", "ok", "request-to-resume")
    assert str(row["user_id"]) == session_id
    assert row["account_id"] is not None


def test_the_service_resumes_too_and_again_is_no_error(core, anna):
    session_id, jwt = anna
    captcha(core)
    resumes(core, jwt)
    for _ in range(2):
        assert resume(core, session_id).body["access"]["state"] == "ok"
    acts = [act for act in core.audited() if act[1] == "access.resume"]
    assert acts == [("service", "access.resume", "ok")]


def test_a_captcha_that_was_not_solved_comes_again(core, anna):
    session_id, jwt = anna
    captcha(core, times=2)
    first = in_the_way(core, resumes(core, jwt), "hh_captcha", session_id)
    core.sandbox.advance(60)
    resume(core, session_id)
    again = in_the_way(core, resumes(core, jwt), "hh_captcha", session_id)
    assert moment(again["since"]) > moment(first["since"])
    assert core.hits(RESUMES) == 2


def test_nobody_resumes_for_another(core, anna):
    session_id, jwt = anna
    _, timurs = core.log_in("timur")
    captcha(core)
    resumes(core, jwt)
    for options in ({"jwt": timurs}, {"jwt": timurs, "secret": None}):
        assert resume(core, session_id, **options).refusal == (403, "user_mismatch")
    assert resume(core, session_id, secret=None).refusal == (401, "unauthorized")
    assert core.access(session_id)["state"] == "captcha"


# ── a login is needed ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("what_happened", "reasons", "message"),
    [
        (("password",), ("token_revoked", "token_deactivated"), "log in at hh.ru again"),
        (("revoke",), ("token_revoked", "token_revoked"), "log in at hh.ru again"),
        (
            ("account", {"state": "locked"}),
            ("token_revoked", "account_locked"),
            "unlock it there, then log in again",
        ),
        (
            ("account", {"state": "deleted"}),
            ("token_revoked", "account_not_found"),
            "hh.ru no longer knows this account",
        ),
    ],
)
@pytest.mark.parametrize("expired", [False, True])
def test_what_hh_ru_takes_no_more_needs_a_login(
    core, anna, what_happened, reasons, message, expired
):
    session_id, jwt = anna
    what, *body = what_happened
    core.sandbox.control("POST", f"/people/anna/{what}", *body)
    if expired:
        core.sandbox.advance(LIFE_S + 1)
    held = in_the_way(core, resumes(core, jwt), "reauth_required", session_id)
    assert (held["state"], held["action"]) == ("reauth_required", "log_in")
    assert held["reason"] == reasons[expired]
    if expired:
        assert message in held["message"]
    asked = core.hits(RESUMES), core.hits()
    in_the_way(core, resumes(core, jwt), "reauth_required", session_id)
    assert (core.hits(RESUMES), core.hits()) == asked
    assert core.account(session_id)["connected"] is False
    assert resume(core, session_id).refusal == (409, "reauth_required")


def test_after_a_login_it_works_again(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/people/anna/password")
    assert resumes(core, jwt).status == 409
    core.log_in("anna", session_id)
    assert core.access(session_id)["state"] == "ok"
    assert resumes(core, jwt).status == 200


def test_a_login_of_one_session_helps_the_other(core, anna):
    _, jwt = anna
    core.sandbox.control("POST", "/people/anna/revoke")
    assert resumes(core, jwt).status == 409
    core.log_in("anna")
    assert resumes(core, jwt).status == 200


def test_a_token_that_hh_ru_refuses_once_too_often_needs_a_login(core, anna):
    session_id, jwt = anna
    core.sandbox.fault("token_revoked", path="/resumes", times=1)
    held = in_the_way(core, resumes(core, jwt), "reauth_required", session_id)
    assert held["reason"] == "token_revoked"


def test_tokens_that_are_gone_need_a_login(core, anna):
    session_id, jwt = anna
    core.rows("DELETE FROM account_tokens")
    held = in_the_way(core, resumes(core, jwt), "reauth_required", session_id)
    assert held["reason"] == "not_connected"
    assert core.hits(RESUMES) == 0


def test_a_login_that_comes_meanwhile_wins(core, anna, monkeypatch):
    """hh.ru refuses the token, and before Core has written that down the person logs in anew."""
    session_id, jwt = anna
    refused = HHClient.resumes

    def and_meanwhile(self, token):
        try:
            return refused(self, token)
        finally:
            core.log_in("anna", session_id)

    core.sandbox.control("POST", "/people/anna/revoke")
    monkeypatch.setattr(HHClient, "resumes", and_meanwhile)
    reply = resumes(core, jwt)
    assert reply.refusal == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"
    assert core.access(session_id)["state"] == "ok"


def test_the_state_keeps_its_beginning_and_what_it_is_told_for(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/people/anna/password")
    first = in_the_way(core, resumes(core, jwt), "reauth_required", session_id)
    core.sandbox.advance(60)
    assert in_the_way(core, resumes(core, jwt), "reauth_required", session_id) == first


def test_a_limit_on_applications_hinders_no_reading(core, anna):
    session_id, jwt = anna
    core.rows(
        "UPDATE accounts SET access_state = 'limited_until', access_until = %s",
        core.now() + timedelta(hours=1),
    )
    assert resumes(core, jwt).status == 200
    held = core.access(session_id)
    assert (held["state"], held["action"]) == ("limited_until", "wait")
    core.sandbox.advance(HOUR)
    assert core.access(session_id)["state"] == "ok"
