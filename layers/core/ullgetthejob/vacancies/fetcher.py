"""The fetcher's minute: runs begin for the searches that are due, and the workers' bell rings for
every run that somebody is to go on with, the new ones and those left behind; where there are none,
for vacancies that nobody read in full yet."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import queues
from ullgetthejob.platform.telemetry import count, gauge, logger
from ullgetthejob.vacancies import details, fetch_runs, queries

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

AT_ONCE = 100  # searches whose rows are locked together
BUDGET_S = 30.0
MOST_BELLS = 500
MOST_FORGOTTEN = 500
DETAILS_OF = 3  # searches, in a minute in which no page is asked for

# What waits: a search that nobody begins to fetch, a run that nobody goes on with, or tells of.
OLDEST_DUE = """
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
    """One minute's work."""
    ends = time.monotonic() + BUDGET_S
    ticked = Ticked()
    while time.monotonic() < ends:
        runs = queries.claim_due(connection=connection, now=clock(), most=AT_ONCE)
        ticked.begun += len(runs)
        if not runs:
            break
    # A bell that there is no time for rings in the next minute.
    for query_id in fetch_runs.to_ring(connection=connection, now=clock(), most=MOST_BELLS):
        if time.monotonic() >= ends:
            break
        queues.ring(fetch_runs.QUEUE, {"query_id": str(query_id)})
        ticked.rung += 1
    if not ticked.rung and details.per_run() > 0:
        for query_id in details.left(connection=connection, now=clock(), most=DETAILS_OF):
            queues.ring(fetch_runs.QUEUE, {"query_id": str(query_id)})
            ticked.details += 1
    ticked.forgotten = fetch_runs.forget(connection=connection, now=clock(), most=MOST_FORGOTTEN)
    logger.info("ticked", **vars(ticked))
    count("FetchRunsBegun", ticked.begun)
    gauge("OldestDueSearchAgeSeconds", oldest_due_age(connection=connection, now=clock()))
    return ticked


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """For how many seconds the search that has waited longest has been due; 0 without one."""
    row = connection.execute(OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None or row["due_at"] is None else (now - row["due_at"]).total_seconds()
