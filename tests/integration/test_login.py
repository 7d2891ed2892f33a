"""Logging in at hh.ru through functions/oauth: redirect, callback, and all failures."""

import base64
import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures.database import SELECT_WAITING_SESSIONS
from tests.fixtures.hh_sandbox import REDIRECT_URI
from tests.fixtures.ports import free_port
from tests.fixtures.waiting import until
from ullgetthejob.hh import calls
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.errors import HHForbidden
from ullgetthejob.platform import aws

MINUTE = 60
LOGINS = "SELECT state, refusal, pair, user_id, account_id FROM hh_logins"


@pytest.fixture
def session_id():
    return str(uuid4())


def assert_connected(reply, session_id):
    """Check a successful answer, and return its JWT."""
    assert reply.status == 200, reply
    assert set(reply.body) == {"success", "jwt", "session_id"}
    assert (reply.body["success"], reply.body["session_id"]) == (True, session_id)
    return reply.body["jwt"]


def resumes(core, jwt):
    return core.call("GET /api/hh/resumes", jwt=jwt, secret=None)


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
    titles = {item["title"] for item in resumes(core, jwt).body["items"]}
    assert titles == {"Python-разработчик", "Backend-инженер"}
    assert core.audited()[0] == ("service", "login", "ok")


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("pkce", [{"pkce": "S256"}, {}])
def test_callback_with_its_state_connects_the_session(core, session_id, bound, pkce):
    url, state = core.redirect(**pkce, **({"session_id": session_id} if bound else {}))
    code = core.consent(url, "anna")
    jwt = assert_connected(core.callback(code, session_id, state=state), session_id)
    assert resumes(core, jwt).status == 200


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
    assert core.rows(LOGINS) == []
    assert core.hits() == 0


# ── states ───────────────────────────────────────────────────────────────────────────────────────


def refused_state(reply, word):
    assert reply.refusal == (400, "invalid_state")
    assert word in reply.body["message"]


def test_unknown_state_is_refused_and_the_code_not_sent(core, session_id):
    for state in ("made-up", ""):
        refused_state(core.callback(core.code(), session_id, state=state), "unknown")
    assert core.hits() == 0
    assert core.rows(LOGINS) == []
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
    assert len(core.rows(LOGINS)) == 1


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
    assert core.rows(LOGINS) == []
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


# ── failures of hh.ru ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hh_unreachable(core, monkeypatch):
    """Move hh.ru to an address that refuses connections, and return a function that restores it."""
    from tests.fixtures.core import reset_environment

    reset_environment()
    monkeypatch.setenv("HH_API_URL", f"http://127.0.0.1:{free_port()}")

    def restore():
        reset_environment()
        monkeypatch.setenv("HH_API_URL", core.sandbox.url)

    return restore


def test_code_that_was_not_sent_is_sent_by_the_next_callback(core, session_id, hh_unreachable):
    code = core.code()
    reply = core.callback(code, session_id)
    assert reply.refusal == (503, "hh_unavailable")
    assert "retry-after" in reply.headers
    hh_unreachable()
    assert_connected(core.callback(code, session_id), session_id)
    assert core.hits() == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("edge_block", "hh_region_blocked"),
        ("legal_block", "hh_region_blocked"),
        ("vpn_check", "hh_region_blocked"),
        ("too_many_requests", "hh_busy"),
        ("captcha", "hh_captcha"),
    ],
)
def test_refused_call_leaves_the_code_usable(core, session_id, fault, error):
    code = core.code()
    core.sandbox.fault(fault, path="/token", times=1)
    reply = core.callback(code, session_id)
    assert reply.refusal == (503, error)
    assert "retry-after" in reply.headers
    assert core.rows(LOGINS) == []
    unpause(core)
    assert_connected(core.callback(code, session_id), session_id)


def unpause(core):
    """End the pause of hh.ru calls, as the pacer would do later."""
    aws.call("dynamodb", "DeleteItem", {"TableName": "PacerTable", "Key": {"pk": {"S": PAUSE}}})


PAUSE = "pacer#default"


@pytest.mark.parametrize(
    "fault",
    ["server_error", "service_unavailable", "bad_gateway", "truncated", "drop", "lost", "slow"],
)
def test_code_that_hh_ru_may_have_used_is_never_sent_again(core, session_id, fault, monkeypatch):
    monkeypatch.setattr(calls, "TIMEOUT_S", 0.3)
    code = core.code()
    core.sandbox.fault(fault, path="/token", times=1, seconds=1)
    for _ in range(3):
        reply = core.callback(code, session_id)
        assert reply.refusal == (400, "login_interrupted")
        assert "start it again" in reply.body["message"]
    assert until(core.hits) == 1
    assert_connected(core.callback(core.code(), session_id), session_id)


