"""Attempts: a call to hh.ru that applies is on record before it is made, its outcome after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import ledger
from ullgetthejob.rate_limits import daily_limit

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ullgetthejob.applications.ledger import Application

    Connection = psycopg.Connection[dict[str, Any]]

# Longer than any call to hh.ru: whoever made it is gone by then.
CALL_TIMEOUT = timedelta(seconds=90)
# Locked, so that a pause, or the item's deletion, comes before an attempt or after it.
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


def count_attempts(id: UUID, *, connection: Connection) -> int:
    """How many attempts the row has had."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": id}).fetchone()
    return int(row["made"]) if row else 0


def count_sent_attempts(id: UUID, *, connection: Connection) -> int:
    """How many of them reached hh.ru, or may have."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": id}).fetchone()
    return int(row["sent"]) if row else 0


def has_unused_token(id: UUID, *, connection: Connection) -> bool:
    """Whether the row's token is still in hand: the call that it was spent for never left."""
    row = connection.execute(SELECT_LAST_OUTCOME, {"id": id}).fetchone()
    return row is not None and row["outcome"] == "not_sent"


def begin_attempt(
    application: Application,
    resume_id: str,
    resume_reason: str,
    *,
    connection: Connection,
    now: datetime,
) -> Application | datetime:
    """Put an attempt on record before its call: the row as it goes out, or when the 24 hours have
    room. Its letter is the one to send: it may have been replaced since *application* was read.

    One transaction under the account's lock, so that any number of workers never make one too many.
    Raises :class:`Moved`.
    """
    with connection.transaction():
        # The row before the account, as whatever moves a row locks them.
        connection.execute(f"{ledger.SELECT_APPLICATION} FOR UPDATE", {"id": application.id})
        connection.execute(LOCK_ACCOUNT, {"account_id": application.account_id})
        room = daily_limit.next_slot_in_24h(application.account_id, connection=connection, now=now)
        if room > now:
            return room
        if not _campaign_runs(application, connection=connection):
            raise ledger.ConcurrentUpdate
        going_out = ledger.transition(
            application.id,
            "submitting",
            connection=connection,
            now=now,
            due_at=now + CALL_TIMEOUT,
            resume_id=resume_id,
            resume_reason=resume_reason,
        )
        values = {
            "id": application.id,
            "account_id": application.account_id,
            "number": count_attempts(application.id, connection=connection) + 1,
            "now": now,
        }
        connection.execute(INSERT_ATTEMPT, values)
        return going_out


def _campaign_runs(application: Application, *, connection: Connection) -> bool:
    """Whether its campaign, if it has one, lets it go out; that stays so in this transaction."""
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
    """An application that the person made on hh.ru counts among the 200, from *at* on."""
    values = {
        "id": application.id,
        "account_id": application.account_id,
        "number": count_attempts(application.id, connection=connection) + 1,
        "now": at,
    }
    connection.execute(INSERT_ATTEMPT, values)
    close_attempts(application.id, outcome, counts=True, connection=connection, now=now)


def record_unsent(application: Application, *, connection: Connection, now: datetime) -> None:
    """An attempt that has its token, and whose worker died before it was on record."""
    values = {
        "id": application.id,
        "account_id": application.account_id,
        "number": count_attempts(application.id, connection=connection) + 1,
        "now": now,
    }
    with connection.transaction():
        connection.execute(INSERT_ATTEMPT, values)
        close_attempts(application.id, "not_sent", counts=False, connection=connection, now=now)


def close_attempts(
    id: UUID, outcome: str, *, counts: bool, connection: Connection, now: datetime
) -> None:
    """Put on record what came of the row's attempts that are still open. *counts*: whether hh.ru
    counts it among its 200."""
    values = {"id": id, "now": now, "outcome": outcome, "counts": counts}
    connection.execute(INSERT_OUTCOMES, values)
