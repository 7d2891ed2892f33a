"""The access state of an account: how hh.ru's answers change it, and how it ends."""

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


def resume(core, session_id, **options):
    """Resume the account after a captcha."""
    parameters = {"user_id": session_id}
    return core.call("POST /api/accounts/{user_id}/resume", parameters=parameters, **options)


def moment(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def denied_access(core, reply, code, session_id):
    """Return the access state of a refusal, which is also that of the account."""
    assert reply.refusal == (409, code)
    assert reply.body["details"]["access"] == core.access(session_id)
    return reply.body["details"]["access"]


# ── connected, and never connected ───────────────────────────────────────────────────────────────


def test_connected_account_is_ok(core, anna):
    session_id, jwt = anna
    for options in ({}, {"jwt": jwt}, {"jwt": jwt, "secret": None}):
        account = core.account(session_id, **options)
        assert account["user_id"] == session_id
        assert account["account_id"] == str(core.rows("SELECT id FROM accounts")[0]["id"])
        assert account["connected"] is True
        access = account["access"]
        assert (access["state"], access["action"]) == ("ok", "none")
        assert (access["reason"], access["until"], access["captcha_url"]) == (None, None, None)
        assert core.now() - moment(access["since"]) < timedelta(minutes=1)
    assert core.hits("GET /me") == 0


def test_user_without_an_account_has_to_connect(core):
    session_id = str(uuid4())
    core.rows(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, 'x@example.org', '!', '2025-01-01', '2025-01-01')",
        session_id,
    )
    account = core.account(session_id)
    assert (account["account_id"], account["connected"]) == (None, False)
    access = account["access"]
    assert (access["state"], access["reason"]) == ("reauth_required", "not_connected")
    assert (access["action"], access["message"]) == ("log_in", "connect hh.ru first")
    assert resume(core, session_id).refusal == (409, "reauth_required")


def test_unknown_user_is_not_found(core):
    for session_id, refusal in (
        (str(uuid4()), (404, "user_not_found")),
        ("undefined", (422, "invalid_request")),
    ):
        reply = core.call("GET /api/accounts/{user_id}", parameters={"user_id": session_id})
        assert reply.refusal == refusal
        assert resume(core, session_id).refusal == refusal


# ── closed ───────────────────────────────────────────────────────────────────────────────────────


def denied_method(core, reply, session_id):
    """Return the method of a refusal, which is also among those of the account."""
    assert reply.refusal == (409, "hh_closed")
    method = reply.body["details"]["method"]
    assert method in core.account(session_id)["methods"]
    return method


