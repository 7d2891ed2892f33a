"""functions/rate_limit: status, check and reset, as the BFF and an administrator call them."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest

from local.settings import REPOSITORY
from ullgetthejob.platform import aws
from ullgetthejob.rate_limits import daily_limit

ADMIN_SECRET = "the-administrators-own-secret"
STATUS = "GET /api/rate-limit/status"
STATUS_OF = "GET /api/rate-limit/status/{user_id}"
CHECK = "POST /api/v1/rate-limit/check"
RESET = "DELETE /api/rate-limit/{user_id}"
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


def status(core, user_id, **options):
    reply = core.call(STATUS, query={"user_id": user_id}, **options)
    assert reply.status == 200, reply
    return reply.body


def check(core, user_id, key=None, **options):
    headers = {} if key is None else {"idempotency-key": key}
    reply = core.call(CHECK, body={"user_id": user_id}, headers=headers, **options)
    assert reply.status == 200, reply
    return reply.body


def reset(core, user_id, secret=ADMIN_SECRET, **options):
    headers = {} if secret is None else {"x-admin-secret": secret}
    parameters = {"user_id": user_id}
    return core.call(RESET, parameters=parameters, headers=headers, secret=None, **options)


def insert_attempts(core, user_id, moment, *, counts=None, times=1):
    """Insert attempts into the ledger, at *moment*; *counts*: whether each counts, ``None`` while
    its outcome is not known."""
    values = {"at": moment, "user_id": user_id, "counts": counts}
    with psycopg.connect(core.database_url, autocommit=True) as connection:
        for _ in range(times):
            connection.execute(ATTEMPT, values)


def test_new_account_may_apply(core):
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
        "by_hand": "seen",
    }


def test_check_spends_tokens_then_returns_the_next_refill(core):
    user_id, _ = core.log_in()
    answers = [check(core, user_id) for _ in range(20)]
    assert [answer["remaining"] for answer in answers] == list(range(19, -1, -1))
    assert all(answer["allowed"] for answer in answers)
    refused = check(core, user_id)
    assert refused["allowed"] is False
    wait = datetime.fromisoformat(refused["next_refill"]) - core.now()
    assert timedelta(0) < wait <= INTERVAL
    limits = status(core, user_id)
    assert limits["next_refill"] == limits["nextRefill"] == refused["next_refill"]
    assert (limits["tokens"], limits["can_apply"], limits["canApply"]) == (0, False, False)
    core.sandbox.advance(wait.total_seconds())
    assert status(core, user_id)["can_apply"] is True
    assert check(core, user_id) == {"allowed": True, "remaining": 0}


def test_status_of_both_paths_is_equal_and_spends_nothing(core):
    user_id, _ = core.log_in()
    check(core, user_id)
    answers = [status(core, user_id) for _ in range(3)]
    reply = core.call(STATUS_OF, parameters={"user_id": user_id})
    assert [*answers, reply.body] == [answers[0]] * 4
    assert answers[0]["tokens"] == 19


def test_repeated_idempotency_key_is_spent_once(core):
    user_id, _ = core.log_in()
    first = check(core, user_id, "key-1")
    check(core, user_id, "key-2")
    assert check(core, user_id, "key-1") == {"allowed": True, "remaining": 18}
    assert first == {"allowed": True, "remaining": 19}
    assert check(core, user_id)["remaining"] == 17
    assert check(core, user_id)["remaining"] == 16


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "k" * 256])
def test_malformed_idempotency_key_is_refused(core, key):
    user_id, _ = core.log_in()
    reply = core.call(CHECK, body={"user_id": user_id}, headers={"idempotency-key": key})
    assert reply.refusal == (422, "invalid_request")
    assert reply.body["details"]["fields"][0]["field"] == "Idempotency-Key"
    assert status(core, user_id)["tokens"] == 20


def test_two_sessions_of_a_person_share_a_bucket(core):
    first, _ = core.log_in("anna")
    second, _ = core.log_in("anna")
    timur, _ = core.log_in("timur")
    allowed = [check(core, user_id)["allowed"] for user_id in [first, second] * 12]
    assert sum(allowed) == 20
    assert status(core, first)["tokens"] == status(core, second)["tokens"] == 0
    assert status(core, timur)["tokens"] == 20


def test_unknown_user_has_a_bucket_of_its_own(core):
    unknown = str(uuid4())
    limits = status(core, unknown)
    assert (limits["tokens"], limits["applications_today"]) == (20, 0)
    assert limits["can_apply"] is False  # the user is not connected
    assert check(core, unknown) == {"allowed": True, "remaining": 19}
    assert status(core, unknown.upper())["tokens"] == 19
    assert core.rows("SELECT * FROM users WHERE id = %s", unknown) == []


@pytest.mark.parametrize("user_id", ["undefined", "null", "", "mvp-demo-user", "1", "%"])
def test_user_id_that_is_no_uuid_is_refused(core, user_id):
    for reply in (
        core.call(STATUS, query={"user_id": user_id}),
        core.call(STATUS_OF, parameters={"user_id": user_id}),
        core.call(CHECK, body={"user_id": user_id}),
        reset(core, user_id),
    ):
        assert reply.refusal == (422, "invalid_request")
    assert core.call(STATUS).refusal == (422, "invalid_request")
    assert core.call(CHECK, body={}).refusal == (422, "invalid_request")


def test_token_selects_its_user_and_refuses_others(core):
    user_id, jwt = core.log_in("anna")
    timur, _ = core.log_in("timur")
    check(core, user_id)
    assert core.call(STATUS, jwt=jwt).body["tokens"] == 19
    assert core.call(CHECK, jwt=jwt, body={}).body == {"allowed": True, "remaining": 18}
    for reply in (
        core.call(STATUS, jwt=jwt, query={"user_id": timur}),
        core.call(STATUS_OF, jwt=jwt, parameters={"user_id": timur}),
        core.call(CHECK, jwt=jwt, body={"user_id": timur}),
        reset(core, timur, jwt=jwt),
    ):
        assert reply.refusal == (403, "user_mismatch")
    assert status(core, timur)["tokens"] == 20
    assert core.call(STATUS, jwt=jwt, secret=None).status == 401


@pytest.mark.parametrize("access", ["reauth_required", "captcha", "limited_until"])
def test_access_state_other_than_ok_prevents_applying(core, access):
    user_id, _ = core.log_in()
    until = core.now() + timedelta(hours=1)
    core.rows("UPDATE accounts SET access_state = %s, access_until = %s", access, until)
    limits = status(core, user_id)
    assert (limits["tokens"], limits["can_apply"]) == (20, False)
    core.sandbox.advance(3600)
    # A captcha stays until hh.ru has answered again: only hh.ru knows whether it was solved.
    assert status(core, user_id)["can_apply"] is (access != "captcha")


def test_attempts_count_for_all_sessions_of_the_account(core):
    first, _ = core.log_in("anna")
    second, _ = core.log_in("anna")
    timur, _ = core.log_in("timur")
    now = core.now()
    insert_attempts(core, first, now - timedelta(hours=23, minutes=59), counts=True)
    insert_attempts(core, second, now - timedelta(minutes=1))  # without an outcome yet
    insert_attempts(core, first, now - timedelta(hours=24, minutes=3), counts=True)
    insert_attempts(core, first, now, counts=False)
    insert_attempts(core, timur, now)
    core.rows(  # rows of the BFF do not count
        "INSERT INTO applications (user_id, job_external_id, status, submitted_at, inserted_at,"
        " updated_at) VALUES (%s, '1', 'submitted', now(), now(), now())",
        first,
    )
    assert status(core, first)["applications_today"] == 2
    assert status(core, second)["applicationsToday"] == 2
    assert status(core, timur)["applications_today"] == 1


def test_daily_limit_prevents_applying(core):
    user_id, _ = core.log_in()
    moment = core.now() - timedelta(hours=1)
    insert_attempts(core, user_id, moment, times=daily_limit.DAY_LIMIT - 1)
    assert status(core, user_id)["can_apply"] is True
    insert_attempts(core, user_id, core.now() - timedelta(hours=1))
    limits = status(core, user_id)
    assert (limits["tokens"], limits["applications_today"]) == (20, 200)
    assert limits["can_apply"] is False
    core.sandbox.advance((daily_limit.DAY - timedelta(hours=1)).total_seconds() + 1)
    assert status(core, user_id)["can_apply"] is True


def test_reset_fills_the_bucket_and_keeps_the_daily_count(core):
    user_id, _ = core.log_in()
    insert_attempts(core, user_id, core.now())
    for _ in range(20):
        check(core, user_id)
    assert reset(core, user_id).body == {"success": True, "tokens": 20}
    limits = status(core, user_id)
    assert (limits["tokens"], limits["applications_today"]) == (20, 1)
    assert core.audited()[-1] == ("admin", "rate_limit.reset", "ok")
    [row] = core.rows("SELECT user_id, account_id FROM audit_log ORDER BY id DESC LIMIT 1")
    assert str(row["user_id"]) == user_id
    assert row["account_id"] is not None


@pytest.mark.parametrize("configured", [ADMIN_SECRET, "", None])
def test_reset_requires_the_administrators_secret(core, monkeypatch, configured):
    user_id, jwt = core.log_in()
    check(core, user_id)
    monkeypatch.delenv("ADMIN_SECRET")
    if configured is not None:
        monkeypatch.setenv("ADMIN_SECRET", configured)
    audited = core.audited()
    for sent in (None, "", "wrong", "None", "local-development-secret", "секрет"):
        assert reset(core, user_id, sent).refusal == (401, "unauthorized")
        assert reset(core, user_id, sent, jwt=jwt).refusal == (401, "unauthorized")
    parameters = {"user_id": user_id}
    assert core.call(RESET, parameters=parameters).refusal == (401, "unauthorized")
    assert core.audited() == audited
    assert status(core, user_id)["tokens"] == 19


def test_dynamodb_down_is_503_on_every_route(core, monkeypatch):
    user_id, _ = core.log_in()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.reset_connections()
    for reply in (
        core.call(STATUS, query={"user_id": user_id}),
        core.call(CHECK, body={"user_id": user_id}),
        reset(core, user_id),
    ):
        assert reply.refusal == (503, "rate_limit_unavailable")
        assert int(reply.headers["retry-after"]) > 0
    assert core.audited()[-1] == ("admin", "rate_limit.reset", "rate_limit_unavailable")


def test_tokens_come_at_the_interval_of_the_rule(core):
    user_id, _ = core.log_in()
    for _ in range(20):
        check(core, user_id)
    moments = []
    for _ in range(4):
        refused = check(core, user_id)
        moments.append(datetime.fromisoformat(refused["next_refill"]))
        core.sandbox.advance((moments[-1] - core.now()).total_seconds() + 0.001)
        assert check(core, user_id)["allowed"]
    assert {following - moment for moment, following in pairwise(moments)} == {INTERVAL}


@pytest.mark.parametrize("name", ["rate_limit", "rate_limit-status", "rate_limit-check"])
def test_sample_event_is_answered(core, name):
    event = json.loads((REPOSITORY / f"events/{name}.json").read_text())
    assert core.invoke(event).status == 200
