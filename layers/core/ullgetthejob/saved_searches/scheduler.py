"""The fetcher's tick, once a minute: begin the runs of due searches, and send wake-ups to the
workers for every run to be continued, new or left over; without such runs, for vacancies that were
never read in full. A step that fails does not stop the others."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from ullgetthejob.platform import periodic, queues, retention
from ullgetthejob.platform.telemetry import count, gauge
from ullgetthejob.saved_searches import canonical_searches, run_store
from ullgetthejob.vacancies import detail_backfill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

CLAIM_BATCH = 100  # searches whose rows are locked together
CLAIM_BUDGET_S = 20.0  # the rest of the minute is for wake-ups
NOTIFY_BUDGET_S = 10.0
MAX_NOTIFICATIONS = 500
MAX_DELETED = 500
BACKFILL_QUERIES = 3  # searches, in a minute in which no page is requested

# Work that waits: a search to begin, a run to continue, or a run to send notifications of.
SELECT_OLDEST_DUE = """
    SELECT least(
        (SELECT min(due_at) FROM search_queries WHERE due_at <= %(now)s),
        (SELECT min(due_at) FROM fetch_runs WHERE state = 'running' AND due_at <= %(now)s),
        (SELECT min(run.finished_at)
         FROM saved_searches AS search CROSS JOIN LATERAL (
             SELECT state, finished_at FROM fetch_runs WHERE id = search.run_id LIMIT 1
         ) AS run
         WHERE search.run_id IS NOT NULL AND NOT search.paused AND run.state <> 'running')
    ) AS due_at
"""


def steps() -> dict[str, periodic.Step]:
    """Return the steps of a minute by the names of their counts: runs begun, wake-ups sent for
    runs and for details, old runs deleted."""
    minute = _Tick()
    return {
        "begun": minute.begin_due_runs,
        "notified": minute.notify_workers,
        "details": minute.notify_for_details,
        "forgotten": minute.delete_old_runs,
    }


class _Tick:
    """The state that the steps of one minute share."""

    def __init__(self) -> None:
        self._is_idle = False

    def begin_due_runs(self, context: Context) -> int:
        """Begin the runs of due searches; return how many."""
        deadline = time.monotonic() + CLAIM_BUDGET_S
        begun = 0
        while time.monotonic() < deadline:
            runs = canonical_searches.claim_due(
                connection=context.connection, now=context.now(), most=CLAIM_BATCH
            )
            begun += len(runs)
            if not runs:
                break
        count("FetchRunsStarted", begun)
        return begun

    def notify_workers(self, context: Context) -> int:
        """Send a wake-up for each search with a run to be continued, and report the age of the
        oldest; return how many were sent. The rest is left to the next minute."""
        deadline = time.monotonic() + NOTIFY_BUDGET_S
        waiting = run_store.due_queries(
            connection=context.connection, now=context.now(), most=MAX_NOTIFICATIONS
        )
        self._is_idle = not waiting
        notified = _notify(waiting, deadline)
        age = oldest_due_age(connection=context.connection, now=context.now())
        gauge("OldestDueSearchAgeSeconds", age)
        return notified

    def notify_for_details(self, context: Context) -> int:
        """Send wake-ups for vacancies to be read in full, if no run is to be continued; return how
        many."""
        if not self._is_idle or detail_backfill.details_per_run() <= 0:
            return 0
        query_ids = detail_backfill.queries_with_missing_details(
            connection=context.connection, now=context.now(), most=BACKFILL_QUERIES
        )
        return _notify(query_ids)

    def delete_old_runs(self, context: Context) -> int:
        """Delete old runs; return how many."""
        return retention.in_batches(run_store.delete_old, most=MAX_DELETED)(context)


def _notify(query_ids: Iterable[UUID], deadline: float = math.inf) -> int:
    payloads = ({"query_id": str(query_id)} for query_id in query_ids)
    return queues.notify_each(run_store.QUEUE, payloads, deadline=deadline)


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """Return the seconds for which the longest waiting search has been due; 0 without one."""
    row = connection.execute(SELECT_OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None or row["due_at"] is None else (now - row["due_at"]).total_seconds()
