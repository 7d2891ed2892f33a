"""The fetcher's minute: runs begin for the searches that are due, and the workers' bell rings for
every run that somebody is to go on with, the new ones and those left behind; where there are none,
for vacancies that nobody read in full yet. No step keeps another from its own."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import periodic, queues
from ullgetthejob.platform.telemetry import count, gauge
from ullgetthejob.saved_searches import canonical_searches, run_store
from ullgetthejob.vacancies import detail_backfill

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

CLAIM_BATCH = 100  # searches whose rows are locked together
CLAIM_BUDGET_S = 20.0  # the rest of the minute is for waking those who work
NOTIFY_BUDGET_S = 10.0
MAX_NOTIFICATIONS = 500
MAX_DELETED = 500
BACKFILL_QUERIES = 3  # searches, in a minute in which no page is asked for

# What waits: a search that nobody begins to fetch, a run that nobody goes on with, or tells of.
SELECT_OLDEST_DUE = """
    SELECT least(
        (SELECT min(due_at) FROM search_queries WHERE due_at <= %(now)s),
        (SELECT min(due_at) FROM fetch_runs WHERE state = 'running' AND due_at <= %(now)s),
        (SELECT min(run.finished_at)
         FROM saved_searches AS search JOIN fetch_runs AS run ON run.id = search.run_id
         WHERE run.state <> 'running' AND NOT search.paused)
    ) AS due_at
"""


@dataclass
class Ticked:
    """What there was to do."""

    begun: int = 0
    rung: int = 0
    details: int = 0
    forgotten: int = 0


def tick(*, connection: Connection, clock: Callable[[], datetime]) -> Ticked:
    """One minute's work, over one connection. Raises :class:`periodic.StepsFailed`."""
    done = periodic.run(steps(clock=clock), session=lambda: contextlib.nullcontext(connection))
    return Ticked(**done)


def steps(*, clock: Callable[[], datetime]) -> dict[str, periodic.Step]:
    """Return the steps of a minute, each by the name of what it counts."""
    minute = _Tick(clock)
    return {
        "begun": minute.begin,
        "rung": minute.wake,
        "details": minute.wake_for_details,
        "forgotten": minute.forget,
    }


class _Tick:
    """What the steps of one minute know of each other."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._is_idle = False

    def begin(self, connection: Connection) -> int:
        """Begin the runs of what is due; how many."""
        ends = time.monotonic() + CLAIM_BUDGET_S
        begun = 0
        while time.monotonic() < ends:
            runs = canonical_searches.claim_due(
                connection=connection, now=self._clock(), most=CLAIM_BATCH
            )
            begun += len(runs)
            if not runs:
                break
        count("FetchRunsStarted", begun)
        return begun

    def wake(self, connection: Connection) -> int:
        """Wake the workers for what is to go on, and say how long the oldest has waited; how
        many. What there is no time for is woken in the next minute."""
        ends = time.monotonic() + NOTIFY_BUDGET_S
        waiting = run_store.due_queries(
            connection=connection, now=self._clock(), most=MAX_NOTIFICATIONS
        )
        self._is_idle = not waiting
        rung = 0
        for query_id in waiting:
            if time.monotonic() >= ends:
                break
            queues.notify(run_store.QUEUE, {"query_id": str(query_id)})
            rung += 1
        age = oldest_due_age(connection=connection, now=self._clock())
        gauge("OldestDueSearchAgeSeconds", age)
        return rung

    def wake_for_details(self, connection: Connection) -> int:
        """Wake the workers for vacancies to be read in full, if nothing else is to be done."""
        if not self._is_idle or detail_backfill.details_per_run() <= 0:
            return 0
        left = detail_backfill.queries_with_missing_details(
            connection=connection, now=self._clock(), most=BACKFILL_QUERIES
        )
        for query_id in left:
            queues.notify(run_store.QUEUE, {"query_id": str(query_id)})
        return len(left)

    def forget(self, connection: Connection) -> int:
        """Forget old runs; how many."""
        return run_store.delete_old(connection=connection, now=self._clock(), most=MAX_DELETED)


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """For how many seconds the search that has waited longest has been due; 0 without one."""
    row = connection.execute(SELECT_OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None or row["due_at"] is None else (now - row["due_at"]).total_seconds()
