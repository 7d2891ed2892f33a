"""The age of the oldest application that is due, and of the oldest search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.harness.applying import harness, publish
from ullgetthejob.applications import sweep
from ullgetthejob.platform import postgres
from ullgetthejob.saved_searches import scheduler

__all__ = ["harness"]

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture
def connection(database: str) -> Any:
    return postgres.connection()


def ago(minutes: int) -> datetime:
    return NOW - timedelta(minutes=minutes)


def query(connection: Any, due_at: datetime | None) -> UUID:
    row = connection.execute(
        "INSERT INTO search_queries (hash, parameters, due_at, created_at)"
        " VALUES (%s, '{}', %s, %s) RETURNING id",
        (uuid4().bytes, due_at, NOW),
    ).fetchone()
    return UUID(str(row["id"]))


def run(
    connection: Any, query_id: UUID, *, due_at: datetime | None, finished_at: datetime | None
) -> UUID:
    row = connection.execute(
        "INSERT INTO fetch_runs (query_id, state, trigger, is_full, plan, due_at, started_at,"
        " finished_at) VALUES (%s, %s, 'schedule', true, '[]', %s, %s, %s) RETURNING id",
        (query_id, "failed" if finished_at else "running", due_at, ago(120), finished_at),
    ).fetchone()
    return UUID(str(row["id"]))


def account(connection: Any) -> UUID:
    row = connection.execute(
        "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
        " VALUES (%s, 'ok', %s, %s) RETURNING id",
        (uuid4().hex, NOW, NOW),
    ).fetchone()
    return UUID(str(row["id"]))


def age_of_searches(connection: Any) -> float:
    return scheduler.oldest_due_age(connection=connection, now=NOW) / 60


def test_search_age_ends_with_run_and_notification(connection: Any) -> None:
    assert age_of_searches(connection) == 0
    query(connection, NOW + timedelta(minutes=1))
    query(connection, None)
    assert age_of_searches(connection) == 0
    query(connection, ago(3))
    assert age_of_searches(connection) == 3
    run(connection, query(connection, None), due_at=NOW + timedelta(minutes=1), finished_at=None)
    assert age_of_searches(connection) == 3, "a worker runs it"
    run(connection, query(connection, None), due_at=ago(20), finished_at=None)
    assert age_of_searches(connection) == 20
    ended = query(connection, None)
    unnotified = run(connection, ended, due_at=None, finished_at=ago(40))
    assert age_of_searches(connection) == 20, "no account is to be notified"
    connection.execute(
        "INSERT INTO saved_searches (account_id, user_id, query_id, name, search, run_id,"
        " interval_seconds, time_zone, created_at, updated_at)"
        " VALUES (%(account)s, %(account)s, %(query)s, '', '{}', %(run)s, 1800, 'UTC', %(now)s,"
        " %(now)s)",
        {"account": account(connection), "query": ended, "run": unnotified, "now": NOW},
    )
    assert age_of_searches(connection) == 40


def test_application_age_lasts_from_due_until_sent(harness: Any) -> None:
    def age() -> float:
        return sweep.oldest_due_age(connection=harness.connection, now=harness.world.now())

    vacancy_id = publish(harness)
    assert age() == 0
    harness.submit(vacancy_id)
    harness.world.sandbox.advance(600)
    assert 600 <= age() < 700
    harness.run()
    assert age() == 0
