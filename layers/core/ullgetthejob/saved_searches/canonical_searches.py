"""Canonical searches: one row of ``search_queries`` for all saved searches that find the same.

The canonical form of a search leaves out parameters that do not change the result (page, order) and
sorts its lists; its hash is the row's key. ``due_at`` is the soonest moment at which one of its
saved searches needs a run. The fetcher claims due rows (:func:`claim_due`): a run begins, and the
saved searches that are due now, or soon, are attached to it.

A transaction that changes a row, its run or its matches holds the row's lock. The row is locked
before its saved searches, while a change of a saved search locks that first: so the claim skips
saved searches that are locked; the transaction that holds them calls :func:`reschedule`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.errors import NotFound
from ullgetthejob.platform.working_hours import WorkingHours, is_open, opening
from ullgetthejob.saved_searches import run_store, schedule

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.saved_searches.run_store import Run

# Parameters that do not change which vacancies are found. hh.ru's premium is not a filter: it puts
# premium vacancies first, where a run needs the newest first.
IGNORED_PARAMETERS = {"page", "per_page", "order_by", "sort_point_lat", "sort_point_lng", "premium"}
TRUE_BY_DEFAULT = {"no_magic"}  # the other switches are off by default

INSERT_QUERY = """
    INSERT INTO search_queries (hash, parameters, created_at)
    VALUES (%(hash)s, %(parameters)s::jsonb, %(now)s)
    ON CONFLICT (hash) DO NOTHING
"""
# Locked, so that it is not deleted with its last person before the saved search refers to it.
SELECT_QUERY_BY_HASH = "SELECT id FROM search_queries WHERE hash = %(hash)s FOR KEY SHARE"
SELECT_QUERY = "SELECT * FROM search_queries WHERE id = %s"
# NO KEY: a saved search that is being inserted at the same time refers to the row.
LOCK_QUERY = "SELECT * FROM search_queries WHERE id = %s FOR NO KEY UPDATE"
UPDATE_QUERIES_DUE_AT = """
    UPDATE search_queries AS query SET due_at = (
        SELECT min(next_run_at) FROM saved_searches WHERE query_id = query.id AND NOT paused
    )
    WHERE id = ANY(%(ids)s)
"""
LOCK_DUE_QUERIES = """
    SELECT * FROM search_queries WHERE due_at <= %(now)s ORDER BY due_at, id LIMIT %(most)s
    FOR NO KEY UPDATE SKIP LOCKED
"""
SELECT_QUERIES_RUNNING = (
    "SELECT query_id FROM fetch_runs WHERE query_id = ANY(%(ids)s) AND state = 'running'"
)
UPDATE_QUERIES_DEFERRED = "UPDATE search_queries SET due_at = %(due_at)s WHERE id = ANY(%(ids)s)"
LOCK_SEARCHES_OF_QUERIES = """
    SELECT id, query_id, interval_seconds, working_hours, time_zone, next_run_at
    FROM saved_searches WHERE query_id = ANY(%(ids)s) AND NOT paused AND next_run_at IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
UPDATE_SEARCHES_NEXT_RUN = """
    UPDATE saved_searches AS search
    SET run_id = coalesce(wanted.run_id, search.run_id), next_run_at = wanted.next_run_at
    FROM jsonb_to_recordset(%(wanted)s::jsonb)
        AS wanted (id uuid, run_id uuid, next_run_at timestamptz)
    WHERE search.id = wanted.id AND search.id = ANY(%(ids)s::uuid[])
"""
# Full runs mark vacancies that are seen again: one that such a run does not see may have closed. An
# incremental run marks them only for its own count, where it goes on after the page.
UPDATE_MATCHES_SEEN = """
    UPDATE search_matches SET seen_at = %(now)s
    WHERE query_id = %(id)s AND vacancy_id = ANY(%(ids)s)
"""
COUNT_MATCHES_SEEN = """
    SELECT count(*) AS seen FROM search_matches
    WHERE query_id = %(id)s AND vacancy_id = ANY(%(ids)s) AND seen_at >= %(since)s
"""
INSERT_MATCHES = """
    WITH seen AS (
        SELECT id, min(place) AS place
        FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS page (id, place)
        GROUP BY id
    ), added AS (
        INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)
        SELECT query.id, seen.id, query.last_match + row_number() OVER (ORDER BY seen.place),
            %(now)s, %(now)s
        FROM seen CROSS JOIN search_queries AS query
        WHERE query.id = %(id)s AND NOT EXISTS (
            SELECT FROM search_matches AS known
            WHERE known.query_id = query.id AND known.vacancy_id = seen.id
        )
        RETURNING number
    )
    UPDATE search_queries SET last_match = (SELECT max(number) FROM added)
    WHERE id = %(id)s AND EXISTS (SELECT FROM added)
"""
# A run that found nothing has read everything.
UPDATE_QUERY_COMPLETED = """
    UPDATE search_queries SET
        complete_from = %(started_at)s,
        full_from = CASE WHEN %(is_full)s THEN %(started_at)s ELSE full_from END,
        full_found = CASE WHEN %(is_full)s THEN %(found)s ELSE full_found END,
        read_whole_from = CASE WHEN %(is_whole)s THEN %(started_at)s ELSE read_whole_from END
    WHERE id = %(id)s
"""
LOCK_SEARCH = """
    SELECT id FROM saved_searches WHERE id = %(id)s AND query_id = %(query_id)s FOR NO KEY UPDATE
"""
UPDATE_SEARCH_ATTACHED = "UPDATE saved_searches SET run_id = %(run_id)s WHERE id = %(id)s"


