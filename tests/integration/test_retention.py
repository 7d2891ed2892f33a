"""Retention on Postgres: what is past its time is deleted, and nothing that is referred to."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from functions.sweeper import app as sweeper_app
from tests.harness.context import CORE, make_context
from tests.harness.notifications import NOW, harness
from ullgetthejob.applications import retention as applications_retention
from ullgetthejob.saved_searches import retention as searches_retention

__all__ = ["harness"]

OLD = NOW - timedelta(days=400)
DAY = timedelta(days=1)


@pytest.fixture
def context(harness: Any) -> Any:
    return make_context(harness.connection, lambda: NOW, caller=CORE)


def insert_job(harness: Any, vacancy_id: str, **columns: Any) -> UUID:
    """Insert a vacancy that was closed long ago, or with other *columns*; return its row's id."""
    values = {"published_at": OLD, "closed_at": OLD, "fetched_at": OLD.replace(tzinfo=None)}
    values |= columns
    names = ", ".join(values)
    row_id: UUID = harness.insert(
        f"INSERT INTO jobs (external_id, title, inserted_at, updated_at, {names})"
        f" VALUES (%s, '', %s, %s, {', '.join(['%s'] * len(values))}) RETURNING id",
        vacancy_id,
        NOW,
        NOW,
        *values.values(),
    )
    return row_id


def insert_match(harness: Any, query: UUID, vacancy_id: str, seen_at: Any) -> None:
    """Let the search have found a vacancy, the last time at *seen_at*."""
    harness.connection.execute(
        "INSERT INTO search_matches SELECT %(query)s, %(id)s, count(*) + 1, %(at)s, %(at)s"
        " FROM search_matches WHERE query_id = %(query)s",
        {"query": query, "id": vacancy_id, "at": seen_at},
    )


def insert_user(harness: Any) -> UUID:
    """Insert a user; return its id."""
    row_id: UUID = harness.insert(
        "INSERT INTO users (email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, '!', %s, %s) RETURNING id",
        uuid4().hex,
        NOW,
        NOW,
    )
    return row_id


def insert_application(harness: Any, account: UUID, vacancy_id: str, updated_at: Any) -> UUID:
    """Insert a sent application; return its id."""
    row_id: UUID = harness.insert(
        "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
        " updated_at) VALUES (%s, %s, %s, 'submitted', %s, %s) RETURNING id",
        account,
        uuid4(),
        vacancy_id,
        OLD,
        updated_at,
    )
    return row_id


def jobs(harness: Any) -> set[str]:
    """Return the ids of the vacancies that are stored."""
    return {row["external_id"] for row in harness.rows("SELECT external_id FROM jobs")}


def test_old_vacancies_without_references_are_deleted(harness: Any, context: Any) -> None:
    insert_job(harness, "closed")
    insert_job(harness, "never closed", closed_at=None)
    insert_job(harness, "closed lately", closed_at=NOW - DAY)
    insert_job(harness, "read lately", closed_at=None, looked_at=NOW - DAY)
    insert_job(harness, "changed lately", closed_at=None, fetched_at=NOW.replace(tzinfo=None))
    insert_job(harness, "the original's", published_at=None, closed_at=None)
    assert applications_retention.delete_unreferenced_jobs(context) == 2
    assert jobs(harness) == {"closed lately", "read lately", "changed lately", "the original's"}
    assert applications_retention.delete_unreferenced_jobs(context) == 0


def test_vacancies_that_something_refers_to_are_kept(harness: Any, context: Any) -> None:
    user = insert_user(harness)
    applied, queued, customized = (
        insert_job(harness, name) for name in ("applied", "queued", "customized")
    )
    insert_job(harness, "matched")
    insert_job(harness, "posting", repost_of="original", closed_at=None, looked_at=NOW)
    insert_job(harness, "original")
    harness.connection.execute(
        "INSERT INTO applications (user_id, job_id, job_external_id, inserted_at, updated_at)"
        " VALUES (%s, %s, 'applied', now(), now())",
        [user, applied],
    )
    harness.connection.execute(
        "INSERT INTO application_queue (workflow_id, user_id, job_id, job_external_id)"
        " VALUES (%s, %s, %s, 'queued')",
        [uuid4(), user, queued],
    )
    cv = harness.insert(
        "INSERT INTO cvs (user_id, name, file_path, created_at, updated_at)"
        " VALUES (%s, '', '', now(), now()) RETURNING id",
        user,
    )
    harness.connection.execute(
        "INSERT INTO custom_cvs (cv_id, job_id, created_at, updated_at)"
        " VALUES (%s, %s, now(), now())",
        [cv, customized],
    )
    insert_match(harness, harness.query(), "matched", NOW)
    before = jobs(harness)
    assert applications_retention.delete_unreferenced_jobs(context) == 0
    assert jobs(harness) == before


