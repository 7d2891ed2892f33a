"""Attempts: each call to hh.ru that applies is recorded before it is made, its outcome after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import ledger
from ullgetthejob.rate_limits import daily_limit

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ullgetthejob.applications.application import Application

    Connection = psycopg.Connection[dict[str, Any]]

# Longer than any call to hh.ru: the worker that made it has ended by then.
CALL_TIMEOUT = timedelta(seconds=90)
# Locked, so that a pause, or the item's deletion, happens before an attempt or after it.
LOCK_RUNNING_CAMPAIGN = """
    SELECT FROM campaigns c JOIN application_queue q ON q.id = %(queue_item_id)s
    WHERE c.workflow_id = %(workflow_id)s AND c.state = 'running'
    FOR SHARE OF c FOR KEY SHARE OF q
"""
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR UPDATE"
INSERT_ATTEMPT = """
    INSERT INTO application_attempts (ledger_id, account_id, number, at)
    VALUES (%(id)s, %(account_id)s, %(number)s, %(now)s)
"""
COUNT_ATTEMPTS = """
    SELECT count(*) AS made, count(*) FILTER (WHERE o.outcome IS DISTINCT FROM 'not_sent') AS sent
    FROM application_attempts a LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.ledger_id = %(id)s
"""
SELECT_LAST_OUTCOME = """
    SELECT o.outcome FROM application_attempts a
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.ledger_id = %(id)s ORDER BY a.number DESC LIMIT 1
"""
INSERT_OUTCOMES = """
    INSERT INTO application_outcomes (attempt_id, at, outcome, counts)
    SELECT a.id, %(now)s, %(outcome)s, %(counts)s FROM application_attempts a
    WHERE a.ledger_id = %(id)s ON CONFLICT DO NOTHING
"""


def count_attempts(ledger_id: UUID, *, connection: Connection) -> int:
    """Return how many attempts the application has had."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": ledger_id}).fetchone()
    return int(row["made"]) if row else 0


def count_sent_attempts(ledger_id: UUID, *, connection: Connection) -> int:
    """Return how many of the application's attempts reached hh.ru, or may have."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": ledger_id}).fetchone()
    return int(row["sent"]) if row else 0


def has_unused_token(ledger_id: UUID, *, connection: Connection) -> bool:
    """Return whether the application still has its token: the call that it was spent for was never
    sent."""
    row = connection.execute(SELECT_LAST_OUTCOME, {"id": ledger_id}).fetchone()
    return row is not None and row["outcome"] == "not_sent"


def begin_attempt(
    application: Application,
    resume_id: str,
    resume_reason: str,
    *,
    connection: Connection,
    now: datetime,
) -> Application | datetime:
    """Record an attempt before its call. Return the row as it is sent, or the time of the next slot
    where the daily limit is used up.

    The letter to send is that of the returned row: it may have been replaced since *application*
    was read. One transaction under the account's lock, so that any number of workers never make one
    attempt too many. Raises :class:`ledger.ConcurrentUpdate`.
    """
    with connection.transaction():
        # The row before the account: every transition locks them in this order.
        connection.execute(f"{ledger.SELECT_APPLICATION} FOR UPDATE", {"id": application.id})
        connection.execute(LOCK_ACCOUNT, {"account_id": application.account_id})
        slot = daily_limit.next_slot_in_24h(application.account_id, connection=connection, now=now)
        if slot > now:
            return slot
        if not _lock_running_campaign(application, connection=connection):
            raise ledger.ConcurrentUpdate
        sent = ledger.transition(
            application.id,
            "submitting",
            connection=connection,
            now=now,
            due_at=now + CALL_TIMEOUT,
            resume_id=resume_id,
            resume_reason=resume_reason,
        )
        _insert_attempt(application, now, connection=connection)
        return sent


def _insert_attempt(application: Application, at: datetime, *, connection: Connection) -> None:
    values = {
        "id": application.id,
        "account_id": application.account_id,
        "number": count_attempts(application.id, connection=connection) + 1,
        "now": at,
    }
    connection.execute(INSERT_ATTEMPT, values)


def _lock_running_campaign(application: Application, *, connection: Connection) -> bool:
    """Return whether the application's campaign, if it has one, runs; it goes on running for the
    rest of this transaction."""
    if application.workflow_id is None:
        return True
    values = {"workflow_id": application.workflow_id, "queue_item_id": application.queue_item_id}
    return connection.execute(LOCK_RUNNING_CAMPAIGN, values).fetchone() is not None


def record_by_hand(
    application: Application,
    at: datetime,
    *,
    connection: Connection,
    now: datetime,
    outcome: str = "by_hand",
) -> None:
    """Record an application that the person made on hh.ru: it counts among the 200 from *at* on."""
    _insert_attempt(application, at, connection=connection)
    close_attempts(application.id, outcome, counts=True, connection=connection, now=now)


def record_unsent(application: Application, *, connection: Connection, now: datetime) -> None:
    """Record an attempt that has its token, and whose worker's process ended before it was
    recorded."""
    with connection.transaction():
        _insert_attempt(application, now, connection=connection)
        close_attempts(application.id, "not_sent", counts=False, connection=connection, now=now)


def close_attempts(
    ledger_id: UUID, outcome: str, *, counts: bool, connection: Connection, now: datetime
) -> None:
    """Record the outcome of the application's attempts that are still open. *counts*: whether hh.ru
    counts it among its 200."""
    values = {"id": ledger_id, "now": now, "outcome": outcome, "counts": counts}
    connection.execute(INSERT_OUTCOMES, values)