@pytest.mark.parametrize(
    "fault", ["server_error", "truncated", "lost", "edge_block", "too_many_requests", "captcha"]
)
def test_repeat_after_the_exchange_sends_no_code(core, session_id, fault):
    code = core.code()
    core.sandbox.fault(fault, path="/me", times=1)
    reply = core.callback(code, session_id)
    assert reply.status == 503
    assert "retry-after" in reply.headers
    [row] = core.rows(LOGINS)
    assert row["state"] == "exchanged"
    unpause(core)
    assert_connected(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert core.rows("SELECT pair FROM hh_logins") == [{"pair": None}]
    assert core.live_pairs() == 1


def test_parked_pair_is_stored_as_ciphertext(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    core.callback(core.code(), session_id)
    [row] = core.rows(LOGINS)
    assert not re.search("USER|\\[", row["pair"])
    assert len(base64.b64decode(row["pair"])) > 100


def test_parked_pair_expires_as_hh_ru_says(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    received_at = core.now()
    code = core.code()
    core.callback(code, session_id)
    core.sandbox.advance(86_400)
    assert_connected(core.callback(code, session_id), session_id)
    [row] = core.rows("SELECT expires_at FROM account_tokens")
    lifetime = row["expires_at"] - received_at.replace(tzinfo=None)
    assert 14 * 86_400 - 60 < lifetime.total_seconds() <= 14 * 86_400 + 60


@pytest.mark.parametrize("previous_is_known", [True, False])
def test_parked_pair_after_a_change_of_key(
    core, session_id, monkeypatch, local_aws, dynamodb_tables, previous_is_known
):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    kms = local_aws.client("kms")
    monkeypatch.setenv("TOKEN_KEY_ID", kms.create_key()["KeyMetadata"]["Arn"])
    kms.close()
    if previous_is_known:
        monkeypatch.setenv("TOKEN_KEY_ID_PREVIOUS", dynamodb_tables["TOKEN_KEY_ID"])
        assert_connected(core.callback(code, session_id), session_id)
    else:
        assert core.callback(code, session_id).refusal == (400, "login_interrupted")


def test_slower_of_two_repeats_changes_nothing(core, session_id, monkeypatch):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    faster = []
    me = HHClient.me

    def me_after_another_call(self, token):
        if not faster:
            faster.append(None)
            faster[0] = core.callback(code, session_id)
        return me(self, token)

    monkeypatch.setattr(HHClient, "me", me_after_another_call)
    assert core.callback(code, session_id).refusal == (503, "login_in_progress")
    jwt = assert_connected(faster[0], session_id)
    assert core.callback(code, session_id).text == faster[0].text
    assert resumes(core, jwt).status == 200
    outcomes = [outcome for _, action, outcome in core.audited() if action == "login"]
    assert outcomes == ["hh_unavailable", "ok", "login_in_progress", "repeated"]


def test_access_revoked_before_the_repeat_is_login_interrupted(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    core.sandbox.control("POST", "/people/anna/revoke")
    for _ in range(2):
        assert core.callback(code, session_id).refusal == (400, "login_interrupted")


def test_aws_down_is_503_and_spares_the_code(core, session_id, monkeypatch):
    code = core.code()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    aws.reset_connections()
    assert core.callback(code, session_id).status == 503
    assert core.call("GET /auth/hh/redirect").refusal == (503, "one_time_keys_unavailable")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    aws.reset_connections()
    assert_connected(core.callback(code, session_id), session_id)


def test_pair_that_cannot_be_encrypted_is_revoked(core, session_id, monkeypatch):
    code = core.code()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    aws.reset_connections()
    assert core.callback(code, session_id).refusal == (400, "login_interrupted")
    assert core.live_pairs() == 0
    monkeypatch.delenv("AWS_ENDPOINT_URL_KMS")
    aws.reset_connections()
    assert core.callback(code, session_id).refusal == (400, "login_interrupted")
    assert_connected(core.callback(core.code(), session_id), session_id)


# ── workers that are killed ──────────────────────────────────────────────────────────────────────


def test_worker_killed_during_the_exchange_interrupts_the_login(core, session_id):
    code = core.code()
    worker = core.worker()
    core.sandbox.fault("slow", path="/token", times=1, seconds=3)
    worker.send(callback_event(core, code, session_id))
    until(lambda: core.rows(LOGINS))
    time.sleep(0.3)
    worker.kill()
    [row] = core.rows(LOGINS)
    assert row["state"] == "sent"
    reply = core.callback(code, session_id)
    assert reply.refusal == (503, "login_in_progress")
    assert reply.headers["retry-after"] == "1"
    assert core.callback(code, str(uuid4())).refusal == (409, "code_of_another_session")
    core.sandbox.advance(MINUTE)
    for _ in range(2):
        assert core.callback(code, session_id).refusal == (400, "login_interrupted")
    assert until(core.hits) == 1


def test_worker_killed_after_the_exchange_is_continued(core, session_id):
    code = core.code()
    worker = core.worker()
    core.sandbox.fault("slow", path="/me", times=1, seconds=3)
    worker.send(callback_event(core, code, session_id))
    until(lambda: [row for row in core.rows(LOGINS) if row["state"] == "exchanged"])
    time.sleep(0.2)
    worker.kill()
    core.sandbox.control("DELETE", "/faults")
    assert_connected(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert core.live_pairs() == 1
    until(lambda: core.hits("GET /me") == 2)  # the slow call is counted before the next test


@contextmanager
def locked(core, table):
    """Lock *table*, so that writes of other connections wait."""
    with psycopg.connect(core.database_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("table", ["account_tokens", "audit_log"])
def test_worker_killed_before_the_commit_is_continued(core, session_id, table):
    code = core.code()
    worker = core.worker()
    with locked(core, table):
        worker.send(callback_event(core, code, session_id))
        until(lambda: core.rows(SELECT_WAITING_SESSIONS))
        worker.kill()
    until(lambda: not core.rows(SELECT_WAITING_SESSIONS))
    assert_connected(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    assert core.audited() == [("service", "login", "ok")]


def callback_event(core, code, session_id):
    query = {"code": code, "session_id": session_id}
    return core.event("GET /auth/hh/callback", query=query)


def test_concurrent_equal_callbacks_send_one_code(core, session_id):
    url, state = core.redirect(pkce="S256")
    query = {"code": core.consent(url, "anna"), "session_id": session_id, "state": state}
    event = core.event("GET /auth/hh/callback", query=query)
    workers = [core.worker() for _ in range(5)]
    senders = [threading.Thread(target=worker.send, args=(event,)) for worker in workers]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    replies = [worker.reply() for worker in workers]
    answers = {reply.text for reply in replies if reply.status == 200}
    assert len(answers) == 1
    refusals = [reply.refusal for reply in replies if reply.status != 200]
    assert set(refusals) <= {(503, "login_in_progress")}
    assert core.hits() == 1
    assert core.callback(**query).text in answers


def test_concurrent_repeats_of_an_interrupted_login_agree(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    workers = [core.worker() for _ in range(4)]
    for worker in workers:
        worker.send(callback_event(core, code, session_id))
    replies = [worker.reply() for worker in workers]
    assert len({reply.text for reply in replies if reply.status == 200}) == 1
    refusals = {reply.refusal for reply in replies if reply.status != 200}
    assert refusals <= {(503, "login_in_progress")}
    assert core.hits() == 1
    assert core.live_pairs() == 1


def test_concurrent_logins_of_a_person_share_an_account(core):
    sessions = [str(uuid4()) for _ in range(4)]
    workers = [core.worker() for _ in sessions]
    events = [callback_event(core, core.code(), session_id) for session_id in sessions]
    for worker, event in zip(workers, events, strict=True):
        worker.send(event)
    for worker, session_id in zip(workers, sessions, strict=True):
        assert_connected(worker.reply(), session_id)
    assert len(core.rows("SELECT FROM accounts")) == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1


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
    assert resumes(core, first_jwt).text == resumes(core, second_jwt).text


def test_bound_login_as_another_person_moves_the_session(core, session_id):
    _, old = core.log_in("anna", session_id)
    annas = core.account(session_id)["account_id"]
    _, new = core.log_in("timur", session_id, bound=True)
    assert core.account(session_id)["account_id"] != annas
    assert resumes(core, old).refusal == (401, "invalid_token")
    titles = [resume["title"] for resume in resumes(core, new).body["items"]]
    assert titles == ["Водитель-экспедитор"]
    assert len(core.rows("SELECT FROM users")) == 1


def test_move_at_the_moment_of_the_login_ends_the_older_jwt(core, session_id):
    core.sandbox.control("POST", "/clock", {"rate": 0})
    _, old = core.log_in("anna", session_id)
    url, state = core.redirect(session_id=session_id)
    code = core.consent(url, "timur")
    reply = core.callback(code, session_id, state=state)
    assert resumes(core, old).refusal == (401, "invalid_token")
    assert resumes(core, assert_connected(reply, session_id)).status == 200
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
    assert resumes(core, first).status == resumes(core, second).status == 200


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
    assert resumes(core, jwt).status == 200


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
