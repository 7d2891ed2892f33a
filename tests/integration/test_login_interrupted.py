"""Logins that hh.ru, AWS or the end of a worker interrupts, and logins at once."""

import base64
import re
import threading
import time
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures.core import assert_connected
from tests.fixtures.database import SELECT_WAITING_SESSIONS
from tests.fixtures.ports import free_port
from tests.fixtures.waiting import until
from ullgetthejob.hh import calls
from ullgetthejob.hh.client import HHClient
from ullgetthejob.platform import aws

MINUTE = 60

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
    assert core.logins() == []
    core.end_pause()
    assert_connected(core.callback(code, session_id), session_id)


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
    [row] = core.logins()
    assert row["state"] == "exchanged"
    core.end_pause()
    assert_connected(core.callback(code, session_id), session_id)
    assert core.hits() == 1
    assert core.rows("SELECT pair FROM hh_logins") == [{"pair": None}]
    assert core.live_pairs() == 1


def test_parked_pair_is_stored_as_ciphertext(core, session_id):
    core.sandbox.fault("server_error", path="/me", times=1)
    core.callback(core.code(), session_id)
    [row] = core.logins()
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
    assert core.resumes(jwt).status == 200
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
    until(core.logins)
    time.sleep(0.3)
    worker.kill()
    [row] = core.logins()
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
    until(lambda: [row for row in core.logins() if row["state"] == "exchanged"])
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