def canonical(parameters: SearchParameters) -> dict[str, Any]:
    """Return the parameters in the form that is equal for all searches that find the same."""
    kept = parameters.model_dump(mode="json", exclude_defaults=True, exclude=IGNORED_PARAMETERS)
    return {
        name: sorted(set(value)) if isinstance(value, list) else value
        for name, value in sorted(kept.items())
        if value is not False or name in TRUE_BY_DEFAULT
    }


def get_or_create(parameters: SearchParameters, *, connection: Connection, now: datetime) -> UUID:
    """Return the id of the row of a search, which is inserted if it does not exist."""
    text = json.dumps(canonical(parameters), ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    values = {"hash": digest, "parameters": text, "now": now}
    connection.execute(INSERT_QUERY, values)
    row = connection.execute(SELECT_QUERY_BY_HASH, values).fetchone()
    if row is None:  # deleted in between, with the last person who had saved it
        return get_or_create(parameters, connection=connection, now=now)
    return UUID(str(row["id"]))


def parameters_of(row: dict[str, Any]) -> SearchParameters:
    """Return the search that a row represents."""
    return SearchParameters.from_stored(row["parameters"])


def read(query_id: UUID, *, connection: Connection) -> dict[str, Any]:
    """Return the row. Raises :class:`NotFound` for a search that was deleted with the last person
    who had saved it."""
    row = connection.execute(SELECT_QUERY, (query_id,)).fetchone()
    if row is None:
        raise NotFound("the search was deleted")
    return row


def find(query_id: UUID, *, connection: Connection) -> dict[str, Any] | None:
    """Return the row; ``None`` without one: a wake-up may be older than the database."""
    return connection.execute(SELECT_QUERY, (query_id,)).fetchone()


def lock(query_id: UUID, *, connection: Connection) -> dict[str, Any]:
    """Return the row, locked until the end of the transaction. Raises as :func:`read` does."""
    row = connection.execute(LOCK_QUERY, (query_id,)).fetchone()
    if row is None:
        raise NotFound("the search was deleted")
    return row


def reschedule(query_id: UUID, *, connection: Connection, now: datetime) -> None:  # noqa: ARG001
    """Make the row due with the first of its saved searches, after one was created, changed or
    deleted."""
    connection.execute(LOCK_QUERY, (query_id,))
    connection.execute(UPDATE_QUERIES_DUE_AT, {"ids": [query_id]})


def claim_due(*, connection: Connection, now: datetime, most: int) -> list[Run]:
    """Begin a run of each of at most *most* due searches, the longest due first; return the runs.
    Concurrent claims share the due searches."""
    with connection.transaction():
        due = connection.execute(LOCK_DUE_QUERIES, {"now": now, "most": most}).fetchall()
        ids = {"ids": [query["id"] for query in due]}
        busy = {
            row["query_id"] for row in connection.execute(SELECT_QUERIES_RUNNING, ids).fetchall()
        }
        wanted = defaultdict(list)
        for row in connection.execute(LOCK_SEARCHES_OF_QUERIES, ids).fetchall():
            wanted[row["query_id"]].append(row)
        runs = [
            run
            for query in due
            if query["id"] not in busy
            and (run := _claim(query, wanted[query["id"]], connection=connection, now=now))
        ]
        connection.execute(UPDATE_QUERIES_DUE_AT, ids)
        # Searches in a run need another one after it.
        connection.execute(
            UPDATE_QUERIES_DEFERRED, {"ids": list(busy), "due_at": now + schedule.TICK}
        )
    return runs


def request_run(query_id: UUID, search_id: UUID, *, connection: Connection, now: datetime) -> Run:
    """Attach a saved search that a person wants to run now to its query's current run, or to a new
    one, and return the run. Raises :class:`NotFound` if the saved search has got other filters."""
    with connection.transaction():
        values = {"id": search_id, "query_id": query_id}
        if connection.execute(LOCK_SEARCH, values).fetchone() is None:
            raise NotFound("there is no such saved search")
        query = lock(query_id, connection=connection)
        run = run_store.running(query_id, connection=connection)
        if run is None:
            rows = connection.execute(LOCK_SEARCHES_OF_QUERIES, {"ids": [query_id]}).fetchall()
            run = _begin(query, "request", connection=connection, now=now)
            _schedule(rows, run, connection=connection, now=now, requested_id=search_id)
            connection.execute(UPDATE_QUERIES_DUE_AT, {"ids": [query_id]})
        elif run.trigger != "request":
            run = run_store.mark_requested(run, connection=connection)
        connection.execute(UPDATE_SEARCH_ATTACHED, {"id": search_id, "run_id": run.id})
    return run


def record_matches(
    query_id: UUID,
    vacancy_ids: list[str],
    *,
    mark_seen: bool,
    connection: Connection,
    now: datetime,
) -> None:
    """Number the vacancies that the search, whose row is locked, found for the first time, in this
    order. *mark_seen*: mark the others as seen again."""
    values = {"id": query_id, "ids": vacancy_ids, "now": now}
    if vacancy_ids and mark_seen:
        connection.execute(UPDATE_MATCHES_SEEN, values)
    if vacancy_ids:
        connection.execute(INSERT_MATCHES, values)


def count_seen(
    query_id: UUID, vacancy_ids: list[str], *, since: datetime, connection: Connection
) -> int:
    """Return how many of *vacancy_ids* the search has found since a moment."""
    values = {"id": query_id, "ids": vacancy_ids, "since": since}
    row = connection.execute(COUNT_MATCHES_SEEN, values).fetchone()
    return int(row["seen"]) if row else 0


def mark_complete(run: Run, *, is_whole: bool, connection: Connection) -> None:
    """Store that *run* read its search, whose row is locked, so that the next one need read only
    what is new. *is_whole*: nothing was missing, so that after a full run, what it did not see is
    gone."""
    is_full = run.is_full or run.found == 0
    values = {
        "id": run.query_id,
        "started_at": run.started_at,
        "is_full": is_full,
        "is_whole": is_full and is_whole,
        "found": run.found,
    }
    connection.execute(UPDATE_QUERY_COMPLETED, values)


def _claim(
    query: dict[str, Any], rows: list[dict[str, Any]], *, connection: Connection, now: datetime
) -> Run | None:
    """Begin and return a run if a saved search is due and within its working hours."""
    run = None
    if any(row["next_run_at"] <= now and _is_open(row, now) for row in rows):
        run = _begin(query, "schedule", connection=connection, now=now)
    _schedule(rows, run, connection=connection, now=now)
    return run


def _begin(
    query: dict[str, Any], trigger: run_store.Trigger, *, connection: Connection, now: datetime
) -> Run:
    return run_store.begin(
        query, parameters_of(query), trigger=trigger, connection=connection, now=now
    )


def _schedule(
    rows: list[dict[str, Any]],
    run: Run | None,
    *,
    connection: Connection,
    now: datetime,
    requested_id: UUID | None = None,
) -> None:
    """Attach to *run* the saved searches that are due, or will be within half of their interval,
    and the one with *requested_id* in any case; set when each of them runs next."""
    wanted = []
    for row in rows:
        interval = timedelta(seconds=row["interval_seconds"])
        hours = _hours(row)
        attached = run is not None and (
            row["id"] == requested_id
            or (row["next_run_at"] <= now + interval / 2 and _is_open(row, now))
        )
        if attached:
            next_run_at = schedule.next_run(
                now, row["interval_seconds"], hours, row["time_zone"], row["id"]
            )
        elif row["next_run_at"] <= now:
            next_run_at = opening(hours, row["time_zone"], now)
        else:
            continue
        wanted.append(
            {
                "id": str(row["id"]),
                "run_id": str(run.id) if attached and run else None,
                "next_run_at": next_run_at.isoformat(),
            }
        )
    if wanted:
        ids = [row["id"] for row in wanted]
        values = {"wanted": json.dumps(wanted), "ids": ids}
        connection.execute(UPDATE_SEARCHES_NEXT_RUN, values)


def _hours(row: dict[str, Any]) -> WorkingHours | None:
    hours = row["working_hours"]
    return None if hours is None else WorkingHours.model_validate(hours)


def _is_open(row: dict[str, Any], now: datetime) -> bool:
    return is_open(_hours(row), row["time_zone"], now)
