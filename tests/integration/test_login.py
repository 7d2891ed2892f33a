"""Logging in at hh.ru through functions/oauth: the way there, the way back, and all that breaks."""

import base64
import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.fixtures.hh_sandbox import REDIRECT_URI
from tests.fixtures.ports import free_port
from ullgetthejob.hh import client as hh_client
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.errors import HHForbidden
from ullgetthejob.platform import aws

MINUTE = 60
LOGINS = "SELECT state, refusal, pair, user_id, account_id FROM hh_logins"


@pytest.fixture
def session_id():
    return str(uuid4())


def session_answers(reply, session_id):
    """The JWT of a good answer."""
    assert reply.status == 200, reply
    assert set(reply.body) == {"success", "jwt", "session_id"}
    assert (reply.body["success"], reply.body["session_id"]) == (True, session_id)
    return reply.body["jwt"]


def resumes(core, jwt):
    return core.call("GET /api/hh/resumes", jwt=jwt, secret=None)


def until(condition, seconds=20):
    """Wait for *condition*; what it returned."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


# ── the way there ────────────────────────────────────────────────────────────────────────────────


def test_the_redirect_is_hh_ru_s_login_page_with_what_it_wants(core):
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


def test_pkce_sends_the_challenge_of_a_verifier_that_stays_here(core, local_aws):
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


def test_the_state_is_nowhere_kept_as_it_is(core, local_aws):
    _, state = core.redirect(session_id=str(uuid4()))
    dynamodb = local_aws.client("dynamodb")
    kept = json.dumps(dynamodb.scan(TableName="OneTimeTable")["Items"], default=str)
    dynamodb.close()
    assert hashlib.sha256(state.encode()).hexdigest() in kept
    assert state not in kept


def test_the_way_there_wants_the_service_and_a_known_method(core):
    assert core.call("GET /auth/hh/redirect", secret=None).refusal == (401, "unauthorized")
    for query in ({"pkce": "plain"}, {"session_id": "undefined"}):
        assert core.call("GET /auth/hh/redirect", query=query).refusal == (422, "invalid_request")


def test_without_the_application_s_id_logging_in_is_unavailable_and_says_why(
    core, monkeypatch, session_id
):
    code = core.code()
    monkeypatch.delenv("HH_CLIENT_ID")
    there = core.call("GET /auth/hh/redirect")
    for _ in range(2):  # the BFF asks again after every 5xx
        back = core.callback(code, session_id)
        for reply in (there, back):
            assert reply.refusal == (503, "hh_misconfigured")
            assert "HH_CLIENT_ID" in reply.body["message"]
            assert int(reply.headers["retry-after"]) >= 60
    monkeypatch.setenv("HH_CLIENT_ID", core.sandbox.client_id)
    session_answers(core.callback(code, session_id), session_id)


# ── the way back ─────────────────────────────────────────────────────────────────────────────────


def test_a_callback_without_state_connects_the_session(core, session_id):
    jwt = session_answers(core.callback(core.code(), session_id), session_id)
    assert len(jwt) < 3072
    titles = {item["title"] for item in resumes(core, jwt).body["items"]}
    assert titles == {"Python-разработчик", "Backend-инженер"}
    assert core.audited()[0] == ("service", "login", "ok")


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("pkce", [{"pkce": "S256"}, {}])
def test_a_callback_with_its_state_connects_the_session(core, session_id, bound, pkce):
    url, state = core.redirect(**pkce, **({"session_id": session_id} if bound else {}))
    code = core.consent(url, "anna")
    jwt = session_answers(core.callback(code, session_id, state=state), session_id)
    assert resumes(core, jwt).status == 200


def test_pkce_without_the_state_has_no_verifier_and_hh_ru_refuses(core, session_id):
    url, _ = core.redirect(pkce="S256")
    assert core.callback(core.consent(url, "anna"), session_id).refusal == (400, "invalid_code")


def test_the_users_row_is_what_the_bff_needs(core, session_id):
    core.log_in("anna", session_id)
    [row] = core.rows("SELECT * FROM users")
    assert (str(row["id"]), row["email"]) == (session_id, f"{session_id}@session.invalid")
    assert row["password_hash"] == "!"
    assert row["inserted_at"] is not None
    assert row["tokens_valid_from"] is not None  # a token of an earlier row counts no more
    [account] = core.rows("SELECT id, hh_user_id, access_state FROM accounts")
    assert row["account_id"] == account["id"]
    assert (account["hh_user_id"], account["access_state"]) == ("170000001", "ok")


def test_a_users_row_that_is_there_keeps_its_e_mail_and_password(core, session_id):
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


def test_the_original_s_tokens_of_this_user_are_gone_and_others_stay(core, session_id):
    for owner, token in ((session_id, "mine"), (str(uuid4()), "others"), (None, "nobodys")):
        core.rows(
            "INSERT INTO hh_tokens"
            " (id, user_id, access_token, refresh_token, expires_at, inserted_at, updated_at)"
            " VALUES (gen_random_uuid(), %s, %s, '', '2025-01-01', '2025-01-01', '2025-01-01')",
            owner,
            token,
        )
    core.log_in("anna", session_id)
    left = core.rows("SELECT access_token FROM hh_tokens")
    assert {row["access_token"] for row in left} == {"others", "nobodys"}
    assert len(core.rows("SELECT FROM account_tokens")) == 1


def test_the_callback_wants_a_code_or_an_error_and_a_session_that_is_a_uuid(core):
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


def test_an_unknown_state_is_refused_and_the_code_not_sent(core, session_id):
    for state in ("made-up", ""):
        refused_state(core.callback(core.code(), session_id, state=state), "unknown")
    assert core.hits() == 0
    assert core.rows(LOGINS) == []
    assert core.audited() == [("service", "login", "invalid_state")] * 2


def test_a_state_is_good_once(core, session_id):
    url, state = core.redirect()
    first, second = core.consent(url, "anna"), core.consent(url, "anna")
    session_answers(core.callback(first, session_id, state=state), session_id)
    core.reset_hits()
    refused_state(core.callback(second, session_id, state=state), "used")
    assert core.hits() == 0


def test_a_state_lives_ten_minutes(core, session_id):
    (early, early_state), (late, late_state) = core.redirect(), core.redirect()
    core.sandbox.advance(9 * MINUTE)
    early, late = core.consent(early, "anna"), core.consent(late, "anna")
    session_answers(core.callback(early, session_id, state=early_state), session_id)
    core.reset_hits()
    core.sandbox.advance(MINUTE + 1)
    refused_state(core.callback(late, session_id, state=late_state), "expired")
    assert core.hits() == 0


def test_a_state_of_another_session_is_refused(core, session_id):
    url, state = core.redirect(session_id=str(uuid4()))
    code = core.consent(url, "anna")
    refused_state(core.callback(code, session_id, state=state), "another session")
    refused_state(core.callback(code, state=state), "another session")
    assert core.hits() == 0
    assert core.rows("SELECT FROM users") == []


# ── the same code again ──────────────────────────────────────────────────────────────────────────


def test_the_same_code_and_session_get_the_same_answer_and_hh_ru_the_code_once(core, session_id):
    url, state = core.redirect(pkce="S256")
    code = core.consent(url, "anna")
    core.reset_hits()
    first = core.callback(code, session_id, state=state)
    session_answers(first, session_id)
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


def test_the_same_code_with_another_session_is_a_conflict(core, session_id):
    code = core.code()
    first = core.callback(code, session_id)
    core.reset_hits()
    for other in (str(uuid4()), None):
        reply = core.callback(code, other)
        assert reply.refusal == (409, "code_of_another_session")
        assert "jwt" not in reply.text
    assert core.hits() == 0
    assert len(core.rows("SELECT FROM users")) == 1
    assert core.callback(code, session_id).text == first.text


def test_a_code_that_hh_ru_does_not_take_is_refused_once_and_for_all(core, session_id):
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


def test_a_code_is_kept_as_its_hash_and_no_pair_is_left_over(core, session_id):
    code = core.code()
    core.callback(code, session_id)
    [row] = core.rows("SELECT code_hash, pair, state FROM hh_logins")
    assert row["code_hash"] == hashlib.sha256(code.encode()).digest()
    assert (row["pair"], row["state"]) == (None, "done")


def test_logins_of_long_ago_are_forgotten(core, session_id):
    core.log_in("anna", session_id)
    core.sandbox.advance(31 * 86_400)
    core.log_in("anna", session_id)
    assert len(core.rows(LOGINS)) == 1


def test_after_a_disconnect_an_old_code_proves_nothing(core, session_id):
    code = core.code()
    jwt = core.callback(code, session_id).body["jwt"]
    core.call("DELETE /api/hh/connection", jwt=jwt)
    assert core.callback(code, session_id).refusal == (400, "invalid_code")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_a_person_who_refuses_is_no_error_of_ours(core, session_id):
    _, state = core.redirect()
    back = core.sandbox.consent("anna", decision="deny", state=state)
    assert back == {"error": "access_denied", "state": state}
    reply = core.callback(None, session_id, error="access_denied", state=state)
    assert reply.refusal == (400, "access_denied")
    assert core.callback(None, session_id, error="server_error").refusal == (400, "login_failed")
    assert core.rows(LOGINS) == []
    assert ("service", "login", "access_denied") in core.audited()


def test_an_employer_is_turned_away_and_the_pair_given_back(core, session_id):
    code = core.code("employer")
    for _ in range(2):
        reply = core.callback(code, session_id)
        assert reply.refusal == (400, "not_an_applicant")
        assert "employer" in reply.body["message"]
    assert core.hits("DELETE /token") == 1
    assert core.live_pairs("employer") == 0
    for table in ("users", "accounts", "account_tokens"):
        assert core.rows(f"SELECT FROM {table}") == []


def test_an_employer_is_turned_away_also_when_the_pair_cannot_be_given_back(core, session_id):
    core.sandbox.fault("server_error", path="/token", method="DELETE")
    assert core.callback(core.code("employer"), session_id).refusal == (400, "not_an_applicant")
    assert core.rows("SELECT pair FROM hh_logins") == [{"pair": None}]


def test_a_person_whom_hh_ru_closes_to_core_is_told_so(core, session_id, monkeypatch):
    def closed(self, token):
        raise HHForbidden("hh.ru keeps this closed to Core")

    monkeypatch.setattr(HHClient, "me", closed)  # the sandbox shows everybody to themselves
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
def test_what_is_wrong_with_the_account_is_told(core, session_id, state, code):
    sent = core.code()
    core.sandbox.control("POST", "/people/anna/account", {"state": state})
    for _ in range(2):
        reply = core.callback(sent, session_id)
        assert reply.refusal == (400, code)
        assert "log in" in reply.body["message"]
    assert core.hits() == 1


# ── hh.ru in trouble ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def elsewhere(core, monkeypatch):
    """hh.ru moves to an address where nobody listens; called, it comes back."""
    from tests.fixtures.core import reset_environment

    reset_environment()
    monkeypatch.setenv("HH_API_URL", f"http://127.0.0.1:{free_port()}")

    def back():
        reset_environment()
        monkeypatch.setenv("HH_API_URL", core.sandbox.url)

    return back


def test_a_code_that_was_never_sent_is_sent_by_the_next_try(core, session_id, elsewhere):
    code = core.code()
    reply = core.callback(code, session_id)
    assert reply.refusal == (503, "hh_unavailable")
    assert "retry-after" in reply.headers
    elsewhere()
    session_answers(core.callback(code, session_id), session_id)
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
def test_what_refuses_the_call_leaves_the_code_as_it_was(core, session_id, fault, error):
    code = core.code()
    core.sandbox.fault(fault, path="/token", times=1)
    reply = core.callback(code, session_id)
    assert reply.refusal == (503, error)
    assert "retry-after" in reply.headers
    assert core.rows(LOGINS) == []
    unpause(core)
    session_answers(core.callback(code, session_id), session_id)


def unpause(core):
    """Core asks hh.ru again, as it would a while later."""
    aws.call("dynamodb", "DeleteItem", {"TableName": "PacerTable", "Key": {"pk": {"S": PAUSE}}})


PAUSE = "pacer#default"


@pytest.mark.parametrize(
    "fault",
    ["server_error", "service_unavailable", "bad_gateway", "truncated", "drop", "lost", "slow"],
)
def test_a_code_that_hh_ru_may_have_taken_is_never_sent_again(core, session_id, fault, monkeypatch):
    monkeypatch.setattr(hh_client, "TIMEOUT", httpx.Timeout(0.3))
    code = core.code()
    core.sandbox.fault(fault, path="/token", times=1, seconds=1)
    for _ in range(3):
        reply = core.callback(code, session_id)
        assert reply.refusal == (400, "login_interrupted")
        assert "start it again" in reply.body["message"]
    assert until(core.hits) == 1
    session_answers(core.callback(core.code(), session_id), session_id)


@pytest.mark.parametrize(
    "fault", ["server_error", "truncated", "lost", "edge_block", "too_many_requests", "captcha"]
)
def test_after_the_exchange_a_repeat_goes_on_without_the_code(core, session_id, fault):
    code = core.code()
    core.sandbox.fault(fault, path="/me", times=1)
    reply = core.callback(code, session_id)
    assert reply.status == 503
    assert "retry-after" in reply.headers
    [row] = core.rows(LOGINS)
    assert row["state"] == "exchanged"
    unpause(core)
    session_answers(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert core.rows("SELECT pair FROM hh_logins") == [{"pair": None}]
    assert core.live_pairs() == 1


def test_a_pair_that_waits_is_kept_as_ciphertext(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    core.callback(core.code(), session_id)
    [row] = core.rows(LOGINS)
    assert not re.search("USER|\\[", row["pair"])
    assert len(base64.b64decode(row["pair"])) > 100


def test_a_pair_that_waited_is_no_younger_than_hh_ru_says(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    given_at = core.now()
    code = core.code()
    core.callback(code, session_id)
    core.sandbox.advance(86_400)
    session_answers(core.callback(code, session_id), session_id)
    [row] = core.rows("SELECT expires_at FROM account_tokens")
    lives = row["expires_at"] - given_at.replace(tzinfo=None)
    assert 14 * 86_400 - 5 < lives.total_seconds() <= 14 * 86_400 + 5


@pytest.mark.parametrize("previous_is_known", [True, False])
def test_a_pair_that_waits_while_the_key_is_replaced(
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
        session_answers(core.callback(code, session_id), session_id)
    else:
        assert core.callback(code, session_id).refusal == (400, "login_interrupted")


def test_of_two_calls_that_carry_a_login_on_the_slower_one_changes_nothing(
    core, session_id, monkeypatch
):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    faster = []
    me = HHClient.me

    def while_another_does_it_all(self, token):
        if not faster:
            faster.append(None)
            faster[0] = core.callback(code, session_id)
        return me(self, token)

    monkeypatch.setattr(HHClient, "me", while_another_does_it_all)
    assert core.callback(code, session_id).refusal == (503, "login_in_progress")
    jwt = session_answers(faster[0], session_id)
    assert core.callback(code, session_id).text == faster[0].text
    assert resumes(core, jwt).status == 200
    outcomes = [outcome for _, action, outcome in core.audited() if action == "login"]
    assert outcomes == ["hh_unavailable", "ok", "login_in_progress", "repeated"]


def test_a_person_who_takes_access_back_at_once_starts_again(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    core.sandbox.control("POST", "/people/anna/revoke")
    for _ in range(2):
        assert core.callback(code, session_id).refusal == (400, "login_interrupted")


def test_aws_down_is_503_and_costs_the_code_nothing(core, session_id, monkeypatch):
    code = core.code()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    aws.reset_connections()
    assert core.callback(code, session_id).status == 503
    assert core.call("GET /auth/hh/redirect").refusal == (503, "one_time_keys_unavailable")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    aws.reset_connections()
    session_answers(core.callback(code, session_id), session_id)


def test_a_pair_that_cannot_be_encrypted_is_given_back(core, session_id, monkeypatch):
    code = core.code()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    aws.reset_connections()
    assert core.callback(code, session_id).refusal == (400, "login_interrupted")
    assert core.live_pairs() == 0
    monkeypatch.delenv("AWS_ENDPOINT_URL_KMS")
    aws.reset_connections()
    assert core.callback(code, session_id).refusal == (400, "login_interrupted")
    session_answers(core.callback(core.code(), session_id), session_id)


# ── workers that are killed ──────────────────────────────────────────────────────────────────────


def test_a_worker_killed_while_hh_ru_has_the_code(core, session_id):
    code = core.code()
    worker = core.worker()
    core.sandbox.fault("slow", path="/token", times=1, seconds=1)
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


def test_a_worker_killed_after_the_exchange(core, session_id):
    code = core.code()
    worker = core.worker()
    core.sandbox.fault("slow", path="/me", times=1, seconds=2)
    worker.send(callback_event(core, code, session_id))
    until(lambda: [row for row in core.rows(LOGINS) if row["state"] == "exchanged"])
    time.sleep(0.2)
    worker.kill()
    core.sandbox.control("DELETE", "/faults")
    session_answers(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert core.live_pairs() == 1
    until(lambda: core.hits("GET /me") == 2)  # the slow one is counted, too, before another test


@contextmanager
def locked(core, table):
    """Nobody else writes *table* meanwhile."""
    with psycopg.connect(core.database_url) as own:
        own.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


def waiting(core):
    return core.rows(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )


@pytest.mark.parametrize("table", ["account_tokens", "audit_log"])
def test_a_worker_killed_before_the_commit(core, session_id, table):
    code = core.code()
    worker = core.worker()
    with locked(core, table):
        worker.send(callback_event(core, code, session_id))
        until(lambda: waiting(core))
        worker.kill()
    until(lambda: not waiting(core))
    session_answers(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    assert core.audited() == [("service", "login", "ok")]


def callback_event(core, code, session_id):
    query = {"code": code, "session_id": session_id}
    return core.event("GET /auth/hh/callback", query=query)


def test_the_same_callback_many_times_at_once_sends_one_code(core, session_id):
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
    good = {reply.text for reply in replies if reply.status == 200}
    assert len(good) == 1
    rest = [reply.refusal for reply in replies if reply.status != 200]
    assert set(rest) <= {(503, "login_in_progress")}
    assert core.hits() == 1
    assert core.callback(**query).text in good


def test_many_repeats_of_a_login_that_was_cut_off_agree(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    code = core.code()
    core.callback(code, session_id)
    workers = [core.worker() for _ in range(4)]
    for worker in workers:
        worker.send(callback_event(core, code, session_id))
    replies = [worker.reply() for worker in workers]
    assert len({reply.text for reply in replies if reply.status == 200}) == 1
    rest = {reply.refusal for reply in replies if reply.status != 200}
    assert rest <= {(503, "login_in_progress")}
    assert core.hits() == 1
    assert core.live_pairs() == 1


def test_two_sessions_of_one_person_log_in_at_once(core):
    sessions = [str(uuid4()) for _ in range(4)]
    workers = [core.worker() for _ in sessions]
    events = [callback_event(core, core.code(), session_id) for session_id in sessions]
    for worker, event in zip(workers, events, strict=True):
        worker.send(event)
    for worker, session_id in zip(workers, sessions, strict=True):
        session_answers(worker.reply(), session_id)
    assert len(core.rows("SELECT FROM accounts")) == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1


# ── people and sessions ──────────────────────────────────────────────────────────────────────────


def test_one_person_on_two_sessions_is_one_account(core):
    (first, jwt), (second, other) = core.log_in("anna"), core.log_in("anna")
    assert len(core.rows("SELECT FROM accounts")) == 1
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    seen = [
        core.account(first, jwt=jwt, secret=None),
        core.account(second, jwt=other, secret=None),
        core.account(first),
    ]
    for answer, session_id in zip(seen, (first, second, first), strict=True):
        assert answer.pop("user_id") == session_id
    assert seen[0] == seen[1] == seen[2]
    assert (seen[0]["connected"], seen[0]["access"]["state"]) == (True, "ok")
    assert resumes(core, jwt).text == resumes(core, other).text


def test_a_session_that_logs_in_as_another_person_moves(core, session_id):
    _, old = core.log_in("anna", session_id)
    annas = core.account(session_id)["account_id"]
    _, new = core.log_in("timur", session_id, bound=True)
    assert core.account(session_id)["account_id"] != annas
    assert resumes(core, old).refusal == (401, "invalid_token")
    assert [one["title"] for one in resumes(core, new).body["items"]] == ["Водитель-экспедитор"]
    assert len(core.rows("SELECT FROM users")) == 1


def test_a_session_that_moves_within_the_same_moment_ends_the_older_jwt(core, session_id):
    core.sandbox.control("POST", "/clock", {"rate": 0})
    _, old = core.log_in("anna", session_id)
    url, state = core.redirect(session_id=session_id)
    code = core.consent(url, "timur")
    reply = core.callback(code, session_id, state=state)
    assert resumes(core, old).refusal == (401, "invalid_token")
    assert resumes(core, session_answers(reply, session_id)).status == 200
    assert core.callback(code, session_id, state=state).text == reply.text


def test_the_code_of_before_a_move_brings_nothing_back(core, session_id):
    url, state = core.redirect(session_id=session_id)
    code = core.consent(url, "anna")
    core.callback(code, session_id, state=state)
    core.log_in("timur", session_id, bound=True)
    assert core.callback(code, session_id, state=state).refusal == (400, "invalid_code")
    assert core.account(session_id)["access"]["state"] == "ok"


def test_a_second_login_of_the_same_session_keeps_its_older_jwt(core, session_id):
    _, first = core.log_in("anna", session_id)
    core.sandbox.advance(1)
    _, second = core.log_in("anna", session_id)
    assert first != second
    assert resumes(core, first).status == resumes(core, second).status == 200


def test_a_login_ends_what_stood_in_the_way_but_not_hh_ru_s_limit(core, session_id):
    core.log_in("anna", session_id)
    for state, until_, after in (
        ("reauth_required", None, "ok"),
        ("captcha", None, "ok"),
        ("closed", "2100-01-01", "ok"),
        ("limited_until", "2100-01-01", "limited_until"),
    ):
        core.rows("UPDATE accounts SET access_state = %s, access_until = %s", state, until_)
        core.log_in("anna", session_id)
        assert core.access(session_id)["state"] == after


def test_a_jwt_beside_the_callback_binds(core, session_id):
    _, jwt = core.log_in("anna", session_id)
    code = core.code()
    for other in (str(uuid4()), None):
        assert core.callback(code, other, jwt=jwt).refusal == (403, "user_mismatch")
    assert core.callback(code, session_id, jwt=jwt + "x").refusal == (401, "invalid_token")
    assert core.hits() == 0
    session_answers(core.callback(code, session_id, jwt=jwt), session_id)


# ── a trusted server ─────────────────────────────────────────────────────────────────────────────


def test_without_a_session_the_tokens_are_answered_and_again(core):
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


def test_tokens_without_a_session_are_the_account_s_pair(core):
    _, jwt = core.log_in("anna")
    core.callback(core.code())
    assert len(core.rows("SELECT FROM account_tokens")) == 1
    assert resumes(core, jwt).status == 200


def test_tokens_that_are_gone_are_not_answered_again(core):
    code = core.code()
    core.callback(code)
    _, jwt = core.log_in("anna")
    core.call("DELETE /api/hh/connection", jwt=jwt)
    assert core.callback(code).refusal == (400, "invalid_code")


def test_the_bff_s_migration_that_drops_the_original_s_table_changes_nothing(core):
    session, jwt = core.log_in("anna")
    core.rows("DROP TABLE IF EXISTS hh_tokens CASCADE")
    assert core.call("GET /api/hh/resumes", jwt=jwt).status == 200
    assert core.access(session)["state"] == "ok"
    core.log_in("anna", session)
    _, other = core.log_in("timur")
    assert core.call("GET /api/hh/resumes", jwt=other).status == 200
