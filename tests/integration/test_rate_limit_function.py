"""functions/rate_limit: status, check and reset, as the BFF and an administrator call them."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest

from functions.rate_limit.app import handler
from local.settings import REPOSITORY
from tests.fixtures.core import Reply
from ullgetthejob.platform import aws
from ullgetthejob.rate_limits import daily_limit

ADMIN_SECRET = "the-administrators-own-secret"
STATUS = "GET /api/rate-limit/status"
STATUS_OF = "GET /api/rate-limit/status/{user_id}"
CHECK = "POST /api/v1/rate-limit/check"
RESET = "DELETE /api/rate-limit/{user_id}"
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
INTERVAL = timedelta(minutes=7, seconds=30)
ATTEMPT = """
    WITH row AS (
        INSERT INTO application_ledger
            (account_id, user_id, vacancy_id, state, created_at, updated_at)
        SELECT account_id, id, gen_random_uuid()::text, 'submitting', %(at)s, %(at)s
        FROM users WHERE id = %(user_id)s RETURNING id, account_id
    ), attempt AS (
        INSERT INTO application_attempts (ledger_id, account_id, number, at)
        SELECT id, account_id, 1, %(at)s FROM row RETURNING id
    )
    INSERT INTO application_outcomes (attempt_id, at, outcome, counts)
    SELECT id, %(at)s, 'told', %(counts)s::boolean FROM attempt
    WHERE %(counts)s::boolean IS NOT NULL
