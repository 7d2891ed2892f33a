"""How long the vacancies that searches found, and those that accounts were notified of, are kept.

A match is deleted when the full runs of its search have not found the vacancy for 90 days, or when
it is as old and no saved search has this search any more. A vacancy found again after that counts
as new to the search, but not to an account that was notified of it: that is kept for a year (or as
``NOTIFIED_RETENTION_DAYS`` says), and while the vacancy is open.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import retention, settings

if TYPE_CHECKING:
    from ullgetthejob.platform.context import Context

MATCH_RETENTION = timedelta(days=90)

# A row that a run marks as seen at the same time stays: the condition is checked again. Subqueries
# that return one value are looked up by their key; EXISTS may become a join of two whole tables.
DELETE_LOST_MATCHES = """
    DELETE FROM search_matches AS match USING search_queries AS query
    WHERE match.ctid >= %(low)s::tid AND match.ctid < %(high)s::tid AND query.id = match.query_id
        AND match.seen_at < %(before)s
        AND (match.seen_at < query.full_from - %(kept)s
             OR (SELECT 1 FROM saved_searches WHERE query_id = match.query_id LIMIT 1) IS NULL)
"""
DELETE_OLD_NOTIFIED_VACANCIES = """
    DELETE FROM account_vacancies AS notified
    WHERE ctid >= %(low)s::tid AND ctid < %(high)s::tid AND at < %(before)s
        AND (SELECT 1 FROM jobs
             WHERE external_id = notified.vacancy_id AND closed_at IS NULL) IS NULL
"""


def delete_lost_matches(context: Context) -> int:
    """Delete the matches, in this minute's part of them, that no run finds; return how many."""
    values = {"before": context.now() - MATCH_RETENTION, "kept": MATCH_RETENTION}
    return _delete("search_matches", DELETE_LOST_MATCHES, values, context)


def delete_old_notified(context: Context) -> int:
    """Delete the notified vacancies, in this minute's part of them, that are old and not open;
    return how many."""
    kept = timedelta(days=settings.NOTIFIED_RETENTION_DAYS())
    values = {"before": context.now() - kept}
    return _delete("account_vacancies", DELETE_OLD_NOTIFIED_VACANCIES, values, context)


def _delete(table: str, statement: str, values: dict[str, Any], context: Context) -> int:
    connection = context.connection
    return retention.read_in_parts(
        table,
        lambda part: connection.execute(statement, {**values, **part}).rowcount,
        connection=connection,
        now=context.now(),
    )
