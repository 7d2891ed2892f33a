"""The token store: tokens at rest, and how a pair is renewed."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from ullgetthejob.accounts import token_renewal, token_store
from ullgetthejob.hh.errors import (
    HHRefreshRefused,
    HHTokenNotExpired,
    HHTokenRefused,
    HHUnavailable,
)
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import aws, encryption, leases, postgres, settings
from ullgetthejob.platform.errors import Unavailable

ROOT = Path(__file__).parents[2]
WORKER = """
import sys
from datetime import datetime
from uuid import UUID
from ullgetthejob.accounts import token_renewal
from ullgetthejob.hh.environment import client
account_id, now = sys.argv[1:]
token = token_renewal.AccountToken(UUID(account_id), hh=client(), now=datetime.fromisoformat(now))
print(token.current())
"""


class During(httpx.BaseTransport):
    """A transport to hh.ru that calls *before* or *after* around each request of tokens."""

    def __init__(self, before=None, after=None):
        self._before, self._after = before, after
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request):
        to_token = (request.method, request.url.path) == ("POST", "/token")
        if to_token and self._before:
            self._before()
        response = self._inner.handle_request(request)
        if to_token and self._after:
            response.read()
            self._after()
        return response

    def close(self):
        self._inner.close()


@contextmanager
def in_thread(work):
    """Run *work* in a thread, with a separate connection to Postgres."""

    def run():
        with psycopg.connect(
            settings.DATABASE_URL(), autocommit=True, row_factory=psycopg.rows.dict_row
        ) as connection:
            work(connection)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def refusal(raised):
    assert isinstance(raised.value, HHRefreshRefused)
    return raised.value.reason


# ── at rest ──────────────────────────────────────────────────────────────────────────────────────


def test_row_holds_only_ciphertext(connected):
    account_id, pair = connected.connect("anna")
    row = connected.row(account_id)
    stored = json.dumps(
        row, default=lambda value: value.hex() if type(value) is bytes else str(value)
    )
    assert pair.access_token not in stored
    assert pair.refresh_token not in stored
    context = {"account_id": str(account_id)}
    assert encryption.decrypt(row["access_token"], context) == pair.access_token
    assert encryption.decrypt(row["refresh_token"], context) == pair.refresh_token
    for token in (pair.access_token, pair.refresh_token):
        encrypted = token_store.encrypt(account_id, pair)
        assert token not in repr(encrypted)


@pytest.mark.parametrize("columns", [("access_token",), ("access_token", "refresh_token")])
def test_ciphertext_in_the_row_of_another_account_is_unreadable(connected, columns):
    anna, _ = connected.connect("anna")
    thief, _ = connected.connect("timur")
    copied = ", ".join(f"{column} = a.{column}" for column in columns)
    postgres.connection().execute(
        f"UPDATE account_tokens t SET {copied} FROM account_tokens a"
        " WHERE t.account_id = %s AND a.account_id = %s",
        (thief, anna),
    )
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(thief).current()
    assert refusal(raised) == "tokens_unreadable"
    with pytest.raises(HHRefreshRefused):
        token_store.read(thief, connection=postgres.connection(), now=connected.now())
    assert connected.token(anna).current()


def test_account_has_the_pair_of_the_latest_login(connected):
    account_id, first = connected.connect("anna")
    connected.expire()
    connected.token(account_id).current()
    _, second = connected.connect("anna", account_id)
    assert connected.token(account_id).current() == second.access_token != first.access_token
    rows = postgres.connection().execute("SELECT * FROM account_tokens").fetchall()
    assert len(rows) == 1
    assert rows[0]["previous_refresh_hash"] is rows[0]["refreshed_at"] is None


def test_expiry_is_rounded_down_to_the_second(connected):
    account_id = connected.account()
    now = datetime(2027, 1, 15, 12, 0, 0, 999_999, tzinfo=UTC)
    encrypted = token_store.encrypt(account_id, TokenPair("A", "R", 60))
    token_store.save(encrypted, user_id=None, connection=postgres.connection(), now=now)
    assert connected.row(account_id)["expires_at"] == datetime(2027, 1, 15, 12, 1)
    pair = token_store.read(account_id, connection=postgres.connection(), now=now)
    assert pair == TokenPair("A", "R", 59)


def test_deleted_tokens_are_not_connected(connected):
    account_id, _ = connected.connect("anna")
    token_store.delete(account_id, connection=postgres.connection())
    for operation in (
        lambda: connected.token(account_id).current(),
        lambda: connected.token(account_id).renewed("A", "token_expired"),
        lambda: token_store.read(account_id, connection=postgres.connection(), now=connected.now()),
    ):
        with pytest.raises(HHRefreshRefused) as raised:
            operation()
        assert refusal(raised) == "not_connected"


def test_rolled_back_login_keeps_the_earlier_pair(connected):
    account_id, pair = connected.connect("anna")
    encrypted = token_store.encrypt(account_id, connected.log_in("anna"))
    connection = postgres.connection()
    with connection.transaction(force_rollback=True):
        token_store.save(encrypted, user_id=None, connection=connection, now=connected.now())
    assert connected.token(account_id).current() == pair.access_token


# ── renewing ─────────────────────────────────────────────────────────────────────────────────────


def test_token_is_renewed_only_after_it_expired(connected):
    account_id, pair = connected.connect("anna")
    connected.sandbox.advance(14 * 86_400 - 60)
    assert connected.token(account_id).current() == pair.access_token
    assert connected.token_requests() == 0
    connected.sandbox.advance(61)
    token = connected.token(account_id).current()
    assert token != pair.access_token
    assert connected.hh_accepts(token)
    assert connected.token_requests() == 1
    assert connected.token(account_id).current() == token
    assert connected.token_requests() == 1


def test_renewed_pair_replaces_the_old_one_and_keeps_its_hash(connected):
    account_id, _ = connected.connect("anna")
    before = connected.row(account_id)
    connected.expire()
    connected.token(account_id).current()
    after = connected.row(account_id)
    assert after["previous_refresh_hash"] == before["refresh_hash"] != after["refresh_hash"]
    assert connected.now() - after["refreshed_at"] < timedelta(minutes=1)
    assert after["expires_at"] > before["expires_at"] + timedelta(days=14)
    assert {name: before[name] for name in ("user_id", "inserted_at")}.items() <= after.items()


def test_renewal_within_a_transaction_is_refused(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    connection = postgres.connection()
    with pytest.raises(RuntimeError), connection.transaction():
        connected.token(account_id).current()
    assert connected.token_requests() == 0


def test_token_that_expires_during_long_work_is_renewed(connected, monkeypatch):
    account_id, pair = connected.connect("anna")
    token = connected.token(account_id)
    assert token.current() == pair.access_token
    connected.expire()
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 14 * 86_400 + 60)
    assert connected.hh_accepts(token.current())


def test_token_expired_only_at_hh_ru_is_renewed_by_the_client(connected):
    account_id, _ = connected.connect("anna")
    token = connected.token(account_id)
    assert token.current()
    connected.expire()  # for hh.ru; not by the clock of this piece of work
    assert connected.hh().me(token).is_applicant
    assert connected.token_requests() == 1


def test_refused_token_is_replaced_by_a_newer_stored_pair(connected):
    account_id, pair = connected.connect("anna")
    token = connected.token(account_id)
    token.current()
    _, newer = connected.connect("anna", account_id)
    for reason in ("token_revoked", "token_expired", None):
        assert token.renewed(pair.access_token, reason) == newer.access_token
    assert connected.token_requests() == 0


@pytest.mark.parametrize("reason", ["token_revoked", "bad_authorization"])
def test_revoked_token_that_has_not_expired_requires_a_login(connected, reason):
    account_id, pair = connected.connect("anna")
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).renewed(pair.access_token, reason)
    assert refusal(raised) == reason
    assert connected.token_requests() == 0
    assert connected.access(account_id) == ("reauth_required", reason)


def test_expired_token_called_revoked_is_renewed(connected):
    account_id, pair = connected.connect("anna")
    connected.expire()
    token = connected.token(account_id).renewed(pair.access_token, "token_revoked")
    assert connected.hh_accepts(token)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (("POST", "/people/anna/password"), "token_deactivated"),
        (("POST", "/people/anna/revoke"), "token_revoked"),
        (("POST", "/people/anna/account", {"state": "locked"}), "account_locked"),
        (("POST", "/people/anna/account", {"state": "deleted"}), "account_not_found"),
        (("POST", "/people/anna/account", {"state": "login_not_verified"}), "login_not_verified"),
        (("DELETE", "/tokens"), "token_not_found"),
    ],
)
def test_refused_renewal_requires_a_login(connected, event, reason):
    account_id, _ = connected.connect("anna")
    connected.sandbox.control(*event)
    connected.expire()
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == reason
    assert connected.access(account_id) == ("reauth_required", reason)
    assert connected.row(account_id)
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == reason
    assert connected.token_requests() == 1


def test_clock_difference_costs_one_request_a_minute(connected):
    account_id, pair = connected.connect("anna")
    ahead = connected.now() + timedelta(days=14, minutes=2)
    for _ in range(3):
        token = token_renewal.AccountToken(account_id, hh=connected.hh(), now=ahead)
        assert token.current() == pair.access_token
    assert connected.token_requests() == 1
    later = ahead + timedelta(seconds=61)
    assert token_renewal.AccountToken(account_id, hh=connected.hh(), now=later).current()
    assert connected.token_requests() == 2


def test_revoked_token_not_expired_at_hh_ru_requires_a_login(connected):
    account_id, pair = connected.connect("anna")
    ahead = connected.now() + timedelta(days=14, minutes=2)
    token = token_renewal.AccountToken(account_id, hh=connected.hh(), now=ahead)
    with pytest.raises(HHRefreshRefused) as raised:
        token.renewed(pair.access_token, "token_revoked")
    assert refusal(raised) == "token_revoked"


def test_concurrent_workers_renew_a_pair_once(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    arguments = [str(account_id), connected.now().isoformat()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "core")}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    answers = {worker.communicate(timeout=60)[0].splitlines()[-1] for worker in workers}
    assert [worker.returncode for worker in workers] == [0] * 6
    assert len(answers) == 1
    assert connected.hh_accepts(answers.pop())
    assert connected.token_requests() == 1


# ── concurrent events ────────────────────────────────────────────────────────────────────────────


def test_login_during_a_renewal_wins(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    logins = []
    during = During(after=lambda: logins.append(connected.connect("anna", account_id)[1]))
    token = connected.token(account_id, connected.hh(during)).current()
    assert [token] == [pair.access_token for pair in logins]
    assert connected.token(account_id).current() == token
    assert connected.hh_accepts(token)


def test_login_during_a_refused_renewal_wins(connected):
    account_id, old = connected.connect("anna")
    connected.expire()
    connected.hh().refresh(old.refresh_token)  # its answer is lost
    logins = []
    during = During(before=lambda: logins.append(connected.connect("anna", account_id)[1]))
    token = connected.token(account_id, connected.hh(during)).current()
    assert [token] == [pair.access_token for pair in logins]
    assert connected.access(account_id) == ("ok", None)


def test_disconnect_during_a_renewal_stays(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    during = During(after=lambda: token_store.delete(account_id, connection=postgres.connection()))
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id, connected.hh(during)).current()
    assert refusal(raised) == "not_connected"
    assert not postgres.connection().execute("SELECT FROM account_tokens").fetchall()


def test_waiting_worker_uses_the_pair_that_another_stores(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    now = connected.now()
    lease = leases.acquire(f"hh-token#{account_id}", seconds=30, now=now)
    newer = connected.log_in("anna")

    def store_newer(connection):
        time.sleep(0.3)
        encrypted = token_store.encrypt(account_id, newer)
        token_store.save(encrypted, user_id=None, connection=connection, now=now)

    with in_thread(store_newer):
        assert connected.token(account_id).current() == newer.access_token
    assert connected.token_requests() == 1  # the login
    lease.release()


def test_waiting_worker_gets_the_refusal_of_another(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    leases.acquire(f"hh-token#{account_id}", seconds=30, now=connected.now())

    def store_refusal(connection):
        time.sleep(0.3)
        connection.execute(
            "UPDATE accounts SET access_state = 'reauth_required', access_reason = 'token_revoked'"
        )

    with in_thread(store_refusal), pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == "token_revoked"
    assert connected.token_requests() == 0


def test_worker_that_waits_too_long_raises_unavailable(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.expire()
    leases.acquire(f"hh-token#{account_id}", seconds=30, now=connected.now())
    monkeypatch.setattr(token_renewal, "RENEWAL_WAIT_S", 0.4)
    with pytest.raises(Unavailable) as raised:
        connected.token(account_id).current()
    assert raised.value.code == "token_refresh_in_progress"
    assert raised.value.retry_after_s
    connected.sandbox.advance(30)  # the lease ends: its holder was killed
    assert connected.hh_accepts(connected.token(account_id).current())


def test_renewal_without_time_to_store_it_calls_no_hh_ru(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.expire()
    monkeypatch.setattr(token_renewal, "HH_CALL_DEADLINE_S", 0)
    with pytest.raises(Unavailable) as raised:
        connected.token(account_id).current()
    assert raised.value.code == "token_refresh_in_progress"
    assert connected.token_requests() == 0


def test_renewal_without_dynamodb_calls_no_hh_ru(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.expire()
    hh, moment = connected.hh(), connected.now()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    aws.reset_connections()
    with pytest.raises(Unavailable) as raised:
        token_renewal.AccountToken(account_id, hh=hh, now=moment).current()
    assert raised.value.code == "leases_unavailable"
    assert connected.token_requests() == 0


# ── lost requests and answers ────────────────────────────────────────────────────────────────────


def test_renewal_that_did_not_reach_hh_ru_is_repeated(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    connected.sandbox.fault("drop", path="/token", times=1)
    with pytest.raises(HHUnavailable):
        connected.token(account_id).current()
    assert connected.hh_accepts(connected.token(account_id).current())


def test_renewal_whose_answer_was_lost_requires_a_login(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    connected.sandbox.fault("truncated", path="/token", times=1)
    with pytest.raises(HHUnavailable):
        connected.token(account_id).current()
    assert connected.access(account_id) == ("ok", None)
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == "already_refreshed"
    assert connected.access(account_id) == ("reauth_required", "already_refreshed")


def test_renewed_pair_survives_a_broken_connection(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    backend = postgres.connection().info.backend_pid

    def terminate():
        with psycopg.connect(settings.DATABASE_URL(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (backend,))

    during = During(after=terminate)
    token = connected.token(account_id, connected.hh(during)).current()
    assert postgres.connection().info.backend_pid != backend
    assert connected.token(account_id).current() == token
    assert connected.hh_accepts(token)


def test_renewed_pair_survives_a_read_only_server(connected):
    account_id, _ = connected.connect("anna")
    connected.expire()
    connection = postgres.connection()  # to a primary that became a replica
    during = During(after=lambda: connection.execute("SET default_transaction_read_only = on"))
    token = connected.token(account_id, connected.hh(during)).current()
    assert connected.token(account_id).current() == token


@contextmanager
def kms_down(connected, monkeypatch, seconds):
    """Yield a transport after whose answer KMS is down for *seconds*."""
    threads = []

    def restore():
        time.sleep(seconds)
        os.environ.pop("AWS_ENDPOINT_URL_KMS")
        aws.reset_connections()

    def stop():
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        aws.reset_connections()
        threads.append(threading.Thread(target=restore))
        threads[0].start()

    yield During(after=stop)
    threads[0].join()


def test_renewed_pair_survives_a_short_failure_of_kms(connected, monkeypatch):
    account_id, _ = connected.connect("anna")
    connected.expire()
    with kms_down(connected, monkeypatch, seconds=1) as during:
        token = connected.token(account_id, connected.hh(during)).current()
    assert connected.token(account_id).current() == token
    assert connected.hh_accepts(token)


def test_renewed_pair_that_cannot_be_stored_is_not_used(connected, monkeypatch, caplog):
    account_id, _ = connected.connect("anna")
    connected.expire()
    monkeypatch.setattr(token_renewal, "STORE_DEADLINE_S", 1)
    with (
        kms_down(connected, monkeypatch, seconds=3) as during,
        pytest.raises(Unavailable) as raised,
    ):
        connected.token(account_id, connected.hh(during)).current()
    assert raised.value.code == "encryption_unavailable"
    assert "a renewed pair of tokens is lost" in caplog.text
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == "already_refreshed"


def test_tokens_are_never_logged(connected, caplog):
    account_id, old = connected.connect("anna")
    connected.expire()
    connected.sandbox.fault("truncated", path="/me", times=1)
    hh = connected.hh()
    token = connected.token(account_id, hh)
    with pytest.raises(HHUnavailable):
        hh.me(token)
    new = token_store.read(account_id, connection=postgres.connection(), now=connected.now())
    connected.sandbox.control("POST", "/people/anna/password")
    with pytest.raises((HHTokenRefused, HHRefreshRefused)) as raised:
        hh.me(token)
    connected.expire()
    with pytest.raises(HHRefreshRefused):
        connected.token(account_id).current()
    output = "".join(str(vars(record)) for record in caplog.records) + str(vars(raised.value))
    changes = [record for record in caplog.records if record.message == "tokens changed"]
    assert [(vars(c)["from"], c.to) for c in changes] == [
        ("expired", "valid"),
        ("expired", "refused"),
    ]
    for secret in (old.access_token, old.refresh_token, new.access_token, new.refresh_token):
        assert secret not in output


# ── exchanges for a trusted server ───────────────────────────────────────────────────────────────


def exchange(connected, refresh_token, **delay):
    now = connected.now() + timedelta(**delay)
    return token_renewal.exchange(refresh_token, hh=connected.hh(), now=now)


def test_stored_token_that_has_not_expired_gets_its_own_pair(connected):
    _, pair = connected.connect("anna")
    same = exchange(connected, pair.refresh_token)
    assert (same.access_token, same.refresh_token) == (pair.access_token, pair.refresh_token)
    assert 0 < same.expires_in <= pair.expires_in
    assert connected.token_requests() == 0


def test_stored_token_is_renewed_once_and_repeats_get_the_pair(connected):
    account_id, old = connected.connect("anna")
    connected.expire()
    new = exchange(connected, old.refresh_token)
    assert connected.hh_accepts(new.access_token)
    assert connected.token(account_id).current() == new.access_token
    for pair in (old, new):
        assert (
            token_store.find_account(pair.refresh_token, connection=postgres.connection())
            == account_id
        )
    again = exchange(connected, old.refresh_token, minutes=9)
    assert (again.access_token, again.refresh_token) == (new.access_token, new.refresh_token)
    assert connected.token_requests() == 1
    with pytest.raises(HHRefreshRefused) as raised:
        exchange(connected, old.refresh_token, minutes=11)
    assert refusal(raised) == "already_refreshed"
    assert connected.token_requests() == 1


def test_token_replaced_by_a_login_is_not_in_the_store(connected):
    account_id, old = connected.connect("anna")
    connected.connect("anna", account_id)
    with pytest.raises(HHTokenNotExpired):
        exchange(connected, old.refresh_token)
    assert connected.token_requests() == 1


def test_unknown_token_is_exchanged_and_not_stored(connected):
    pair = connected.log_in("anna")
    connected.expire()
    new = exchange(connected, pair.refresh_token)
    assert connected.hh_accepts(new.access_token)
    assert not postgres.connection().execute("SELECT FROM account_tokens").fetchall()
    with pytest.raises(HHRefreshRefused):
        exchange(connected, pair.refresh_token)
    with pytest.raises(HHRefreshRefused):
        exchange(connected, "made up")
    assert token_store.find_account(new.refresh_token, connection=postgres.connection()) is None


# ── replaced keys ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def replaced_key(connected, local_aws, monkeypatch):
    """An account and its pair, encrypted by a key that is now the previous one."""
    kms = local_aws.client("kms")
    old, new = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    kms.close()
    monkeypatch.setenv("TOKEN_KEY_ID", old)
    account_id, pair = connected.connect("anna")
    monkeypatch.setenv("TOKEN_KEY_ID", new)
    monkeypatch.setenv("TOKEN_KEY_ID_PREVIOUS", old)
    return account_id, pair


@pytest.mark.parametrize(
    "read_token",
    [
        lambda connected, account_id, pair: connected.token(account_id).current(),
        lambda connected, account_id, pair: connected.token(account_id).pair().access_token,
        lambda connected, account_id, pair: exchange(connected, pair.refresh_token).access_token,
    ],
)
def test_pair_of_the_previous_key_moves_to_the_current_on_read(
    connected, replaced_key, monkeypatch, read_token
):
    account_id, pair = replaced_key
    before = connected.row(account_id)
    assert read_token(connected, account_id, pair) == pair.access_token
    after = connected.row(account_id)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"access_token", "refresh_token"}
    monkeypatch.delenv("TOKEN_KEY_ID_PREVIOUS")
    moved = token_store.read(account_id, connection=postgres.connection(), now=connected.now())
    assert (moved.access_token, moved.refresh_token) == (pair.access_token, pair.refresh_token)


def test_pair_of_the_previous_key_is_used_if_it_cannot_move(connected, replaced_key, monkeypatch):
    account_id, pair = replaced_key
    postgres.connection().execute("SET default_transaction_read_only = on")
    assert connected.token(account_id).current() == pair.access_token
    postgres.connection().execute("SET default_transaction_read_only = off")
    assert connected.token(account_id).current() == pair.access_token
    monkeypatch.delenv("TOKEN_KEY_ID_PREVIOUS")
    assert connected.token(account_id).current() == pair.access_token


def test_pair_of_a_lost_key_requires_a_login(connected, replaced_key, monkeypatch):
    account_id, _ = replaced_key
    monkeypatch.delenv("TOKEN_KEY_ID_PREVIOUS")
    with pytest.raises(HHRefreshRefused) as raised:
        connected.token(account_id).current()
    assert refusal(raised) == "tokens_unreadable"
