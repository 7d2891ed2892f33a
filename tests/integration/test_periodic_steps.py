"""The periodic steps of sweeper and fetcher: a failed step does not prevent the others, and no
statement reads finished rows to find waiting ones."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from functions.fetcher import app as fetcher_app
from functions.sweeper import app as sweeper_app
from tests.harness.applying import harness, publish
from tests.harness.fetching import receive_wake_ups
from ullgetthejob.applications import projection, sweep
from ullgetthejob.applications.campaigns import cancellation, item_intake
from ullgetthejob.platform import clock, periodic, postgres
from ullgetthejob.public_feed import outbox
from ullgetthejob.realtime import event_log
from ullgetthejob.saved_searches import canonical_searches, run_store, scheduler
from ullgetthejob.vacancies import detail_backfill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["harness"]

CONTEXT = SimpleNamespace(aws_request_id="an-invocation")


@pytest.fixture
def limited(harness: Any) -> Iterator[Any]:
    """Set a short statement_timeout, like the role's in README."""
    name = harness.connection.info.dbname
    harness.connection.execute(f"ALTER DATABASE \"{name}\" SET statement_timeout = '1s'")
    postgres.close()
    clock.install(harness.world.now)  # earlier tests may have advanced the sandbox's clock
    yield harness
    clock.install(None)


@pytest.fixture
def held(limited: Any, database_url: str) -> Iterator[Callable[[str], None]]:
    """Return a callable that locks a table, so that every statement on it times out."""
    with psycopg.connect(database_url) as other:

        def hold(table: str) -> None:
            other.execute(f"LOCK {table} IN ACCESS EXCLUSIVE MODE")

        yield hold
        other.rollback()


def failed_steps(handler: Callable[[dict[str, Any], object], Any]) -> list[str]:
    """Return the steps that failed in an invocation of *handler*."""
    with pytest.raises(periodic.StepsFailed) as failed:
        handler({}, CONTEXT)
    return sorted(failed.value.names)


