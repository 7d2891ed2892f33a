"""The table ``fetch_runs``: each run of a canonical search, and its outcome.

A search has one run at a time. Its ``plan`` holds what is left to request, and ``step`` rises with
each stored page: a worker that finds another step than it read changes nothing. ``due_at`` is when
a worker may continue the run: at once, after hh.ru's pause, or when the lease of the worker that
has it has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.platform import postgres, settings, tracing
from ullgetthejob.platform.models import Model
from ullgetthejob.saved_searches import pagination
from ullgetthejob.saved_searches.pagination import Plan

if TYPE_CHECKING:
    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform.postgres import Connection

QUEUE = settings.FETCH_QUEUE_URL
State = Literal["running", "completed", "partial", "failed"]
Trigger = Literal["schedule", "request"]

FULL_RUN_INTERVAL = timedelta(hours=24)
OVERLAP = timedelta(minutes=30)  # for vacancies that hh.ru shows late, or with a time in the past
RUN_RETENTION = timedelta(days=90)

SELECT_RUNNING = "SELECT * FROM fetch_runs WHERE query_id = %s AND state = 'running'"
SELECT_RUN = "SELECT * FROM fetch_runs WHERE id = %s"
SELECT_LATEST_RUN = (
    "SELECT * FROM fetch_runs WHERE query_id = %s ORDER BY started_at DESC, id LIMIT 1"
)
INSERT_RUN = """
    INSERT INTO fetch_runs (query_id, state, trigger, is_full, since, plan, due_at, started_at)
    VALUES (
        %(query_id)s, 'running', %(trigger)s, %(is_full)s, %(since)s, %(plan)s::jsonb, %(now)s,
        %(now)s
    )
    RETURNING *
"""
# A worker that continues a run has its search's row locked: see canonical_searches.lock.
UPDATE_RUN_STEP = """
    UPDATE fetch_runs SET
        step = step + 1,
        plan = %(plan)s::jsonb,
        found = coalesce(found, %(found)s),
        fetched = fetched + %(fetched)s,
        new = new + %(new)s,
        changed = changed + %(changed)s,
        failed = failed + %(failed)s,
        calls = calls + 1,
        attempts = 0,
        reason = NULL
    WHERE id = %(id)s AND step = %(step)s AND state = 'running'
    RETURNING *
"""
# The ids of the pages are no longer of use, and the row is retained for long.
UPDATE_RUN_ENDED = """
    UPDATE fetch_runs SET
        step = step + 1, state = %(state)s, reason = %(reason)s, due_at = NULL,
        plan = plan - 'seen',
        finished_at = %(now)s, calls = calls + %(calls)s
    WHERE id = %(id)s AND step = %(step)s AND state = 'running'
    RETURNING *
"""
UPDATE_RUN_REQUESTED = "UPDATE fetch_runs SET trigger = 'request' WHERE id = %(id)s RETURNING *"
UPDATE_RUN_DEFERRED = """
    UPDATE fetch_runs SET
        due_at = %(due_at)s, reason = %(reason)s, attempts = attempts + %(attempts)s,
        calls = calls + %(calls)s
    WHERE id = %(id)s AND step = %(step)s AND state = 'running'
    RETURNING *
"""
# Only collapses after the last completed run count.
SELECT_COLLAPSED_SINCE = """
    SELECT min(started_at) AS since FROM fetch_runs
    WHERE query_id = %(query_id)s AND reason = 'collapsed' AND started_at > coalesce(
        (
            SELECT max(started_at) FROM fetch_runs
            WHERE query_id = %(query_id)s AND state = 'completed'
        ),
        '-infinity'
    )
"""
# Searches whose run waits, the oldest first, and those with saved searches still attached to a run
# that has ended: a notification detaches them. LIMIT 1: each by its key, not by a join of two whole
# tables, which the planner prefers where its statistics are old.
SELECT_DUE_QUERIES = """
    SELECT query_id FROM (
        SELECT query_id, due_at FROM fetch_runs WHERE state = 'running' AND due_at <= %(now)s
        UNION ALL
        SELECT run.query_id, run.finished_at
        FROM saved_searches AS search CROSS JOIN LATERAL (
            SELECT query_id, state, finished_at FROM fetch_runs WHERE id = search.run_id LIMIT 1
        ) AS run
        WHERE search.run_id IS NOT NULL AND NOT search.paused
            AND run.state <> 'running' AND run.query_id = search.query_id
    ) AS left_waiting
    GROUP BY query_id ORDER BY min(due_at), query_id LIMIT %(most)s
