"""The sweeper: every minute it rings again for whatever was left waiting, and for accounts whose
negotiations are due to be read.

Messages may be lost; rows are not. Besides: applications that waited for a person's login or
captcha go on once the access is in order, those that waited too long expire, and what the BFF wrote
over the states in its table is put right: ``pending`` there is a wish to try again, honoured where
nothing was created at hh.ru.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access
from ullgetthejob.applications import ledger
from ullgetthejob.applications.campaigns import giving_up, taking_up
from ullgetthejob.platform import queues
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.telemetry import count, gauge, logger

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

AT_ONCE = 500  # rows of each kind a minute; the next minute takes the rest

ACCESS_RETURNED = """
    SELECT l.id FROM application_ledger l JOIN accounts a ON a.id = l.account_id
    WHERE l.state = 'needs_person' AND l.reason IN ('reauth_required', 'captcha')
      AND a.access_state IN ('ok', 'limited_until')
    LIMIT %(most)s
"""
EXPIRED = """
    SELECT id FROM application_ledger
    WHERE state IN ('needs_person', 'handoff') AND due_at IS NULL AND expires_at <= %(now)s
    LIMIT %(most)s
"""
OVERWRITTEN = f"""
    SELECT {", ".join(f"l.{column.strip()}" for column in ledger.COLUMNS.split(","))}, p.status
    FROM application_ledger l JOIN applications p ON p.id = l.application_id
    WHERE p.status IS DISTINCT FROM %(projected)s::jsonb ->> l.state
    LIMIT %(most)s
"""  # noqa: S608
ANEW = "UPDATE application_ledger SET expires_at = %(expires_at)s WHERE id = %(id)s"
DUE_ACCOUNTS = f"""
    SELECT account_id FROM (
        SELECT account_id, due_at FROM application_ledger
        WHERE due_at <= %(now)s AND {ledger.NOT_HELD_BACK}
        UNION ALL
        SELECT id, negotiations_due_at FROM accounts
        WHERE negotiations_due_at <= %(now)s AND {access.READABLE}
    ) AS due
    GROUP BY account_id ORDER BY min(due_at) LIMIT %(most)s
"""  # noqa: S608
OLDEST_DUE = f"""
    SELECT min(due_at) AS due_at FROM application_ledger
    WHERE due_at <= %(now)s AND {ledger.NOT_HELD_BACK}
"""  # noqa: S608


@dataclass
class Swept:
    """What there was to do."""

    returned: int = 0
    expired: int = 0
    repaired: int = 0
    retried: int = 0
    rung: int = 0
    taken_up: int = 0
    cancelled: int = 0


def sweep(*, connection: Connection, now: datetime, request_id: str = "-") -> Swept:
    """One sweep at *now*; *request_id*: the invocation's."""
    import json

    swept = Swept()
    values = {"now": now, "most": AT_ONCE, "projected": json.dumps(ledger.PROJECTED)}
    for row in connection.execute(ACCESS_RETURNED, values).fetchall():
        swept.returned += _move(
            row["id"], "queued", "access_returned", connection, now, now, ["needs_person"]
        )
    for row in connection.execute(EXPIRED, values).fetchall():
        swept.expired += _move(
            row["id"],
            "expired",
            "waited_too_long",
            connection,
            now,
            None,
            ["needs_person", "handoff"],
        )
    for row in connection.execute(OVERWRITTEN, values).fetchall():
        wished = row.pop("status") == "pending"
        application = ledger.Application(**row)
        if wished and application.state in ledger.RETRYABLE:
            swept.retried += _retry(application, connection, now)
        else:
            ledger.restore(application.id, connection=connection, now=now)
            swept.repaired += 1
    for row in connection.execute(DUE_ACCOUNTS, values).fetchall():
        queues.ring(ledger.QUEUE, {"account_id": str(row["account_id"])})
        swept.rung += 1
    # The last, so that what fails there holds nothing else up; it rings by itself.
    swept.cancelled = giving_up.sweep(connection=connection, now=now)
    swept.taken_up = taking_up.sweep(
        caller=Caller("core", request_id), connection=connection, now=now
    )
    logger.info("swept", **vars(swept))
    count("ApplicationsRungAgain", swept.rung)
    gauge("OldestDueApplicationAgeSeconds", oldest_due_age(connection=connection, now=now))
    return swept


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """For how many seconds the application that has waited longest has been due; 0 without one."""
    row = connection.execute(OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None or row["due_at"] is None else (now - row["due_at"]).total_seconds()


def _retry(application: ledger.Application, connection: Connection, now: datetime) -> int:
    """1 if it is tried again, with all the time that a new one has."""
    values = {"id": application.id, "expires_at": now + ledger.GIVEN_UP_AFTER}
    with connection.transaction():
        connection.execute(ANEW, values)
        ledger.leave_campaign(application.id, connection=connection)
        return _move(application.id, "queued", "retried", connection, now, now, [application.state])


def _move(
    id: Any,
    state: ledger.State,
    reason: str,
    connection: Connection,
    now: datetime,
    due_at: datetime | None,
    source: list[ledger.State],
) -> int:
    """1 if it moved, 0 if somebody else was faster: by now its call may be out."""
    try:
        ledger.move(
            id, state, source=source, reason=reason, due_at=due_at, connection=connection, now=now
        )
    except ledger.Moved:
        return 0
    return 1
