"""Regrouping: store the new repost links that full texts give, where excerpts gave others.

Two postings that were linked as one job but are two: each account is notified of the posting that
it has not been notified of, by the next run that finds it or has found it: their matches get new
numbers, as if they had just been found. An account has been notified of a job if an event named one
of its postings (``account_vacancies.seq``), and is not notified of any job twice. All accounts are
shown the new original.

Two postings that were kept apart but are one job: an account that was notified of neither is
notified once.

Locks: accounts in the order of their ids, as notifications lock them, then searches, then
vacancies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.platform.telemetry import count
from ullgetthejob.public_feed import outbox

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.vacancies.reposts import LinkChanges

    Connection = psycopg.Connection[dict[str, Any]]

LOCK_ACCOUNTS = """
    SELECT FROM accounts WHERE id IN (
        SELECT search.account_id
        FROM search_matches AS match JOIN saved_searches AS search USING (query_id)
        WHERE match.vacancy_id = ANY(%(ids)s)
    )
    ORDER BY id FOR NO KEY UPDATE
"""
LOCK_QUERIES = """
    SELECT FROM search_queries WHERE id IN (
        SELECT query_id FROM search_matches WHERE vacancy_id = ANY(%(ids)s)
    )
    ORDER BY id FOR NO KEY UPDATE
"""
# In the order in which searches lock them.
LOCK_JOBS = """
    SELECT FROM jobs WHERE external_id = ANY(%(ids)s) ORDER BY external_id FOR NO KEY UPDATE
"""
# A posting that has become the original of others is left alone: no link may lead to a repost.
UPDATE_ORIGINALS = """
    UPDATE jobs AS job SET repost_of = nullif(link.original_id, job.external_id)
    FROM unnest(%(moved)s::text[], %(originals)s::text[]) AS link (id, original_id)
    WHERE job.external_id = link.id AND NOT EXISTS (
        SELECT FROM jobs AS other
        WHERE other.repost_key = job.repost_key AND other.repost_of = job.external_id
    )
    RETURNING job.external_id::text AS id, link.original_id
"""
UPDATE_NOTIFIED_VACANCIES = """
    UPDATE account_vacancies AS notified SET original_id = link.original_id
    FROM unnest(%(moved)s::text[], %(originals)s::text[]) AS link (id, original_id)
    JOIN search_matches AS match ON match.vacancy_id = link.id
    JOIN saved_searches AS search ON search.query_id = match.query_id
    WHERE notified.account_id = search.account_id AND notified.vacancy_id = link.id
"""
UPDATE_MATCHES_RENUMBERED = """
    WITH renumbered AS (
        SELECT match.query_id, match.vacancy_id,
            query.last_match
            + row_number() OVER (PARTITION BY match.query_id ORDER BY match.number) AS number
        FROM search_matches AS match JOIN search_queries AS query ON query.id = match.query_id
        WHERE match.vacancy_id = ANY(%(ids)s)
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
    ids = sorted({*changes.originals, *changes.former_group})
    connection.execute(LOCK_ACCOUNTS, {"ids": ids})
    connection.execute(LOCK_QUERIES, {"ids": ids})
    connection.execute(LOCK_JOBS, {"ids": ids})
    values = {
        "moved": list(changes.originals),
        "originals": list(changes.originals.values()),
    }
    rows = connection.execute(UPDATE_ORIGINALS, values).fetchall()
    moved = {row["id"]: row["original_id"] for row in rows}
    if not moved:
        return
    connection.execute(
        UPDATE_NOTIFIED_VACANCIES, {"moved": list(moved), "originals": list(moved.values())}
    )
    count("VacanciesRegrouped", len(moved))
    if changes.former_group:
        connection.execute(UPDATE_MATCHES_RENUMBERED, {"ids": list(changes.former_group)})
        outbox.insert(set(moved.values()), connection=connection, now=now)