"""
SELECT_UNNOTIFIED_RUNS = """
    SELECT DISTINCT run.id, run.started_at, (run.plan ->> 'trace_id')::uuid AS trace_id
    FROM saved_searches AS search
    JOIN fetch_runs AS run ON run.id = search.run_id AND run.query_id = search.query_id
    WHERE run.query_id = %s AND run.state <> 'running' AND NOT search.paused
    ORDER BY run.started_at, run.id
"""
# What running() and unnotified_runs() would find due.
SELECT_HAS_WORK = """
    SELECT EXISTS (
        SELECT FROM fetch_runs
        WHERE query_id = %(query_id)s AND state = 'running' AND due_at <= %(now)s
    ) OR EXISTS (
        SELECT FROM saved_searches AS search
        JOIN fetch_runs AS run ON run.id = search.run_id AND run.query_id = search.query_id
        WHERE run.query_id = %(query_id)s AND run.state <> 'running' AND NOT search.paused
    ) AS has_work
"""
# A run without a reason is due or a worker has it, and needs slots for its calls; one with a reason
# waits for hh.ru.
SELECT_HAS_WAITING_RUNS = """
    SELECT EXISTS (
        SELECT FROM fetch_runs
        WHERE state = 'running' AND (due_at <= %(now)s OR reason IS NULL)
    ) AS wait
"""
DELETE_OLD_RUNS = """
    DELETE FROM fetch_runs WHERE id = ANY(ARRAY(
        SELECT id FROM fetch_runs
        WHERE started_at < %(before)s AND state <> 'running' LIMIT %(most)s
    ))
"""


class RunAnswer(Model):
    """One run of a search: how many vacancies hh.ru *found*, how many were *fetched*, how many of
    them were *new* to Core or had *changed*, and how many could not be read (*failed*)."""

    id: UUID
    state: State
    trigger: Trigger
    reason: str | None = Field(description="why it waits, is partial or has failed")
    found: int | None
    fetched: int
    new: int
    changed: int
    failed: int
    calls: int = Field(description="calls to hh.ru")
    started_at: AwareDatetime
    finished_at: AwareDatetime | None


@dataclass(frozen=True)
class Run:
    """A row of ``fetch_runs``."""

    id: UUID
    query_id: UUID
    state: State
    trigger: Trigger
    reason: str | None
    is_full: bool
    since: datetime | None
    plan: Plan
    step: int
    attempts: int
    due_at: datetime | None
    found: int | None
    fetched: int
    new: int
    changed: int
    failed: int
    calls: int
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Run:
        """Return the run of a row."""
        return cls(**{**row, "plan": Plan.model_validate(row["plan"])})

    def is_due(self, now: datetime) -> bool:
        """Return whether a worker is to continue the run."""
        return self.state == "running" and self.due_at is not None and self.due_at <= now

    def answer(self) -> RunAnswer:
        """Return the run as the API's callers see it."""
        return RunAnswer.model_validate(self, from_attributes=True)


def begin(
    query: dict[str, Any],
    parameters: SearchParameters,
    *,
    trigger: Trigger,
    connection: Connection,
    now: datetime,
) -> Run:
    """Insert and return a run of *query* (a locked row without a current run): a full one if the
    search was never read in full, or not for a day, or has dates of its own; else an incremental
    one."""
    is_full = (
        query["complete_from"] is None
        or query["full_from"] is None
        or query["full_from"] <= now - FULL_RUN_INTERVAL
        or pagination.is_always_full(parameters)
    )
    since = None if is_full else query["complete_from"] - OVERLAP
    plan = pagination.first_plan(now, low=since, trace_id=tracing.trace_id())
    values = {
        "query_id": query["id"],
        "trigger": trigger,
        "is_full": is_full,
        "since": since,
        "plan": plan.model_dump_json(),
        "now": now,
    }
    run = _run_of(connection.execute(INSERT_RUN, values).fetchone())
    _log_change(None, run, connection)
    return run


def read(run_id: UUID, *, connection: Connection) -> Run:
    """Return the run with this id, which must exist."""
    return _run_of(connection.execute(SELECT_RUN, (run_id,)).fetchone())


def running(query_id: UUID, *, connection: Connection) -> Run | None:
    """Return the current run of the search; ``None`` if it has none."""
    row = connection.execute(SELECT_RUNNING, (query_id,)).fetchone()
    return Run.of(row) if row else None


def latest(query_id: UUID, *, connection: Connection) -> RunAnswer | None:
    """Return the last run of a search, which may be running; ``None`` before the first."""
    row = connection.execute(SELECT_LATEST_RUN, (query_id,)).fetchone()
    return Run.of(row).answer() if row else None


