"""The application token: shared by all environments, encrypted at rest, renewed under a lease."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ullgetthejob.hh.app_token import AppToken
from ullgetthejob.hh.errors import (
    HHAppTokenMissing,
    HHBusy,
    HHMisconfigured,
    HHRegionBlocked,
    HHUnavailable,
)
from ullgetthejob.platform import aws, clock, encryption, leases, postgres
from ullgetthejob.platform.errors import Unavailable

ROOT = Path(__file__).parents[2]
WORKER = """
from ullgetthejob.hh.environment import client
from ullgetthejob.hh.errors import HHAppTokenMissing
try:
    print(client()._token.current())
except HHAppTokenMissing as error:
    print("wait", error.retry_after_s)
"""


class Hh:
    """A simulated token endpoint that counts the tokens it gives, or raises ``failure``."""

    def __init__(self):
        self.given = 0
        self.failure = None

    def exchange(self, client_id, client_secret):
        assert (client_id, client_secret) == ("app", "app-secret")
        if self.failure:
            raise self.failure
        self.given += 1
        return f"APPL-{self.given}"


class Now:
    def __init__(self):
        self.moment = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

    def advance(self, **span):
        self.moment += timedelta(**span)


@pytest.fixture
def now():
    moment = Now()
    clock.install(lambda: moment.moment)
    yield moment
    clock.install(None)


@pytest.fixture
def hh(dynamodb_tables, database_url, now, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("HH_CLIENT_ID", "app")
    monkeypatch.setenv("HH_CLIENT_SECRET", "app-secret")
    monkeypatch.delenv("HH_ACCESS_TOKEN", raising=False)
    postgres.close()
    yield Hh()
    postgres.close()


def row(database_url):
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT access_token, requested_at, obtained_at FROM hh_app_tokens"
        ).fetchone()


def test_token_is_obtained_once_for_all_environments(hh):
    assert AppToken(hh.exchange).current() == "APPL-1"
    assert AppToken(hh.exchange).current() == "APPL-1"
    assert hh.given == 1


def test_configured_token_is_used_unchanged(hh, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", "GIVEN")
    token = AppToken(hh.exchange)
    assert token.current() == "GIVEN"
    with pytest.raises(HHAppTokenMissing):
        token.renewed("GIVEN")
    assert hh.given == 0


def test_token_is_stored_encrypted_for_the_application(hh, database_url):
    AppToken(hh.exchange).current()
    stored = row(database_url)[0]
    assert "APPL" not in stored
    assert encryption.decrypt(stored, {"client_id": "app"}) == "APPL-1"
    with pytest.raises(encryption.Undecryptable):
        encryption.decrypt(stored, {"client_id": "another"})


def test_refused_token_is_renewed_after_five_minutes(hh, now):
    token = AppToken(hh.exchange)
    token.current()
    now.advance(minutes=2)
    with pytest.raises(HHAppTokenMissing) as raised:
        token.renewed("APPL-1")
    assert raised.value.retry_after_s == 180
    now.advance(minutes=3)
    assert token.renewed("APPL-1") == "APPL-2"


def test_environment_with_an_old_token_uses_the_newer_one(hh, now):
    old = AppToken(hh.exchange)
    old.current()
    now.advance(minutes=6)
    AppToken(hh.exchange).renewed("APPL-1")
    assert old.renewed("APPL-1") == "APPL-2"
    assert hh.given == 2


def test_concurrent_workers_request_one_token(hh, hh_sandbox, monkeypatch):
    hh_sandbox.advance(301)  # another test may have requested a token of the demo application
    monkeypatch.setenv("HH_API_URL", hh_sandbox.url)
    monkeypatch.setenv("HH_CLIENT_ID", hh_sandbox.client_id)
    monkeypatch.setenv("HH_CLIENT_SECRET", hh_sandbox.client_secret)
    monkeypatch.setenv("HH_USER_AGENT", "UllGetTheJobTests/1.0 (tests@example.org)")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "layers" / "core"))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    answers = [worker.communicate(timeout=60)[0].splitlines()[-1] for worker in workers]
    assert hh_sandbox.control("GET", "/state")["calls"]["by_route"]["POST /token"] == 1
    tokens = {answer for answer in answers if answer != "wait 2"}
    assert len(tokens) == 1
    assert hh_sandbox.control("GET", "/health")


def test_unsent_request_may_be_retried_at_once(hh):
    hh.failure = HHUnavailable("down")
    hh.failure.may_have_acted = False
    with pytest.raises(HHUnavailable):
        AppToken(hh.exchange).current()
    for refused in (
        HHMisconfigured("unknown"),
        HHBusy("no slot"),
        HHRegionBlocked("not from here"),
    ):
        hh.failure = refused
        with pytest.raises(type(refused)):
            AppToken(hh.exchange).current()
    hh.failure = None
    assert AppToken(hh.exchange).current() == "APPL-1"


def test_lost_response_keeps_the_five_minutes(hh, now):
    hh.failure = HHUnavailable("timeout")
    with pytest.raises(HHUnavailable):
        AppToken(hh.exchange).current()
    hh.failure = None
    with pytest.raises(HHAppTokenMissing):
        AppToken(hh.exchange).current()
    now.advance(minutes=5)
    assert AppToken(hh.exchange).current() == "APPL-1"


def test_crash_before_the_commit_costs_five_minutes(hh, now, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(encryption, "encrypt", crash)
        with pytest.raises(KeyboardInterrupt):
            AppToken(hh.exchange).current()
    with pytest.raises(HHAppTokenMissing):
        AppToken(hh.exchange).current()
    now.advance(minutes=5)
    assert AppToken(hh.exchange).current() == "APPL-2"


def test_token_of_another_key_is_replaced(hh, database_url, now):
    with psycopg.connect(database_url) as connection:
        foreign = encryption.encrypt("APPL-0", {"client_id": "another"})
        connection.execute(
            "INSERT INTO hh_app_tokens (client_id, access_token) VALUES ('app', %s)", (foreign,)
        )
    assert AppToken(hh.exchange).current() == "APPL-1"


def test_unreachable_kms_or_dynamodb_makes_no_call(hh, monkeypatch, now):
    AppToken(hh.exchange).current()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.reset_connections()
    with pytest.raises(Unavailable) as raised:
        AppToken(hh.exchange).current()
    assert raised.value.code == "encryption_unavailable"
    with pytest.raises(Unavailable) as raised:
        leases.acquire("anything", seconds=1, now=now.moment)
    assert raised.value.code == "leases_unavailable"
    assert hh.given == 1


def test_missing_application_names_the_settings(hh, monkeypatch):
    monkeypatch.delenv("HH_CLIENT_SECRET")
    with pytest.raises(HHAppTokenMissing) as raised:
        AppToken(hh.exchange).current()
    assert "HH_CLIENT_SECRET" in raised.value.message