"""


@pytest.fixture(autouse=True)
def _admin_secret(monkeypatch):
    monkeypatch.setenv("ADMIN_SECRET", ADMIN_SECRET)


def call(core, key, *, headers=None, **options):
    event = core.event(key, **options)
    event["headers"] |= headers or {}
    return Reply.of(handler(event, CONTEXT))


def status(core, user_id, **options):
    reply = call(core, STATUS, query={"user_id": user_id}, **options)
    assert reply.status == 200, reply
    return reply.body


def check(core, user_id, key=None, **options):
    headers = {} if key is None else {"idempotency-key": key}
    reply = call(core, CHECK, body={"user_id": user_id}, headers=headers, **options)
    assert reply.status == 200, reply
    return reply.body


def reset(core, user_id, secret=ADMIN_SECRET, **options):
    headers = {} if secret is None else {"x-admin-secret": secret}
    parameters = {"user_id": user_id}
    return call(core, RESET, parameters=parameters, headers=headers, secret=None, **options)


def applied(core, user_id, moment, *, outcome=None, times=1):
    """Attempts in the ledger, at *moment*; *outcome* is whether each counts, once that is known."""
    values = {"at": moment, "user_id": user_id, "counts": outcome}
    with psycopg.connect(core.database_url, autocommit=True) as connection:
        for _ in range(times):
            connection.execute(ATTEMPT, values)


def test_a_new_person_may_apply(core):
    user_id, _ = core.log_in()
    assert status(core, user_id) == {
        "tokens": 20,
        "capacity": 20,
        "refill_rate": 8.0,
        "refillRate": 8.0,
        "last_refill": None,
        "lastRefill": None,
        "next_refill": None,
        "nextRefill": None,
        "can_apply": True,
        "canApply": True,
        "applications_today": 0,
        "applicationsToday": 0,
    }


def test_tokens_are_spent_until_there_is_none_and_then_it_is_said_when(core):
    user_id, _ = core.log_in()
    answers = [check(core, user_id) for _ in range(20)]
    assert [answer["remaining"] for answer in answers] == list(range(19, -1, -1))
    assert all(answer["allowed"] for answer in answers)
    refused = check(core, user_id)
    assert refused["allowed"] is False
    wait = datetime.fromisoformat(refused["next_refill"]) - core.now()
    assert timedelta(0) < wait <= INTERVAL
    found = status(core, user_id)
    assert found["next_refill"] == found["nextRefill"] == refused["next_refill"]
    assert (found["tokens"], found["can_apply"], found["canApply"]) == (0, False, False)
    core.sandbox.advance(wait.total_seconds())
    assert status(core, user_id)["can_apply"] is True
    assert check(core, user_id) == {"allowed": True, "remaining": 0}


def test_a_status_spends_nothing_and_both_paths_say_the_same(core):
    user_id, _ = core.log_in()
    check(core, user_id)
    found = [status(core, user_id) for _ in range(3)]
    reply = call(core, STATUS_OF, parameters={"user_id": user_id})
    assert [*found, reply.body] == [found[0]] * 4
    assert found[0]["tokens"] == 19


def test_the_same_key_is_spent_once(core):
    user_id, _ = core.log_in()
    first = check(core, user_id, "key-1")
    check(core, user_id, "key-2")
    assert check(core, user_id, "key-1") == {"allowed": True, "remaining": 18}
    assert first == {"allowed": True, "remaining": 19}
    assert check(core, user_id)["remaining"] == 17
    assert check(core, user_id)["remaining"] == 16


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "k" * 256])
def test_a_key_that_cannot_be_one_is_refused(core, key):
    user_id, _ = core.log_in()
    reply = call(core, CHECK, body={"user_id": user_id}, headers={"idempotency-key": key})
    assert reply.refusal == (422, "invalid_request")
    assert reply.body["details"]["fields"][0]["field"] == "Idempotency-Key"
    assert status(core, user_id)["tokens"] == 20


def test_two_sessions_of_one_person_share_one_bucket(core):
    one, _ = core.log_in("anna")
    other, _ = core.log_in("anna")
    somebody_else, _ = core.log_in("timur")
    spent = [check(core, user_id)["allowed"] for user_id in [one, other] * 12]
    assert sum(spent) == 20
    assert status(core, one)["tokens"] == status(core, other)["tokens"] == 0
    assert status(core, somebody_else)["tokens"] == 20


def test_a_session_that_core_has_never_seen_stands_for_itself(core):
    stranger = str(uuid4())
    found = status(core, stranger)
    assert (found["tokens"], found["applications_today"]) == (20, 0)
    assert found["can_apply"] is False  # nobody is connected
    assert check(core, stranger) == {"allowed": True, "remaining": 19}
    assert status(core, stranger.upper())["tokens"] == 19
    assert core.rows("SELECT * FROM users WHERE id = %s", stranger) == []


@pytest.mark.parametrize("user_id", ["undefined", "null", "", "mvp-demo-user", "1", "%"])
def test_whoever_is_no_uuid_is_refused(core, user_id):
    for reply in (
        call(core, STATUS, query={"user_id": user_id}),
        call(core, STATUS_OF, parameters={"user_id": user_id}),
        call(core, CHECK, body={"user_id": user_id}),
        reset(core, user_id),
    ):
        assert reply.refusal == (422, "invalid_request")
    assert call(core, STATUS).refusal == (422, "invalid_request")
    assert call(core, CHECK, body={}).refusal == (422, "invalid_request")


def test_a_token_names_the_person_and_nobody_else(core):
    user_id, jwt = core.log_in("anna")
    other, _ = core.log_in("timur")
    check(core, user_id)
    assert call(core, STATUS, jwt=jwt).body["tokens"] == 19
    assert call(core, CHECK, jwt=jwt, body={}).body == {"allowed": True, "remaining": 18}
    for reply in (
        call(core, STATUS, jwt=jwt, query={"user_id": other}),
        call(core, STATUS_OF, jwt=jwt, parameters={"user_id": other}),
        call(core, CHECK, jwt=jwt, body={"user_id": other}),
        reset(core, other, jwt=jwt),
    ):
        assert reply.refusal == (403, "user_mismatch")
    assert status(core, other)["tokens"] == 20
    assert call(core, STATUS, jwt=jwt, secret=None).status == 401


@pytest.mark.parametrize("access", ["reauth_required", "captcha", "closed", "limited_until"])
def test_whom_hh_ru_does_not_let_cannot_apply(core, access):
    user_id, _ = core.log_in()
    until = core.now() + timedelta(hours=1)
    core.rows("UPDATE accounts SET access_state = %s, access_until = %s", access, until)
    found = status(core, user_id)
    assert (found["tokens"], found["can_apply"]) == (20, False)
    core.sandbox.advance(3600)
    # A captcha stays until hh.ru has answered again: only that tells whether it was solved.
    assert status(core, user_id)["can_apply"] is (access != "captcha")


def test_what_counts_at_hh_ru_counts_for_all_of_the_account_s_sessions(core):
    one, _ = core.log_in("anna")
    other, _ = core.log_in("anna")
    somebody_else, _ = core.log_in("timur")
    now = core.now()
    applied(core, one, now - timedelta(hours=23, minutes=59), outcome=True)
    applied(core, other, now - timedelta(minutes=1))  # nobody knows yet what came of it
    applied(core, one, now - timedelta(hours=24, minutes=3), outcome=True)
    applied(core, one, now, outcome=False)
    applied(core, somebody_else, now)
    core.rows(  # what the BFF writes decides nothing
        "INSERT INTO applications (user_id, job_external_id, status, submitted_at, inserted_at,"
        " updated_at) VALUES (%s, '1', 'submitted', now(), now(), now())",
        one,
    )
    assert status(core, one)["applications_today"] == 2
    assert status(core, other)["applicationsToday"] == 2
    assert status(core, somebody_else)["applications_today"] == 1


def test_two_hundred_within_24_hours_are_enough(core):
    user_id, _ = core.log_in()
    applied(core, user_id, core.now() - timedelta(hours=1), times=daily_limit.DAY_LIMIT - 1)
    assert status(core, user_id)["can_apply"] is True
    applied(core, user_id, core.now() - timedelta(hours=1))
    found = status(core, user_id)
    assert (found["tokens"], found["applications_today"], found["can_apply"]) == (20, 200, False)
    core.sandbox.advance((daily_limit.DAY - timedelta(hours=1)).total_seconds() + 1)
    assert status(core, user_id)["can_apply"] is True


def test_an_administrator_fills_the_bucket_on_record_and_not_the_24_hours(core):
    user_id, _ = core.log_in()
    applied(core, user_id, core.now())
    for _ in range(20):
        check(core, user_id)
    assert reset(core, user_id).body == {"success": True, "tokens": 20}
    found = status(core, user_id)
    assert (found["tokens"], found["applications_today"]) == (20, 1)
    assert core.audited()[-1] == ("admin", "rate_limit.reset", "ok")
    [row] = core.rows("SELECT user_id, account_id FROM audit_log ORDER BY id DESC LIMIT 1")
    assert str(row["user_id"]) == user_id
    assert row["account_id"] is not None


@pytest.mark.parametrize("known", [ADMIN_SECRET, "", None])
def test_without_the_administrators_secret_nothing_is_reset(core, monkeypatch, known):
    user_id, jwt = core.log_in()
    check(core, user_id)
    monkeypatch.delenv("ADMIN_SECRET")
    if known is not None:
        monkeypatch.setenv("ADMIN_SECRET", known)
    audited = core.audited()
    for sent in (None, "", "wrong", "None", "local-development-secret", "секрет"):
        assert reset(core, user_id, sent).refusal == (401, "unauthorized")
        assert reset(core, user_id, sent, jwt=jwt).refusal == (401, "unauthorized")
    parameters = {"user_id": user_id}
    assert call(core, RESET, parameters=parameters).refusal == (401, "unauthorized")
    assert core.audited() == audited
    assert status(core, user_id)["tokens"] == 19


def test_while_dynamodb_is_down_nothing_is_allowed(core, monkeypatch):
    user_id, _ = core.log_in()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.reset_connections()
    for reply in (
        call(core, STATUS, query={"user_id": user_id}),
        call(core, CHECK, body={"user_id": user_id}),
        reset(core, user_id),
    ):
        assert reply.refusal == (503, "rate_limit_unavailable")
        assert int(reply.headers["retry-after"]) > 0
    assert core.audited()[-1] == ("admin", "rate_limit.reset", "rate_limit_unavailable")


def test_a_person_waits_seven_and_a_half_minutes_for_each_token(core):
    user_id, _ = core.log_in()
    for _ in range(20):
        check(core, user_id)
    moments = []
    for _ in range(4):
        refused = check(core, user_id)
        moments.append(datetime.fromisoformat(refused["next_refill"]))
        core.sandbox.advance((moments[-1] - core.now()).total_seconds() + 0.001)
        assert check(core, user_id)["allowed"]
    assert {after - before for before, after in pairwise(moments)} == {INTERVAL}


@pytest.mark.parametrize("name", ["rate_limit", "rate_limit-status", "rate_limit-check"])
def test_a_sample_event_is_answered(core, name):
    event = json.loads((REPOSITORY / f"events/{name}.json").read_text())
    assert Reply.of(handler(event, CONTEXT)).status == 200