def test_sweep_with_a_failed_step_still_notifies_workers(
    limited: Any,
    held: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limited.submit(publish(limited))
    receive_wake_ups("APPLIER_QUEUE_URL", "account_id")
    receive_wake_ups("BROADCASTER_QUEUE_URL", "account_id")
    held("applications")
    assert failed_steps(sweeper_app.handler) == ["repaired", "retried"]
    assert receive_wake_ups("APPLIER_QUEUE_URL", "account_id") == [str(limited.account_id)]
    assert receive_wake_ups("BROADCASTER_QUEUE_URL", "account_id") == [str(limited.account_id)]
    failures = [
        vars(record) for record in caplog.records if record.message == "a periodic step failed"
    ]
    assert sorted(failure["step"] for failure in failures) == ["repaired", "retried"]
    for failure in failures:
        assert "QueryCanceled" in [failure["error_type"], *failure["caused_by"]]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(line.get("PeriodicStepFailed") == [1.0, 1.0] for line in lines), lines


@pytest.mark.parametrize("table", ["campaigns", "events", "public_feed", "accounts"])
def test_sweep_with_a_locked_table_does_the_other_steps(
    limited: Any, held: Callable[[str], None], table: str
) -> None:
    accepted = limited.submit(publish(limited))
    limited.connection.execute(
        "UPDATE application_ledger SET state = 'handoff', due_at = NULL, expires_at = %s",
        [limited.world.now() - timedelta(seconds=1)],
    )
    waits = limited.connection.execute("SELECT count(*) AS n FROM public_feed").fetchone()
    assert waits is not None
    held(table)
    failed = failed_steps(sweeper_app.handler)
    assert 0 < len(failed) < 8
    if table in ("campaigns", "public_feed"):  # an event is written in the same transaction
        assert limited.row(accepted).state == "expired"


def test_sweep_with_a_failed_row_does_the_others(harness: Any) -> None:
    first, second = (harness.submit(publish(harness)) for _ in range(2))
    past = harness.world.now() - timedelta(hours=1)
    harness.connection.execute(
        "UPDATE application_ledger SET state = 'handoff', due_at = NULL, expires_at = %s", [past]
    )
    harness.connection.execute(
        "UPDATE application_ledger SET expires_at = expires_at - interval '1 hour' WHERE id = %s",
        [first.application_id],
    )
    harness.connection.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'integrity_constraint_violation'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON application_ledger FOR EACH ROW
        WHEN (OLD.id = '{first.application_id}') EXECUTE FUNCTION refuse()
    """)
    with pytest.raises(periodic.StepsFailed) as failed:
        harness.sweep()
    assert failed.value.names == ["expired"]
    assert (harness.row(first).state, harness.row(second).state) == ("handoff", "expired")


def test_fetch_without_new_runs_still_notifies_workers(
    limited: Any, held: Callable[[str], None]
) -> None:
    now = limited.world.now()
    query_id = limited.connection.execute(
        "INSERT INTO search_queries (hash, parameters, created_at) VALUES ('x', '{}', %s)"
        " RETURNING id",
        [now],
    ).fetchone()["id"]
    limited.connection.execute(
        "INSERT INTO fetch_runs (query_id, state, trigger, is_full, plan, due_at, started_at)"
        " VALUES (%(id)s, 'running', 'schedule', true, '{}', %(now)s, %(now)s)",
        {"id": query_id, "now": now},
    )
    receive_wake_ups("FETCH_QUEUE_URL", "query_id")
    held("search_queries")
    assert "begun" in failed_steps(fetcher_app.handler)
    assert receive_wake_ups("FETCH_QUEUE_URL", "query_id") == [str(query_id)]


@pytest.mark.parametrize("word", ["submitted", "rate_limited", "something", None])
def test_overwritten_status_is_restored(harness: Any, word: str | None) -> None:
    accepted = harness.submit(publish(harness))
    harness.connection.execute("UPDATE applications SET status = %s", [word])
    assert harness.sweep().repaired == 1
    shown = harness.connection.execute("SELECT status FROM applications").fetchone()
    assert shown == {"status": projection.PROJECTED_STATUS[harness.row(accepted).state]}
    assert harness.sweep().repaired == 0


# ── at size ──────────────────────────────────────────────────────────────────────────────────────

ROWS = 60_000
FILL = """
    INSERT INTO accounts (id, hh_user_id, access_state, access_changed_at, created_at)
    SELECT md5('a' || i)::uuid, i::text, 'ok', now(), now() FROM generate_series(1, 2000) i;
    INSERT INTO users (id, email, password_hash, inserted_at, updated_at, account_id)
    SELECT md5('u' || i)::uuid, i::text, '!', now(), now(), md5('a' || i)::uuid
    FROM generate_series(1, 2000) i;
    INSERT INTO campaigns SELECT md5('w' || i)::uuid, md5('a' || i)::uuid, md5('u' || i)::uuid,
        CASE WHEN i % 10 = 0 THEN 'cancelled' ELSE 'running' END, 1, now(), now()
    FROM generate_series(1, 2000) i;
    INSERT INTO applications (id, user_id, job_external_id, status, projected_status, inserted_at,
                              updated_at)
    SELECT md5('p' || i)::uuid, md5('u' || (i % 2000 + 1))::uuid, i::text, 'submitted', 'submitted',
        now(), now() FROM generate_series(1, {rows}) i;
    INSERT INTO application_ledger (id, account_id, user_id, vacancy_id, application_id, state,
        due_at, expires_at, created_at, updated_at, workflow_id, queue_item_id)
    SELECT md5('l' || i)::uuid, md5('a' || (i % 2000 + 1))::uuid, md5('u' || (i % 2000 + 1))::uuid,
        i::text, md5('p' || i)::uuid,
        CASE WHEN i % 200 = 0 THEN 'waiting_quota' ELSE 'submitted' END,
        CASE WHEN i % 200 = 0 THEN now() + interval '1 day' END, now(), now(), now(),
        md5('w' || (i % 2000 + 1))::uuid, md5('q' || i)::uuid FROM generate_series(1, {rows}) i;
    INSERT INTO application_queue (id, workflow_id, user_id, job_external_id, status)
    SELECT md5('q' || i)::uuid, md5('w' || (i % 2000 + 1))::uuid, md5('u' || (i % 2000 + 1))::uuid,
        i::text, 'completed' FROM generate_series(1, {rows}) i;
    INSERT INTO events SELECT md5('a' || (i % 2000 + 1))::uuid, i, now(), 'account.updated', '{{}}'
    FROM generate_series(1, {rows}) i;
    INSERT INTO public_feed (vacancy_id, state, due_at, at, ended_at)
    SELECT i::text, 'posted', now(), now(), now() FROM generate_series(1, {rows}) i;
    INSERT INTO search_queries (id, hash, parameters, due_at, created_at)
    SELECT md5('s' || i)::uuid, i::text::bytea, '{{}}', now() + interval '1 hour', now()
    FROM generate_series(1, 2000) i;
    INSERT INTO fetch_runs (query_id, state, trigger, is_full, plan, started_at, finished_at)
    SELECT md5('s' || (i % 2000 + 1))::uuid, 'completed', 'schedule', true, '{{}}', now(), now()
    FROM generate_series(1, {rows}) i;
    INSERT INTO saved_searches (account_id, user_id, query_id, name, search, interval_seconds,
        time_zone, created_at, updated_at)
    SELECT md5('a' || i)::uuid, md5('u' || i)::uuid, md5('s' || i)::uuid, '', '{{}}', 1800, 'UTC',
        now(), now() FROM generate_series(1, 2000) i;
    INSERT INTO jobs (external_id, title, published_at, detail, inserted_at, updated_at)
    SELECT i::text, '', now(), '{{}}', now(), now() FROM generate_series(1, {rows}) i;
    INSERT INTO search_matches
    SELECT md5('s' || (i % 2000 + 1))::uuid, i::text, i, now(), now()
    FROM generate_series(1, {rows}) i;
    ANALYZE;
"""
EVERY_MINUTE = {
    f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
    for module, names in {
        sweep: (
            "SELECT_ACCESS_RESTORED",
            "SELECT_ACCESS_RESTORED_EARLIER",
            "SELECT_EXPIRED",
            "SELECT_OVERWRITTEN",
            "SELECT_DUE_ACCOUNTS",
            "SELECT_OLDEST_DUE",
        ),
        cancellation: (
            "UPDATE_QUEUE_ITEMS_CANCELLED",
            "SELECT_UNSENT_OF_CANCELLED_CAMPAIGNS",
            "SELECT_UNSENT_OF_DELETED_ITEMS",
        ),
        item_intake: ("SELECT_CAMPAIGNS_WITH_PENDING_ITEMS",),
        event_log: ("SELECT_UNSERVED_ACCOUNTS", "DELETE_OLD_EVENTS"),
        outbox: ("SELECT_OLDEST_WAITING", "DELETE_ENDED_ENTRIES"),
        canonical_searches: ("LOCK_DUE_QUERIES",),
        run_store: ("SELECT_DUE_QUERIES", "DELETE_OLD_RUNS"),
        scheduler: ("SELECT_OLDEST_DUE",),
        detail_backfill: (
            "SELECT_QUERIES_MISSING_DETAILS_BY_AGE",
            "SELECT_QUERIES_MISSING_DETAILS",
        ),
    }.items()
    for name in names
}
MOST_ROWS_READ = 5_000  # of 60,000, of which all but some hundreds are finished


@pytest.fixture(scope="module")
def full_database_url(postgres_url: str, _migrated_template: str) -> Iterator[str]:
    from tests.fixtures.database import create_database, drop_database

    url = create_database(postgres_url, "full_of_finished_rows", _migrated_template)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.format(rows=ROWS))
        connection.execute("VACUUM ANALYZE")
    yield url
    drop_database(postgres_url, "full_of_finished_rows")


@pytest.mark.parametrize("statement", EVERY_MINUTE)
def test_periodic_statements_scan_no_whole_table(
    full_database_url: str, connected: Any, statement: str
) -> None:
    now = connected.now()
    values = {
        "now": now,
        "utc": now.replace(tzinfo=None),
        "most": 500,
        "before": now - timedelta(days=3650),
        "workflow_id": None,
        "from": "80000000-0000-4000-8000-000000000000",
        "looked_at": 1000,
        "unread_before": now,
        "changed_after": now - timedelta(days=1),
        "cancelled_after": now - timedelta(days=1),
        "seen": 300,
        "searches": 2,
    }
    with psycopg.connect(full_database_url) as connection:
        explained = connection.execute(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + EVERY_MINUTE[statement], values
        ).fetchone()
        connection.rollback()
    assert explained is not None
    read = dict(nodes(explained[0][0]["Plan"]))
    assert {name for name, rows in read.items() if rows > MOST_ROWS_READ} == set(), read


def nodes(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each scan in a plan, with the number of rows that it read."""
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield f"{plan['Node Type']} on {plan['Relation Name']}", rows * plan["Actual Loops"]
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


# ── what changed long ago ────────────────────────────────────────────────────────────────────────


def test_access_returned_long_ago_requeues_applications(harness: Any) -> None:
    accepted = harness.submit(publish(harness))
    harness.connection.execute(
        "UPDATE application_ledger SET state = 'needs_person', reason = 'captcha', due_at = NULL"
    )
    harness.connection.execute(
        "UPDATE accounts SET access_changed_at = access_changed_at - interval '1 year'"
    )
    assert harness.sweep().returned == 1
    assert harness.row(accepted).state == "queued"


def test_campaign_cancelled_long_ago_leaves_nothing_unsent(harness: Any) -> None:
    accepted = harness.submit(publish(harness))
    workflow_id, past = uuid4(), harness.world.now() - timedelta(days=30)
    harness.connection.execute(
        "INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at, updated_at)"
        " VALUES (%s, %s, %s, 'cancelled', %s, %s)",
        [workflow_id, harness.account_id, uuid4(), past, past],
    )
    harness.connection.execute(
        "UPDATE application_ledger SET workflow_id = %s, queue_item_id = %s",
        [workflow_id, uuid4()],
    )
    assert harness.sweep().cancelled == 1
    row = harness.row(accepted)
    assert (row.state, row.reason) == ("cancelled", "campaign_cancelled")
