"""How long idempotency keys, the histories of applications, and vacancies are kept.

Applications, their attempts and outcomes are kept: they are the person's record, and what ensures
that nothing is sent twice. Without its key, a submission that is repeated is answered with the same
application, which its account and vacancy identify.

A vacancy is deleted when nothing refers to it and it was closed, or no search has found it, for
half a year. ``applications.job_id`` cascades, so the rows are locked before the references are
looked up: an application that is accepted at the same time keeps its vacancy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.platform import retention, settings

if TYPE_CHECKING:
    from ullgetthejob.platform.context import Context

KEY_RETENTION = timedelta(days=90)
VACANCY_RETENTION = timedelta(days=180)

DELETE_OLD_KEYS = """
    DELETE FROM application_keys
    WHERE ctid >= %(low)s::tid AND ctid < %(high)s::tid AND created_at < %(before)s
"""
# Here and below, a subquery that returns one value is looked up by its key for each row; EXISTS may
# become a join of two whole tables. The latest row of the history stays: it is the state that a
# next change follows.
DELETE_OLD_HISTORY = """
    DELETE FROM application_history AS old
    WHERE ctid >= %(low)s::tid AND ctid < %(high)s::tid AND at < %(before)s
        AND (SELECT updated_at FROM application_ledger WHERE id = old.ledger_id) < %(before)s
        AND old.id < (SELECT max(id) FROM application_history WHERE ledger_id = old.ledger_id)
"""
# The original's own vacancies have no published_at, and stay.
LOCK_OLD_JOBS = """
    SELECT id FROM jobs
    WHERE ctid >= %(low)s::tid AND ctid < %(high)s::tid AND published_at < %(before)s
        AND (closed_at < %(before)s OR closed_at IS NULL
             AND fetched_at < %(before)s AT TIME ZONE 'UTC'
             AND (looked_at IS NULL OR looked_at < %(before)s))
    ORDER BY external_id FOR UPDATE SKIP LOCKED
"""
DELETE_UNREFERENCED_JOBS = """
    DELETE FROM jobs AS job WHERE id = ANY(%(ids)s)
        AND (SELECT 1 FROM applications WHERE job_id = job.id LIMIT 1) IS NULL
        AND (SELECT 1 FROM application_queue WHERE job_id = job.id LIMIT 1) IS NULL
        AND (SELECT 1 FROM custom_cvs WHERE job_id = job.id LIMIT 1) IS NULL
        AND (SELECT 1 FROM search_matches WHERE vacancy_id = job.external_id LIMIT 1) IS NULL
        AND (SELECT 1 FROM jobs WHERE repost_of = job.external_id LIMIT 1) IS NULL
"""


def delete_old_keys(context: Context) -> int:
    """Delete the old idempotency keys in this minute's part of them; return how many."""
    return _delete("application_keys", DELETE_OLD_KEYS, KEY_RETENTION, context)


def delete_old_history(context: Context) -> int:
    """Delete the earlier states of applications, in this minute's part of them, that have not
    changed for a year, or as ``HISTORY_RETENTION_DAYS`` says; return how many."""
    kept = timedelta(days=settings.HISTORY_RETENTION_DAYS())
    return _delete("application_history", DELETE_OLD_HISTORY, kept, context)


def delete_unreferenced_jobs(context: Context) -> int:
    """Delete the old vacancies, in this minute's part of them, that nothing refers to; return how
    many."""
    connection = context.connection
    before = context.now() - VACANCY_RETENTION

    def delete(part: dict[str, str]) -> int:
        with connection.transaction():
            old = connection.execute(LOCK_OLD_JOBS, {"before": before, **part}).fetchall()
            if not old:
                return 0
            ids = {"ids": [row["id"] for row in old]}
            return connection.execute(DELETE_UNREFERENCED_JOBS, ids).rowcount

    return retention.read_in_parts("jobs", delete, connection=connection, now=context.now())


def _delete(table: str, statement: str, kept: timedelta, context: Context) -> int:
    connection, before = context.connection, context.now() - kept
    return retention.read_in_parts(
        table,
        lambda part: connection.execute(statement, {"before": before, **part}).rowcount,
        connection=connection,
        now=context.now(),
    )