def test_closed_method_is_not_called_for_a_day(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/mode", {"mode": "closed"})
    method = denied_method(core, core.resumes(jwt), session_id)
    assert (method["method"], method["state"]) == ("resumes_read", "closed")
    assert (method["closed_for"], method["reason"]) == ("account", "forbidden")
    assert timedelta(hours=23) < moment(method["next_probe_at"]) - core.now() <= timedelta(days=1)
    account = core.account(session_id)
    assert (account["connected"], account["access"]["state"]) == (True, "ok")
    core.sandbox.advance(23 * HOUR)
    denied_method(core, core.resumes(jwt), session_id)
    assert resume(core, session_id).status == 200, "there is no captcha to resume after"
    denied_method(core, core.resumes(jwt), session_id)
    assert core.hits(RESUMES) == 1


def test_closed_method_is_retried_at_doubling_intervals(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/mode", {"mode": "closed"})
    core.resumes(jwt)
    for day in (1, 2):
        core.sandbox.advance(day * 24 * HOUR + 1)
        method = denied_method(core, core.resumes(jwt), session_id)
        pause = timedelta(days=2 * day)
        assert pause - timedelta(hours=1) < moment(method["next_probe_at"]) - core.now() <= pause
        denied_method(core, core.resumes(jwt), session_id)
        assert core.hits(RESUMES) == 1 + day
    core.sandbox.control("POST", "/mode", {"mode": "open"})
    core.sandbox.advance(4 * 24 * HOUR + 1)
    assert core.resumes(jwt).status == 200
    states = {each["method"]: each["state"] for each in core.account(session_id)["methods"]}
    assert (states["resumes_read"], states["apply"]) == ("open", "unknown")


def test_state_closed_of_an_earlier_release_is_read_as_ok(core, anna):
    session_id, jwt = anna
    core.rows("UPDATE accounts SET access_state = 'closed', access_reason = 'applying_closed'")
    assert core.access(session_id)["state"] == "ok"
    assert core.resumes(jwt).status == 200


# ── captcha ──────────────────────────────────────────────────────────────────────────────────────


def captcha(core, times=1):
    core.sandbox.fault("captcha", path="/resumes", times=times)


@pytest.mark.parametrize("app_url", [None, "https://app.example.org/back?a=1&b=2"])
def test_captcha_returns_a_link_that_leads_back(core, anna, monkeypatch, app_url):
    if app_url:
        monkeypatch.setenv("APP_URL", app_url)
    session_id, jwt = anna
    captcha(core)
    access = denied_access(core, core.resumes(jwt), "hh_captcha", session_id)
    assert (access["state"], access["action"]) == ("captcha", "solve_captcha")
    assert access["until"] is None
    link = urlsplit(access["captcha_url"])
    assert f"{link.scheme}://{link.netloc}{link.path}" == "https://hh.ru/account/captcha"
    assert parse_qsl(link.query) == [
        ("state", "sandbox"),
        ("backurl", app_url or REDIRECT_URI),
    ]
    assert core.account(session_id)["connected"] is True


def test_captcha_is_retried_at_doubling_intervals(core, anna):
    session_id, jwt = anna
    captcha(core, times=3)
    for minutes in (10, 20, 40):
        denied_access(core, core.resumes(jwt), "hh_captcha", session_id)
        core.sandbox.advance(minutes * 60 - 30)
        hits = core.hits(RESUMES)
        denied_access(core, core.resumes(jwt), "hh_captcha", session_id)
        assert core.hits(RESUMES) == hits
        assert core.access(session_id)["captcha_url"]
        core.sandbox.advance(31)
    assert core.resumes(jwt).status == 200
    assert core.access(session_id)["state"] == "ok"


def test_status_during_a_captcha_is_connected_and_has_the_link(core, anna):
    session_id, jwt = anna
    status = core.call("GET /api/hh/status", jwt=jwt, secret=None).body
    assert status == {
        "connected": True,
        "access": "ok",
        "link": None,
        "message": None,
        "closed_methods": [],
    }
    captcha(core)
    core.resumes(jwt)
    status = core.call("GET /api/hh/status", jwt=jwt, secret=None).body
    assert (status["connected"], status["access"]) == (True, "captcha")
    assert status["link"] == core.access(session_id)["captcha_url"]
    assert "captcha" in status["message"]


def test_resume_restores_access(core, anna):
    session_id, jwt = anna
    captcha(core)
    core.resumes(jwt)
    reply = resume(core, session_id, jwt=jwt, secret=None, request_id="request-to-resume")
    assert reply.status == 200
    access = reply.body["access"]
    assert (access["state"], access["action"], access["captcha_url"]) == ("ok", "none", None)
    assert reply.body == core.account(session_id)
    assert core.resumes(jwt).status == 200
    row = core.rows("SELECT * FROM audit_log WHERE action = 'access.resume'")[0]
    assert (row["actor"], row["outcome"], row["request_id"]) == ("user", "ok", "request-to-resume")
    assert str(row["user_id"]) == session_id
    assert row["account_id"] is not None


def test_resume_by_the_service_may_be_repeated(core, anna):
    session_id, jwt = anna
    captcha(core)
    core.resumes(jwt)
    for _ in range(2):
        assert resume(core, session_id).body["access"]["state"] == "ok"
    records = [record for record in core.audited() if record[1] == "access.resume"]
    assert records == [("service", "access.resume", "ok")]


def test_resume_without_solving_leads_to_a_new_captcha(core, anna):
    session_id, jwt = anna
    captcha(core, times=2)
    first = denied_access(core, core.resumes(jwt), "hh_captcha", session_id)
    core.sandbox.advance(60)
    resume(core, session_id)
    again = denied_access(core, core.resumes(jwt), "hh_captcha", session_id)
    assert moment(again["since"]) > moment(first["since"])
    assert core.hits(RESUMES) == 2


def test_resume_for_another_user_is_refused(core, anna):
    session_id, jwt = anna
    _, timurs = core.log_in("timur")
    captcha(core)
    core.resumes(jwt)
    for options in ({"jwt": timurs}, {"jwt": timurs, "secret": None}):
        assert resume(core, session_id, **options).refusal == (403, "user_mismatch")
    assert resume(core, session_id, secret=None).refusal == (401, "unauthorized")
    assert core.access(session_id)["state"] == "captcha"


# ── a login is needed ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "reasons", "message"),
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
def test_ended_tokens_require_a_login(core, anna, event, reasons, message, expired):
    session_id, jwt = anna
    path, *body = event
    core.sandbox.control("POST", f"/people/anna/{path}", *body)
    if expired:
        core.sandbox.advance(LIFE_S + 1)
    access = denied_access(core, core.resumes(jwt), "reauth_required", session_id)
    assert (access["state"], access["action"]) == ("reauth_required", "log_in")
    assert access["reason"] == reasons[expired]
    if expired:
        assert message in access["message"]
    calls = core.hits(RESUMES), core.hits()
    denied_access(core, core.resumes(jwt), "reauth_required", session_id)
    assert (core.hits(RESUMES), core.hits()) == calls
    assert core.account(session_id)["connected"] is False
    assert resume(core, session_id).refusal == (409, "reauth_required")


def test_login_restores_access(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/people/anna/password")
    assert core.resumes(jwt).status == 409
    core.log_in("anna", session_id)
    assert core.access(session_id)["state"] == "ok"
    assert core.resumes(jwt).status == 200


def test_login_of_another_session_restores_access(core, anna):
    _, jwt = anna
    core.sandbox.control("POST", "/people/anna/revoke")
    assert core.resumes(jwt).status == 409
    core.log_in("anna")
    assert core.resumes(jwt).status == 200


def test_revoked_token_requires_a_login(core, anna):
    session_id, jwt = anna
    core.sandbox.fault("token_revoked", path="/resumes", times=1)
    access = denied_access(core, core.resumes(jwt), "reauth_required", session_id)
    assert access["reason"] == "token_revoked"


def test_missing_tokens_require_a_login(core, anna):
    session_id, jwt = anna
    core.rows("DELETE FROM account_tokens")
    access = denied_access(core, core.resumes(jwt), "reauth_required", session_id)
    assert access["reason"] == "not_connected"
    assert core.hits(RESUMES) == 0


def test_login_during_a_refused_call_wins(core, anna, monkeypatch):
    """hh.ru refuses the token, and the person logs in again before Core has stored that."""
    session_id, jwt = anna
    list_resumes = HHClient.resumes

    def log_in_after_refusal(self, token):
        try:
            return list_resumes(self, token)
        finally:
            core.log_in("anna", session_id)

    core.sandbox.control("POST", "/people/anna/revoke")
    monkeypatch.setattr(HHClient, "resumes", log_in_after_refusal)
    reply = core.resumes(jwt)
    assert reply.refusal == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"
    assert core.access(session_id)["state"] == "ok"


def test_repeated_refusal_keeps_the_state_and_its_since(core, anna):
    session_id, jwt = anna
    core.sandbox.control("POST", "/people/anna/password")
    first = denied_access(core, core.resumes(jwt), "reauth_required", session_id)
    core.sandbox.advance(60)
    assert denied_access(core, core.resumes(jwt), "reauth_required", session_id) == first


def test_limit_on_applications_does_not_prevent_reading(core, anna):
    session_id, jwt = anna
    core.rows(
        "UPDATE accounts SET access_state = 'limited_until', access_until = %s",
        core.now() + timedelta(hours=1),
    )
    assert core.resumes(jwt).status == 200
    access = core.access(session_id)
    assert (access["state"], access["action"]) == ("limited_until", "wait")
    core.sandbox.advance(HOUR)
    assert core.access(session_id)["state"] == "ok"
