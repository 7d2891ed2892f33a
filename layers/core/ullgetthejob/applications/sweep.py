"""The sweeper: every minute it wakes what was left waiting: accounts whose applications, or the
reading of whose negotiations, are due.

Messages may be lost; rows are not. Besides: applications that waited for a person's login or
captcha go on once the access is in order, those that waited too long expire, and what the BFF wrote
over the states in its table is put right: ``pending`` there is a wish to try again, honoured where
nothing was created at hh.ru.

Every statement asks through an index for what waits: what is finished, which is nearly all of the
ledger, costs a minute nothing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access
from ullgetthejob.applications import application_states, ledger
from ullgetthejob.applications.campaigns import cancellation, item_intake
from ullgetthejob.platform import periodic, queues
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.telemetry import count, gauge

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

BATCH = 500  # rows of each kind a minute; the next minute takes the rest

# Each has an index of just the rows that may wait (migration 0012), in the order that it asks for.
SELECT_ACCESS_RESTORED = """
    SELECT l.id, l.account_id FROM application_ledger l JOIN accounts a ON a.id = l.account_id
    WHERE l.state = 'needs_person' AND l.reason IN ('reauth_required', 'captcha')
      AND a.access_state IN ('ok', 'limited_until')
    LIMIT %(most)s
"""
SELECT_EXPIRED = """
    SELECT id FROM application_ledger
    WHERE state IN ('needs_person', 'handoff') AND due_at IS NULL AND expires_at <= %(now)s
    ORDER BY expires_at LIMIT %(most)s
"""
SELECT_OVERWRITTEN = f"""
    SELECT {", ".join(f"l.{column.strip()}" for column in ledger.COLUMNS.split(","))}, p.status
    FROM (
        SELECT id, status, updated_at FROM applications
        WHERE projected_status IS NOT NULL AND status IS DISTINCT FROM projected_status
        ORDER BY updated_at, id LIMIT %(most)s
    ) AS p JOIN application_ledger l ON l.application_id = p.id
    ORDER BY p.updated_at, p.id
"""  # noqa: S608
UPDATE_APPLICATION_RENEWED = (
    "UPDATE application_ledger SET expires_at = %(expires_at)s WHERE id = %(id)s"
)
SELECT_DUE_ACCOUNTS = f"""
    SELECT account_id FROM (
        SELECT account_id, due_at FROM application_ledger
        WHERE due_at <= %(now)s AND {ledger.CAMPAIGN_RUNS}
        UNION ALL
        SELECT id, negotiations_due_at FROM accounts
        WHERE negotiations_due_at <= %(now)s AND {access.READABLE}
    ) AS due
    GROUP BY account_id ORDER BY min(due_at) LIMIT %(most)s
"""  # noqa: S608
SELECT_OLDEST_DUE = f"""
    SELECT min(due_at) AS due_at FROM application_ledger
    WHERE due_at <= %(now)s AND {ledger.CAMPAIGN_RUNS}
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
    """Run all steps at *now* over one connection. Raises :class:`periodic.StepsFailed`."""
    steps = {**wake_steps(now=now), **tidy_steps(now=now, request_id=request_id)}
    return Swept(**periodic.run(steps, session=lambda: contextlib.nullcontext(connection)))


def wake_steps(*, now: datetime) -> dict[str, periodic.Step]:
    """Return what wakes those that wait."""
    return {"rung": partial(wake_due_accounts, now=now)}


def tidy_steps(*, now: datetime, request_id: str) -> dict[str, periodic.Step]:
    """Return the other steps, each by the name of what it counts; what they queue they wake
    themselves. *request_id*: the invocation's."""
    caller = Caller("core", request_id)
    return {
        "returned": partial(requeue_after_access, now=now),
        "retried": partial(retry_requested, now=now),
        "repaired": partial(repair_overwritten, now=now),
        "expired": partial(expire, now=now),
        "cancelled": lambda connection: cancellation.sweep(connection=connection, now=now),
        "taken_up": lambda connection: item_intake.sweep(
            caller=caller, connection=connection, now=now
        ),
    }


