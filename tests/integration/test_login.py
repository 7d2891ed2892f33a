"""Logging in at hh.ru through functions/oauth: redirect, callback, and what is refused."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tests.fixtures.core import assert_connected
from tests.fixtures.hh_sandbox import REDIRECT_URI
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.errors import HHForbidden

MINUTE = 60

# ── the redirect ─────────────────────────────────────────────────────────────────────────────────


def test_redirect_is_the_login_page_with_its_parameters(core):
    url, state = core.redirect()
    assert url.startswith(f"{core.sandbox.url}/oauth/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": [core.sandbox.client_id],
        "redirect_uri": [REDIRECT_URI],
        "state": [state],
    }
    assert len(state) >= 43
    assert core.redirect()[1] != state


def test_pkce_redirect_has_the_challenge_without_the_verifier(core, local_aws):
    url, _ = core.redirect(pkce="S256")
    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge_method"] == ["S256"]
    [challenge] = query["code_challenge"]
    dynamodb = local_aws.client("dynamodb")
    [item] = dynamodb.scan(TableName="OneTimeTable")["Items"]
    dynamodb.close()
    verifier = item["content"]["M"]["verifier"]["S"]
    digest = hashlib.sha256(verifier.encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
    assert verifier not in url


def test_state_is_stored_only_as_a_hash(core, local_aws):
    _, state = core.redirect(session_id=str(uuid4()))
    dynamodb = local_aws.client("dynamodb")
    stored = json.dumps(dynamodb.scan(TableName="OneTimeTable")["Items"], default=str)
    dynamodb.close()
    assert hashlib.sha256(state.encode()).hexdigest() in stored
    assert state not in stored


def test_redirect_requires_the_service_and_a_known_method(core):
    assert core.call("GET /auth/hh/redirect", secret=None).refusal == (401, "unauthorized")
    for query in ({"pkce": "plain"}, {"session_id": "undefined"}):
        assert core.call("GET /auth/hh/redirect", query=query).refusal == (422, "invalid_request")


def test_missing_client_id_is_503_and_spares_the_code(core, monkeypatch, session_id):
    code = core.code()
    monkeypatch.delenv("HH_CLIENT_ID")
    redirect = core.call("GET /auth/hh/redirect")
    for _ in range(2):  # the BFF repeats a call after every 5xx
        callback = core.callback(code, session_id)
        for reply in (redirect, callback):
            assert reply.refusal == (503, "hh_misconfigured")
            assert "HH_CLIENT_ID" in reply.body["message"]
            assert int(reply.headers["retry-after"]) >= 60
    monkeypatch.setenv("HH_CLIENT_ID", core.sandbox.client_id)
    assert_connected(core.callback(code, session_id), session_id)


# ── the callback ─────────────────────────────────────────────────────────────────────────────────


def test_callback_without_state_connects_the_session(core, session_id):
    jwt = assert_connected(core.callback(core.code(), session_id), session_id)
    assert len(jwt) < 3072
    titles = {item["title"] for item in core.resumes(jwt).body["items"]}
    assert titles == {"Python-разработчик", "Backend-инженер"}
    assert core.audited()[0] == ("service", "login", "ok")


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("pkce", [{"pkce": "S256"}, {}])
def test_callback_with_its_state_connects_the_session(core, session_id, bound, pkce):
    url, state = core.redirect(**pkce, **({"session_id": session_id} if bound else {}))
    code = core.consent(url, "anna")
    jwt = assert_connected(core.callback(code, session_id, state=state), session_id)
    assert core.resumes(jwt).status == 200


def test_pkce_code_without_the_state_is_refused_by_hh_ru(core, session_id):
    url, _ = core.redirect(pkce="S256")
    assert core.callback(core.consent(url, "anna"), session_id).refusal == (400, "invalid_code")


def test_new_user_row_has_what_the_bff_needs(core, session_id):
    core.log_in("anna", session_id)
    [row] = core.rows("SELECT * FROM users")
    assert (str(row["id"]), row["email"]) == (session_id, f"{session_id}@session.invalid")
    assert row["password_hash"] == "!"
    assert row["inserted_at"] is not None
    assert row["tokens_valid_from"] is not None  # a token of an earlier row is no longer valid
    [account] = core.rows("SELECT id, hh_user_id, access_state FROM accounts")
    assert row["account_id"] == account["id"]
    assert (account["hh_user_id"], account["access_state"]) == ("170000001", "ok")


def test_existing_user_row_keeps_email_and_password(core, session_id):
    core.rows(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, 'a@example.org', 'hash', '2025-01-01', '2025-01-01')",
        session_id,
    )
    core.log_in("anna", session_id)
    [row] = core.rows("SELECT * FROM users")
    assert (row["email"], row["password_hash"]) == ("a@example.org", "hash")
    assert row["inserted_at"].year == 2025
    assert row["account_id"] is not None


def test_login_deletes_only_the_users_original_tokens(core, session_id):
    for owner, token in ((session_id, "own"), (str(uuid4()), "another's"), (None, "unowned")):
        core.rows(
            "INSERT INTO hh_tokens"
            " (id, user_id, access_token, refresh_token, expires_at, inserted_at, updated_at)"
            " VALUES (gen_random_uuid(), %s, %s, '', '2025-01-01', '2025-01-01', '2025-01-01')",
            owner,
            token,
        )
    core.log_in("anna", session_id)
    rows = core.rows("SELECT access_token FROM hh_tokens")
    assert {row["access_token"] for row in rows} == {"another's", "unowned"}
    assert len(core.rows("SELECT FROM account_tokens")) == 1


def test_callback_without_code_or_with_a_bad_session_is_422(core):
    assert core.callback(None, str(uuid4())).refusal == (422, "invalid_request")
    for wrong in ("undefined", "", "mvp-demo-user"):
        reply = core.callback("any", wrong)
        assert reply.refusal == (422, "invalid_request")
        assert reply.body["details"]["fields"][0]["field"] == "session_id"
    assert core.callback("any", str(uuid4()), secret=None).refusal == (401, "unauthorized")
    assert core.logins() == []
    assert core.hits() == 0


# ── states ───────────────────────────────────────────────────────────────────────────────────────


def refused_state(reply, word):
    assert reply.refusal == (400, "invalid_state")
    assert word in reply.body["message"]


def test_unknown_state_is_refused_and_the_code_not_sent(core, session_id):
    for state in ("made-up", ""):
        refused_state(core.callback(core.code(), session_id, state=state), "unknown")
    assert core.hits() == 0
    assert core.logins() == []
    assert core.audited() == [("service", "login", "invalid_state")] * 2


def test_used_state_is_refused(core, session_id):
    url, state = core.redirect()
    first, second = core.consent(url, "anna"), core.consent(url, "anna")
    assert_connected(core.callback(first, session_id, state=state), session_id)
    core.reset_hits()
    refused_state(core.callback(second, session_id, state=state), "used")
    assert core.hits() == 0


def test_state_expires_after_ten_minutes(core, session_id):
    (early, early_state), (late, late_state) = core.redirect(), core.redirect()
    core.sandbox.advance(9 * MINUTE)
    early, late = core.consent(early, "anna"), core.consent(late, "anna")
    assert_connected(core.callback(early, session_id, state=early_state), session_id)
    core.reset_hits()
    core.sandbox.advance(MINUTE + 1)
    refused_state(core.callback(late, session_id, state=late_state), "expired")
    assert core.hits() == 0


def test_state_of_another_session_is_refused(core, session_id):
    url, state = core.redirect(session_id=str(uuid4()))
    code = core.consent(url, "anna")
    refused_state(core.callback(code, session_id, state=state), "another session")
    refused_state(core.callback(code, state=state), "another session")
    assert core.hits() == 0
    assert core.rows("SELECT FROM users") == []


# ── the same code again ──────────────────────────────────────────────────────────────────────────


def test_repeated_callback_gets_the_same_answer(core, session_id):
    url, state = core.redirect(pkce="S256")
    code = core.consent(url, "anna")
    core.reset_hits()
    first = core.callback(code, session_id, state=state)
    assert_connected(first, session_id)
    core.sandbox.advance(3 * MINUTE)
    assert core.callback(code, session_id, state=state).text == first.text
    assert core.callback(code, session_id).text == first.text
    assert core.hits() == 1
    assert core.hits("GET /me") == 1
    assert core.audited() == [
        ("service", "login", "ok"),
        ("service", "login", "repeated"),
        ("service", "login", "repeated"),
    ]


def test_code_of_another_session_is_a_conflict(core, session_id):
    code = core.code()
    first = core.callback(code, session_id)
    core.reset_hits()
    for other_session in (str(uuid4()), None):
        reply = core.callback(code, other_session)
        assert reply.refusal == (409, "code_of_another_session")
        assert "jwt" not in reply.text
    assert core.hits() == 0
    assert len(core.rows("SELECT FROM users")) == 1
    assert core.callback(code, session_id).text == first.text


def test_code_refused_by_hh_ru_stays_refused(core, session_id):
    used = core.code()
    core.sandbox.grant(
        grant_type="authorization_code", code=used, redirect_uri=REDIRECT_URI
    ).raise_for_status()
    expired = core.code()
    core.sandbox.advance(301)
    core.reset_hits()
    for code in (used, expired, "made-up"):
        for _ in range(2):
            assert core.callback(code, session_id).refusal == (400, "invalid_code")
    assert core.hits() == 3
    assert core.rows("SELECT FROM accounts") == []


def test_finished_login_keeps_only_the_hash_of_its_code(core, session_id):
    code = core.code()
    core.callback(code, session_id)
    [row] = core.rows("SELECT code_hash, pair, state FROM hh_logins")
    assert row["code_hash"] == hashlib.sha256(code.encode()).digest()
    assert (row["pair"], row["state"]) == (None, "done")


def test_logins_older_than_a_month_are_deleted(core, session_id):
    core.log_in("anna", session_id)
    core.sandbox.advance(31 * 86_400)
    core.log_in("anna", session_id)
    assert len(core.logins()) == 1


def test_code_used_before_a_disconnect_is_refused(core, session_id):
    code = core.code()
    jwt = core.callback(code, session_id).body["jwt"]
    core.call("DELETE /api/hh/connection", jwt=jwt)
    assert core.callback(code, session_id).refusal == (400, "invalid_code")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_refusal_by_the_person_is_access_denied(core, session_id):
    _, state = core.redirect()
    back = core.sandbox.consent("anna", decision="deny", state=state)
    assert back == {"error": "access_denied", "state": state}
    reply = core.callback(None, session_id, error="access_denied", state=state)
    assert reply.refusal == (400, "access_denied")
    assert core.callback(None, session_id, error="server_error").refusal == (400, "login_failed")
    assert core.logins() == []
    assert ("service", "login", "access_denied") in core.audited()


def test_employer_is_refused_and_the_pair_revoked(core, session_id):
    code = core.code("employer")
    for _ in range(2):
        reply = core.callback(code, session_id)
        assert reply.refusal == (400, "not_an_applicant")
        assert "employer" in reply.body["message"]
    assert core.hits("DELETE /token") == 1
    assert core.live_pairs("employer") == 0
    for table in ("users", "accounts", "account_tokens"):
        assert core.rows(f"SELECT FROM {table}") == []


def test_employer_is_refused_when_the_pair_cannot_be_revoked(core, session_id):
    core.sandbox.fault("server_error", path="/token", method="DELETE")
    assert core.callback(core.code("employer"), session_id).refusal == (400, "not_an_applicant")
    assert core.rows("SELECT pair FROM hh_logins") == [{"pair": None}]


def test_account_closed_to_core_is_refused_and_the_pair_revoked(core, session_id, monkeypatch):
    def closed(self, token):
        raise HHForbidden("hh.ru keeps this closed to Core")

    monkeypatch.setattr(HHClient, "me", closed)  # the sandbox never closes /me
    code = core.code()
    for _ in range(2):
        assert core.callback(code, session_id).refusal == (400, "hh_closed")
    assert core.live_pairs() == 0


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("locked", "account_locked"),
        ("deleted", "account_not_found"),
        ("password_invalidated", "password_invalidated"),
        ("login_not_verified", "login_not_verified"),
    ],
)
def test_unusable_account_is_refused_with_the_reason(core, session_id, state, code):
    sent = core.code()
    core.sandbox.control("POST", "/people/anna/account", {"state": state})
    for _ in range(2):
        reply = core.callback(sent, session_id)
        assert reply.refusal == (400, code)
        assert "log in" in reply.body["message"]
    assert core.hits() == 1


# ── people and sessions ──────────────────────────────────────────────────────────────────────────


def test_two_sessions_of_a_person_share_an_account(core):
    (first, first_jwt), (second, second_jwt) = core.log_in("anna"), core.log_in("anna")
    assert len(core.rows("SELECT FROM accounts")) == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    accounts = [
        core.account(first, jwt=first_jwt, secret=None),
        core.account(second, jwt=second_jwt, secret=None),
        core.account(first),
    ]
    for account, session_id in zip(accounts, (first, second, first), strict=True):
        assert account.pop("user_id") == session_id
    assert accounts[0] == accounts[1] == accounts[2]
    assert (accounts[0]["connected"], accounts[0]["access"]["state"]) == (True, "ok")
    assert core.resumes(first_jwt).text == core.resumes(second_jwt).text


def test_bound_login_as_another_person_moves_the_session(core, session_id):
    _, old = core.log_in("anna", session_id)
    annas = core.account(session_id)["account_id"]
    _, new = core.log_in("timur", session_id, bound=True)
    assert core.account(session_id)["account_id"] != annas
    assert core.resumes(old).refusal == (401, "invalid_token")
    titles = [resume["title"] for resume in core.resumes(new).body["items"]]
    assert titles == ["Водитель-экспедитор"]
    assert len(core.rows("SELECT FROM users")) == 1


def test_move_at_the_moment_of_the_login_ends_the_older_jwt(core, session_id):
    core.sandbox.control("POST", "/clock", {"rate": 0})
    _, old = core.log_in("anna", session_id)
    url, state = core.redirect(session_id=session_id)
    code = core.consent(url, "timur")
    reply = core.callback(code, session_id, state=state)
    assert core.resumes(old).refusal == (401, "invalid_token")
    assert core.resumes(assert_connected(reply, session_id)).status == 200
    assert core.callback(code, session_id, state=state).text == reply.text


def test_code_used_before_a_move_is_refused(core, session_id):
    url, state = core.redirect(session_id=session_id)
    code = core.consent(url, "anna")
    core.callback(code, session_id, state=state)
    core.log_in("timur", session_id, bound=True)
    assert core.callback(code, session_id, state=state).refusal == (400, "invalid_code")
    assert core.account(session_id)["access"]["state"] == "ok"


def test_second_login_of_a_session_keeps_its_older_jwt(core, session_id):
    _, first = core.log_in("anna", session_id)
    core.sandbox.advance(1)
    _, second = core.log_in("anna", session_id)
    assert first != second
    assert core.resumes(first).status == core.resumes(second).status == 200


def test_login_restores_access_but_keeps_a_limit(core, session_id):
    core.log_in("anna", session_id)
    for state, access_until, after in (
        ("reauth_required", None, "ok"),
        ("captcha", None, "ok"),
        ("limited_until", "2100-01-01", "limited_until"),
    ):
        core.rows("UPDATE accounts SET access_state = %s, access_until = %s", state, access_until)
        core.log_in("anna", session_id)
        assert core.access(session_id)["state"] == after


def test_jwt_of_another_session_at_the_callback_is_refused(core, session_id):
    _, jwt = core.log_in("anna", session_id)
    code = core.code()
    for other_session in (str(uuid4()), None):
        assert core.callback(code, other_session, jwt=jwt).refusal == (403, "user_mismatch")
    assert core.callback(code, session_id, jwt=jwt + "x").refusal == (401, "invalid_token")
    assert core.hits() == 0
    assert_connected(core.callback(code, session_id, jwt=jwt), session_id)


# ── a trusted server ─────────────────────────────────────────────────────────────────────────────


def test_callback_without_a_session_answers_the_tokens(core):
    code = core.code()
    reply = core.callback(code)
    assert reply.status == 200
    assert set(reply.body) == {"success", "tokens"}
    tokens = reply.body["tokens"]
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert tokens["token_type"] == "bearer"
    assert 14 * 86_400 - 60 < tokens["expires_in"] <= 14 * 86_400
    assert core.sandbox.call("GET", "/me", tokens["access_token"]).json()["id"] == "170000001"
    again = core.callback(code).body["tokens"]
    assert {**again, "expires_in": 0} == {**tokens, "expires_in": 0}
    assert core.hits() == 1
    assert core.rows("SELECT FROM users") == []
    [row] = core.rows("SELECT user_id FROM account_tokens")
    assert row["user_id"] is None


def test_tokens_without_a_session_are_the_accounts_pair(core):
    _, jwt = core.log_in("anna")
    core.callback(core.code())
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    assert core.resumes(jwt).status == 200


def test_deleted_tokens_are_not_answered_again(core):
    code = core.code()
    core.callback(code)
    _, jwt = core.log_in("anna")
    core.call("DELETE /api/hh/connection", jwt=jwt)
    assert core.callback(code).refusal == (400, "invalid_code")


def test_login_works_without_the_original_token_table(core):
    session, jwt = core.log_in("anna")
    core.rows("DROP TABLE IF EXISTS hh_tokens CASCADE")
    assert core.call("GET /api/hh/resumes", jwt=jwt).status == 200
    assert core.access(session)["state"] == "ok"
    core.log_in("anna", session)
    _, timurs = core.log_in("timur")
    assert core.call("GET /api/hh/resumes", jwt=timurs).status == 200