def test_vacancy_of_an_application_accepted_meanwhile_is_kept(harness: Any, context: Any) -> None:
    # The foreign key of applications deletes them with their vacancy.
    user, job = insert_user(harness), insert_job(harness, "1")
    with psycopg.connect(harness.url) as other:
        other.execute(
            "INSERT INTO applications (user_id, job_id, job_external_id, inserted_at, updated_at)"
            " VALUES (%s, %s, '1', now(), now())",
            [user, job],
        )
        deleting = threading.Thread(
            target=applications_retention.delete_unreferenced_jobs, args=[context]
        )
        deleting.start()
        time.sleep(0.2)
        other.commit()
        deleting.join()
    assert jobs(harness) == {"1"}
    assert harness.scalar("SELECT count(*) FROM applications") == 1
    assert applications_retention.delete_unreferenced_jobs(context) == 0
    assert harness.scalar("SELECT count(*) FROM applications") == 1


def test_matches_that_full_runs_no_longer_find_are_deleted(harness: Any, context: Any) -> None:
    query, paused, unused = (harness.query() for _ in range(3))
    account = harness.account()
    for search in (query, paused):
        harness.search(account, search)
    for search, full_from in ((query, NOW), (paused, OLD + DAY), (unused, OLD + DAY)):
        harness.connection.execute(
            "UPDATE search_queries SET full_from = %s WHERE id = %s", [full_from, search]
        )
        insert_match(harness, search, "lost", OLD)
        insert_match(harness, search, "found", NOW - DAY)
    assert searches_retention.delete_lost_matches(context) == 2
    kept = harness.rows("SELECT query_id, vacancy_id FROM search_matches ORDER BY vacancy_id")
    assert {(row["query_id"], row["vacancy_id"]) for row in kept} == {
        (query, "found"),
        (paused, "found"),
        (paused, "lost"),  # no run has looked for it since
        (unused, "found"),
    }


def test_notified_vacancies_are_kept_for_a_year_and_while_open(harness: Any, context: Any) -> None:
    account = harness.account()
    insert_job(harness, "open", closed_at=None)
    insert_job(harness, "closed")
    for vacancy_id, at in (("open", OLD), ("closed", OLD), ("deleted", OLD), ("new", NOW)):
        harness.connection.execute(
            "INSERT INTO account_vacancies VALUES (%s, %s, %s, NULL, 1, %s)",
            [account, vacancy_id, vacancy_id, at],
        )
    assert searches_retention.delete_old_notified(context) == 2
    kept = harness.rows("SELECT vacancy_id FROM account_vacancies")
    assert {row["vacancy_id"] for row in kept} == {"open", "new"}


def test_old_history_is_deleted_but_for_the_last_state(harness: Any, context: Any) -> None:
    account = harness.account()
    old, changed = (
        insert_application(harness, account, name, at) for name, at in (("1", OLD), ("2", NOW))
    )
    for application in (old, changed):
        for state in ("queued", "preparing", "submitted"):
            harness.connection.execute(
                "INSERT INTO application_history (ledger_id, at, state) VALUES (%s, %s, %s)",
                [application, OLD, state],
            )
    assert applications_retention.delete_old_history(context) == 2
    states = "SELECT state FROM application_history WHERE ledger_id = %s ORDER BY id"
    assert [row["state"] for row in harness.rows(states, old)] == ["submitted"]
    assert len(harness.rows(states, changed)) == 3


def test_old_idempotency_keys_are_deleted(harness: Any, context: Any) -> None:
    account = harness.account()
    application = insert_application(harness, account, "1", NOW)
    for key, at in (("old", OLD), ("new", NOW)):
        harness.connection.execute(
            "INSERT INTO application_keys VALUES (%s, %s, '', %s, %s)",
            [account, key, application, at],
        )
    assert applications_retention.delete_old_keys(context) == 1
    assert harness.rows("SELECT key FROM application_keys") == [{"key": "new"}]


def test_part_of_a_large_table_is_all_that_a_minute_reads(harness: Any) -> None:
    account = harness.account()
    application = insert_application(harness, account, "1", NOW)
    harness.connection.execute(
        "INSERT INTO application_keys"
        " SELECT %s, i::text, '', %s, %s FROM generate_series(1, 20000) AS i",
        [account, application, OLD],
    )
    midnight = NOW.replace(hour=0, minute=0)
    minute = [midnight]
    later = make_context(harness.connection, lambda: minute[0], caller=CORE)
    assert 0 < applications_retention.delete_old_keys(later) < 20_000 / 2
    for _ in range(1_440):
        minute[0] += timedelta(minutes=1)
        applications_retention.delete_old_keys(later)
    assert harness.scalar("SELECT count(*) FROM application_keys") == 0


def test_ten_times_a_batch_of_events_is_deleted_in_a_minute(harness: Any, context: Any) -> None:
    harness.connection.execute(
        "INSERT INTO events (account_id, seq, at, type, data)"
        " SELECT %s, i, %s, 'fetch.completed', '{}' FROM generate_series(1, 5001) AS i",
        [harness.account(), OLD],
    )
    assert sweeper_app.TIDY_STEPS["events_forgotten"](context) == 5_001
