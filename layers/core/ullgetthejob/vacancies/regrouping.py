"""Regrouping: store the new repost links that full texts give, where excerpts gave others.

Two postings that were linked as one job but are two: each account is notified of the posting that
it has not been notified of, by the next run that finds it or has found it: their matches get new
numbers, as if they had just been found. An account has been notified of a job if an event named one
of its postings (``account_vacancies.seq``), and is not notified of any job twice.

Two postings that were kept apart but are one job: an account that was notified of neither is
notified once.

Locks: searches whose matches get new numbers, then vacancies, each in the order of their ids, as
runs lock them. Notifications read links and numbers in one statement, so they need no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.platform.telemetry import count
from ullgetthejob.public_feed import outbox

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.vacancies.reposts import LinkChanges

LOCK_QUERIES = """
    SELECT id FROM search_queries WHERE id IN (
        SELECT query_id FROM search_matches WHERE vacancy_id = ANY(%(ids)s)
    )
    ORDER BY id FOR NO KEY UPDATE
"""
# In the order in which searches lock them. UPDATE, not NO KEY UPDATE: a transaction that links to
# one of these waits, and then sees its new link.
LOCK_JOBS = """
    SELECT FROM jobs WHERE external_id = ANY(%(ids)s) ORDER BY external_id FOR UPDATE
"""
# No link may lead to a repost. So a posting that has become the original of others stays, and a
# target that has become a repost hands on its own original. (One that moves itself becomes an
# original by this statement.)
UPDATE_ORIGINALS = """
    UPDATE jobs AS job SET repost_of = nullif(link.original_id, job.external_id)
    FROM (
        SELECT wanted.id, CASE WHEN target.external_id = ANY(%(moved)s) THEN target.external_id
            ELSE coalesce(target.repost_of, target.external_id) END AS original_id
        FROM unnest(%(moved)s::text[], %(originals)s::text[]) AS wanted (id, target_id)
        JOIN jobs AS target ON target.external_id = wanted.target_id
    ) AS link
    WHERE job.external_id = link.id AND NOT EXISTS (
        SELECT FROM jobs AS other
        WHERE other.repost_of = job.external_id AND other.external_id <> ALL(%(moved)s)
    )
    RETURNING job.external_id::text AS id, link.original_id
"""
UPDATE_MATCHES_RENUMBERED = """
    WITH renumbered AS (
        SELECT match.query_id, match.vacancy_id,
            query.last_match
            + row_number() OVER (PARTITION BY match.query_id ORDER BY match.number) AS number
        FROM search_matches AS match JOIN search_queries AS query ON query.id = match.query_id
        WHERE match.vacancy_id = ANY(%(ids)s) AND query.id = ANY(%(locked)s)
    ), numbered AS (
        UPDATE search_matches AS match SET number = renumbered.number
        FROM renumbered
        WHERE match.query_id = renumbered.query_id AND match.vacancy_id = renumbered.vacancy_id
        RETURNING match.query_id, match.number
    )
    UPDATE search_queries AS query SET last_match = newest.number
    FROM (SELECT query_id, max(number) AS number FROM numbered GROUP BY query_id) AS newest
    WHERE query.id = newest.query_id
"""


def regroup(changes: LinkChanges, *, connection: Connection, now: datetime) -> None:
    """Store new links, in the transaction that *connection* is in, before it writes any vacancy."""
    former_group = {"ids": list(changes.former_group)}
    locked = []
    if changes.former_group:
        locked = connection.execute(LOCK_QUERIES, former_group).fetchall()
    moved = {"moved": list(changes.originals), "originals": list(changes.originals.values())}
    ids = {*moved["moved"], *moved["originals"], *changes.former_group}
    connection.execute(LOCK_JOBS, {"ids": list(ids)})
    rows = connection.execute(UPDATE_ORIGINALS, moved).fetchall()
    if not rows:
        return
    count("VacanciesRegrouped", len(rows))
    if changes.former_group:
        values = {**former_group, "locked": [query["id"] for query in locked]}
        connection.execute(UPDATE_MATCHES_RENUMBERED, values)
        outbox.insert({row["original_id"] for row in rows}, connection=connection, now=now)