def wake_due_accounts(connection: Connection, *, now: datetime) -> int:
    """Wake the applier for accounts that have something due, and say how long the oldest has
    been; how many."""
    rows = connection.execute(SELECT_DUE_ACCOUNTS, {"now": now, "most": BATCH}).fetchall()
    for row in rows:
        _wake(row["account_id"])
    count("ApplicationsNotifiedAgain", len(rows))
    gauge("OldestDueApplicationAgeSeconds", oldest_due_age(connection=connection, now=now))
    return len(rows)


def requeue_after_access(connection: Connection, *, now: datetime) -> int:
    """Queue what waited for an access that is in order again; how many."""
    accounts = set()

    def give_back(row: dict[str, Any]) -> int:
        moved = _transition(
            row["id"], "queued", "access_returned", connection, now, now, ["needs_person"]
        )
        if moved:
            accounts.add(row["account_id"])
        return moved

    try:
        rows = connection.execute(SELECT_ACCESS_RESTORED, {"most": BATCH}).fetchall()
        return periodic.for_each(rows, give_back)
    finally:
        for account_id in accounts:
            _wake(account_id)


def expire(connection: Connection, *, now: datetime) -> int:
    """Give up what has waited for its person for too long; how many."""
    source: list[application_states.State] = ["needs_person", "handoff"]
    rows = connection.execute(SELECT_EXPIRED, {"now": now, "most": BATCH}).fetchall()
    return periodic.for_each(
        rows,
        lambda row: _transition(
            row["id"], "expired", "waited_too_long", connection, now, None, source
        ),
    )


def retry_requested(connection: Connection, *, now: datetime) -> int:
    """Try again what the BFF wrote ``pending`` over, where nothing is out; how many."""

    def retry(application: ledger.Application) -> int:
        retried = _retry(application, connection, now)
        if retried:
            _wake(application.account_id)
        return retried

    return periodic.for_each(_overwritten(connection, wished=True), retry)


def repair_overwritten(connection: Connection, *, now: datetime) -> int:
    """Restore what else was written over; how many."""

    def restore(application: ledger.Application) -> int:
        ledger.restore_projection(application.id, connection=connection, now=now)
        return 1

    return periodic.for_each(_overwritten(connection, wished=False), restore)


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """For how many seconds the application that has waited longest has been due; 0 without one."""
    row = connection.execute(SELECT_OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None or row["due_at"] is None else (now - row["due_at"]).total_seconds()


def _wake(account_id: UUID) -> None:
    queues.notify(ledger.QUEUE, {"account_id": str(account_id)})


def _overwritten(connection: Connection, *, wished: bool) -> list[ledger.Application]:
    """What the BFF wrote over: a wish to try again that can be granted, or else."""
    found = []
    for row in connection.execute(SELECT_OVERWRITTEN, {"most": BATCH}).fetchall():
        is_pending = row.pop("status") == "pending"
        application = ledger.Application(**row)
        if wished == (is_pending and application.state in application_states.RETRYABLE):
            found.append(application)
    return found


def _retry(application: ledger.Application, connection: Connection, now: datetime) -> int:
    """1 if it is tried again, with all the time that a new one has."""
    values = {"id": application.id, "expires_at": now + ledger.APPLICATION_TTL}
    with connection.transaction():
        connection.execute(UPDATE_APPLICATION_RENEWED, values)
        ledger.detach_campaign(application.id, connection=connection)
        return _transition(
            application.id, "queued", "retried", connection, now, now, [application.state]
        )


def _transition(
    id: Any,
    state: application_states.State,
    reason: str,
    connection: Connection,
    now: datetime,
    due_at: datetime | None,
    source: list[application_states.State],
) -> int:
    """1 if it moved, 0 if somebody else was faster: by now its call may be out."""
    try:
        ledger.transition(
            id, state, source=source, reason=reason, due_at=due_at, connection=connection, now=now
        )
    except ledger.ConcurrentUpdate:
        return 0
    return 1
