"""Attempts: each call to hh.ru that applies is recorded before it is made, its outcome after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.applications import ledger, pacing
from ullgetthejob.rate_limits import daily_limit

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.application import Application
    from ullgetthejob.autopilot.pace import Slot
    from ullgetthejob.platform.postgres import Connection

# Longer than any call to hh.ru: the worker that made it has ended by then.
CALL_TIMEOUT = timedelta(seconds=90)
# Locked, so that a pause, or the item's deletion, happens before an attempt or after it; before the
# application and the account, as whatever creates applications from items locks them.
LOCK_RUNNING_CAMPAIGN = """
    SELECT FROM campaigns c JOIN application_queue q ON q.id = %(queue_item_id)s
    WHERE c.workflow_id = %(workflow_id)s AND c.state = 'running'
    FOR SHARE OF c FOR KEY SHARE OF q
"""
# The row before the account: every transition locks them in this order.
LOCK_APPLICATION_AND_ACCOUNT = """
    WITH application AS MATERIALIZED (
        SELECT account_id FROM application_ledger WHERE id = %(id)s FOR UPDATE
    )
    SELECT FROM accounts JOIN application ON application.account_id = accounts.id
    FOR UPDATE OF accounts
"""
INSERT_ATTEMPT = """
    INSERT INTO application_attempts (ledger_id, account_id, number, at)
    SELECT %(id)s, %(account_id)s, count(*) + 1, %(now)s
    FROM application_attempts WHERE ledger_id = %(id)s
"""
SELECT_ATTEMPTS_MADE = """
    SELECT count(*) FILTER (WHERE o.outcome IS DISTINCT FROM 'not_sent') AS sent,
           (array_agg(o.outcome ORDER BY a.number DESC))[1] AS last_outcome
    FROM application_attempts a LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.ledger_id = %(id)s
"""
INSERT_OUTCOMES = """
    INSERT INTO application_outcomes (attempt_id, at, outcome, counts)
    SELECT a.id, %(now)s, %(outcome)s, %(counts)s FROM application_attempts a
    WHERE a.ledger_id = %(id)s ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class AttemptsMade:
    """The attempts of an application so far. *sent*: how many reached hh.ru, or may have.
    *has_unused_token*: whether the application still has its token, since the call that it was
    spent for was never sent."""

    sent: int
    has_unused_token: bool


@dataclass(frozen=True)
class Begun:
    """An attempt whose call may be made. *application*: the row as it is sent. *in_24h*: how many
    applications of the account count in the last 24 hours, with this one."""

    application: Application
    in_24h: int


def read_made(ledger_id: UUID, *, connection: Connection) -> AttemptsMade:
    """Return the attempts of the application so far."""
    row = connection.execute(SELECT_ATTEMPTS_MADE, {"id": ledger_id}).fetchone()
    assert row is not None  # noqa: S101 - a count
    return AttemptsMade(row["sent"], row["last_outcome"] == "not_sent")


def begin_attempt(
    application: Application,
    resume_id: str,
    resume_reason: str,
    *,
    connection: Connection,
    now: datetime,
) -> Begun | datetime | Slot:
    """Record an attempt before its call. Return the row as it is sent, the time of the next slot
    where the daily limit is used up, or the slot that its autopilot has for it.

    The letter to send is that of the returned row: it may have been replaced since *application*
    was read. One transaction under the account's lock, so that any number of workers never make one
    attempt too many. Raises :class:`ledger.ConcurrentUpdate`.
    """
    with connection.transaction():
        if not _lock_running_campaign(application, connection=connection):
            raise ledger.ConcurrentUpdate
        connection.execute(LOCK_APPLICATION_AND_ACCOUNT, {"id": application.id})
        counted = daily_limit.list_counted(application.account_id, connection=connection, now=now)
        slot = daily_limit.next_slot(counted, now=now)
        if slot > now:
            return slot
        own_slot = pacing.find_slot(application, connection=connection, now=now)
        if own_slot is not None:
            return own_slot
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
        return Begun(sent, len(counted) + 1)


def _insert_attempt(application: Application, at: datetime, *, connection: Connection) -> None:
    values = {
        "id": application.id,
        "account_id": application.account_id,
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