def save_step(
    run: Run,
    plan: Plan,
    *,
    found: int,
    fetched: int,
    failed: int,
    new: int,
    changed: int,
    connection: Connection,
) -> Run | None:
    """Store the plan and counts of *run* after one more page; return the run, or ``None`` if
    another worker has continued it."""
    values = {
        "id": run.id,
        "step": run.step,
        "plan": plan.model_dump_json(),
        "found": found,
        "fetched": fetched,
        "failed": failed,
        "new": new,
        "changed": changed,
    }
    row = connection.execute(UPDATE_RUN_STEP, values).fetchone()
    return Run.of(row) if row else None


def end(
    run: Run,
    state: State,
    *,
    reason: str | None,
    calls: int = 0,
    connection: Connection,
    now: datetime,
) -> Run | None:
    """Store the end of *run*, after *calls* more; return the run, or ``None`` if another worker has
    continued it."""
    values = {"id": run.id, "step": run.step, "state": state, "reason": reason}
    row = connection.execute(UPDATE_RUN_ENDED, {**values, "calls": calls, "now": now}).fetchone()
    if row is None:
        return None
    ended = Run.of(row)
    _log_change("running", ended, connection)
    return ended


def defer(
    run: Run,
    due_at: datetime,
    *,
    reason: str | None,
    attempts: int = 0,
    calls: int = 0,
    connection: Connection,
) -> Run | None:
    """Defer *run* until *due_at*, after *attempts* that failed and *calls* more; return the run, or
    ``None`` if another worker has continued it."""
    values = {"id": run.id, "step": run.step, "due_at": due_at, "reason": reason}
    row = connection.execute(
        UPDATE_RUN_DEFERRED, {**values, "attempts": attempts, "calls": calls}
    ).fetchone()
    return Run.of(row) if row else None


def mark_requested(run: Run, *, connection: Connection) -> Run:
    """Store that a person asked for *run*, which a schedule may have begun; return the run."""
    return _run_of(connection.execute(UPDATE_RUN_REQUESTED, {"id": run.id}).fetchone())


def unnotified_runs(query_id: UUID, *, connection: Connection) -> list[tuple[UUID, UUID | None]]:
    """Return id and trace of the search's ended runs with saved searches still to be notified, the
    oldest first."""
    rows = connection.execute(SELECT_UNNOTIFIED_RUNS, (query_id,)).fetchall()
    return [(row["id"], row["trace_id"]) for row in rows]


def has_work(query_id: UUID, *, connection: Connection, now: datetime) -> bool:
    """Return whether the search has a run to be continued, or accounts to be notified of one."""
    row = connection.execute(SELECT_HAS_WORK, {"query_id": query_id, "now": now}).fetchone()
    return bool(row and row["has_work"])


def due_queries(*, connection: Connection, now: datetime, most: int) -> list[UUID]:
    """Return the ids of at most *most* searches with work for a worker, the longest due first."""
    rows = connection.execute(SELECT_DUE_QUERIES, {"now": now, "most": most}).fetchall()
    return [row["query_id"] for row in rows]


def has_waiting_runs(*, connection: Connection, now: datetime) -> bool:
    """Return whether any run waits for a worker, or for a slot to call hh.ru."""
    row = connection.execute(SELECT_HAS_WAITING_RUNS, {"now": now}).fetchone()
    return bool(row and row["wait"])


def collapsed_since(query_id: UUID, *, connection: Connection) -> datetime | None:
    """Return when the first collapsed run since the last completed run began; ``None`` if there is
    none."""
    row = connection.execute(SELECT_COLLAPSED_SINCE, {"query_id": query_id}).fetchone()
    return row["since"] if row else None


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete at most *most* runs older than their retention; return how many."""
    return connection.execute(
        DELETE_OLD_RUNS, {"before": now - RUN_RETENTION, "most": most}
    ).rowcount


def _log_change(before: State | None, run: Run, connection: Connection) -> None:
    """Log the change of a run's state, once it has been committed."""
    postgres.log_transition(
        connection,
        "run",
        before,
        run.state,
        reason=run.reason,
        run_id=run.id,
        query_id=run.query_id,
        found=run.found,
        fetched=run.fetched,
        new=run.new,
        changed=run.changed,
        failed=run.failed,
        calls=run.calls,
    )


def _run_of(row: dict[str, Any] | None) -> Run:
    assert row is not None  # noqa: S101 - INSERT … RETURNING, or the id of a row
    return Run.of(row)
