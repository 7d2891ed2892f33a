"""Backfill of details: read the vacancies of a search in full, once for all accounts, and mark
closed ones.

A search shows excerpts; the description and the key skills take one call for each vacancy. A
vacancy that a full run no longer found is read again: hh.ru says whether it is closed, or only no
longer matches.

``jobs.looked_at`` is the claim on a vacancy, set before the call: no other worker asks for it, and
a vacancy that hh.ru cannot show does not block the rest. It stays set after a failed call, and
after a check of a vacancy that is no longer found but open.

A call that hh.ru refuses ends the backfill and fails nothing. Pages come first: a detail is read
only while no run waits, of this search or another; the fetcher sends a wake-up for the rest in a
minute without other work.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError, HHNotFound
from ullgetthejob.platform import settings
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.methods import MethodAccess
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

RETRY_AFTER = timedelta(days=1)  # for a vacancy that could not be read
RECHECK_AFTER = timedelta(days=7)  # for a vacancy that is open, but no longer found
NEWEST_SCANNED = 5_000  # vacancies a minute
MATCHES_SCANNED = 500  # of a search: the newest, and as many from a place that is random
SEARCHES_SCANNED = 20  # in a minute in which none of those vacancies belongs to a search
# One call in this many is for vacancies no longer found: unread ones may never run out.
CLOSED_RECHECK_WINDOW = 4

# A search may have found a tenth of all vacancies. So two parts of its matches are looked at: the
# newest, and those from a random number on. Together they are all, unless there are many.
SELECT_MATCHES_TO_SCAN = """
    (
        SELECT vacancy_id, number, seen_at FROM search_matches
        WHERE query_id = %(query_id)s ORDER BY number DESC LIMIT %(matches)s
    ) UNION (
        SELECT vacancy_id, number, seen_at FROM search_matches
        WHERE query_id = %(query_id)s AND number > (
            SELECT %(place)s * (last_match + %(matches)s) - %(matches)s FROM search_queries
            WHERE id = %(query_id)s
        )::bigint
        ORDER BY number LIMIT %(matches)s
    )
"""
SELECT_VACANCIES_WITHOUT_DETAIL = f"""
    SELECT job.external_id AS id, job.looked_at, false AS is_gone
    FROM ({SELECT_MATCHES_TO_SCAN}) AS match CROSS JOIN LATERAL (
        SELECT * FROM jobs WHERE external_id = match.vacancy_id LIMIT 1
    ) AS job
    WHERE job.detail IS NULL AND job.closed_at IS NULL
        AND (job.looked_at IS NULL OR job.looked_at < %(unread_before)s)
    ORDER BY job.published_at DESC NULLS LAST, match.number DESC LIMIT %(most)s
"""  # noqa: S608
# The searches, wanted by an account, of the newest vacancies that were not read. Most of those may
# come from interactive searches: so the scan of the newest is bounded.
SELECT_QUERIES_MISSING_DETAILS_BY_AGE = """
    WITH newest AS MATERIALIZED (
        SELECT external_id, published_at, looked_at FROM jobs
        WHERE detail IS NULL AND closed_at IS NULL
        ORDER BY published_at DESC LIMIT %(looked_at)s
    )
    SELECT query_id FROM (
        SELECT match.query_id, newest.published_at
        FROM newest CROSS JOIN LATERAL (
            SELECT match.query_id
            FROM search_matches AS match JOIN search_queries AS query ON query.id = match.query_id
            WHERE match.vacancy_id = newest.external_id AND query.due_at IS NOT NULL
            LIMIT %(most)s
        ) AS match
        WHERE newest.looked_at IS NULL OR newest.looked_at < %(unread_before)s
        ORDER BY newest.published_at DESC LIMIT %(seen)s
    ) AS newest_of_searches
    GROUP BY query_id ORDER BY max(published_at) DESC, query_id LIMIT %(most)s
"""
# Some of the searches, from a random place, for vacancies older than the newest.
SELECT_QUERIES_MISSING_DETAILS = """
    SELECT chosen.id AS query_id FROM (
        SELECT id FROM search_queries WHERE due_at IS NOT NULL AND id >= %(from)s
        ORDER BY id LIMIT %(searches)s
    ) AS chosen
    WHERE EXISTS (
        SELECT FROM search_matches AS match JOIN jobs AS job ON job.external_id = match.vacancy_id
        WHERE match.query_id = chosen.id AND job.detail IS NULL AND job.closed_at IS NULL
            AND (job.looked_at IS NULL OR job.looked_at < %(unread_before)s)
    )
    LIMIT %(most)s
"""
# A vacancy no longer found is checked once after it was last seen, then once a week.
SELECT_VACANCIES_GONE = f"""
    SELECT job.external_id AS id, job.looked_at, true AS is_gone
    FROM search_queries AS query
    JOIN ({SELECT_MATCHES_TO_SCAN}) AS match
        ON match.seen_at < query.full_from
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE external_id = match.vacancy_id LIMIT 1) AS job
    WHERE query.id = %(query_id)s AND job.closed_at IS NULL
        AND (job.looked_at IS NULL OR job.looked_at < match.seen_at
             OR job.looked_at < %(gone_before)s)
    ORDER BY match.seen_at DESC, match.number DESC LIMIT %(most)s
"""  # noqa: S608
# Updates no row if another worker claimed the vacancy first.
UPDATE_VACANCY_CLAIMED = """
    UPDATE jobs SET looked_at = %(now)s
    WHERE external_id = %(id)s AND closed_at IS NULL AND (%(is_gone)s OR detail IS NULL)
        AND looked_at IS NOT DISTINCT FROM %(looked_at)s
"""
UPDATE_VACANCY_RELEASED = """
    UPDATE jobs SET looked_at = %(before)s WHERE external_id = %(id)s AND looked_at = %(now)s
"""


def details_per_run() -> int:
    """Return how many calls a run may spend on details."""
    return settings.FETCH_DETAILS_PER_RUN()


def backfill(
    query_id: UUID, context: Context, *, most: int, may_continue: Callable[[], bool]
) -> int:
    """Read vacancies of the search in full, the newest unread ones first, then those that it no
    longer finds; return the number of calls, at most *most*. *may_continue* is asked before each.
    """
    if most <= 0:
        return 0
    connection = context.connection
    known = method_access.read("detail", None, connection=connection)
    calls = 0
    for vacancy in _select_vacancies(query_id, most, connection=connection, now=context.now()):
        if not may_continue():
            break
        claim = {**vacancy, "now": context.now()}
        if not connection.execute(UPDATE_VACANCY_CLAIMED, claim).rowcount:
            continue
        calls += 1
        try:
            _fetch_detail(vacancy, context, known)
        except HHError as error:
            logger.info("details are left for later", error_type=type(error).__name__)
            if error.may_have_acted:
                continue  # perhaps only this vacancy cannot be read
            connection.execute(UPDATE_VACANCY_RELEASED, {**claim, "before": vacancy["looked_at"]})
            break
    return calls


def queries_with_missing_details(*, connection: Connection, now: datetime, most: int) -> list[UUID]:
    """Return the ids of at most *most* searches with vacancies that were never read in full."""
    values = {
        "unread_before": now - RETRY_AFTER,
        "seen": 100 * most,
        "most": most,
        "looked_at": NEWEST_SCANNED,
        "searches": SEARCHES_SCANNED,
        "from": uuid4(),
    }
    rows = connection.execute(SELECT_QUERIES_MISSING_DETAILS_BY_AGE, values).fetchall()
    if not rows:
        rows = connection.execute(SELECT_QUERIES_MISSING_DETAILS, values).fetchall()
    return [row["query_id"] for row in rows]


def _select_vacancies(
    query_id: UUID, most: int, *, connection: Connection, now: datetime
) -> list[dict[str, Any]]:
    """Return at most *most* rows (id, looked_at, is_gone) to read, in order."""
    values = {
        "query_id": query_id,
        "most": most,
        "unread_before": now - RETRY_AFTER,
        "gone_before": now - RECHECK_AFTER,
        "matches": MATCHES_SCANNED,
        "place": random.random(),  # noqa: S311 - not a secret
    }
    unread = connection.execute(SELECT_VACANCIES_WITHOUT_DETAIL, values).fetchall()
    gone = connection.execute(SELECT_VACANCIES_GONE, values).fetchall()
    reserved = min(len(gone), most // CLOSED_RECHECK_WINDOW)
    gone_ids = {row["id"] for row in gone}
    unread = [row for row in unread if row["id"] not in gone_ids]
    return [*unread[: most - reserved], *gone, *unread[most - reserved :]][:most]


def _fetch_detail(vacancy: dict[str, Any], context: Context, known: MethodAccess) -> None:
    """Read one vacancy at hh.ru and store it, or mark it closed where hh.ru no longer has it.

    One that was never read is no longer claimed then. *known*: the access to the method as it was
    read when the backfill began.
    """
    vacancy_id = vacancy["id"]
    try:
        detail = method_access.call_as_service(
            "detail", lambda: context.hh.vacancy(vacancy_id), context, known=known
        )
    except HHNotFound:
        store.close(vacancy_id, connection=context.connection, now=context.now())
        count("VacanciesClosed")
        return
    store.store_detail(
        detail,
        connection=context.connection,
        now=context.now(),
        releases_claim=not vacancy["is_gone"],
    )
    count("DetailsRead")
    if detail.archived:
        count("VacanciesClosed")
