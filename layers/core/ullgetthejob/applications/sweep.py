"""The sweeper: every minute it notifies accounts whose applications, or whose negotiations'
reading, are due.

Wake-ups may be lost; rows are not. Besides: applications that waited for a person's login or
captcha go on once the access is in order, those that waited too long expire, and the projection is
restored where the BFF wrote over it: ``pending`` there asks for a retry, which is granted where
nothing was created at hh.ru.

Every statement reads what waits through an index: finished applications, which are nearly all of
the ledger, cost nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ullgetthejob.accounts import access
from ullgetthejob.applications import application_states, applying, ledger
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.applications.campaigns import cancellation, item_intake
from ullgetthejob.applications.conversations import store as conversations
from ullgetthejob.platform import periodic, queues
from ullgetthejob.platform.telemetry import count, gauge

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

BATCH = 500  # rows of each kind a minute; the next minute takes the rest
SCAN_BATCH = 50  # accounts whose applications are looked at, on each side of the start
ACCESS_CHANGED_WITHIN = timedelta(days=1)

# Each statement has an index of only the rows that may wait (migrations 0010, 0017), in its order.
WAITS_FOR_ACCESS = "state = 'needs_person' AND reason IN ('reauth_required', 'captcha')"
# Of the accounts whose access changed lately: others have nothing that could go on.
SELECT_ACCESS_RESTORED = f"""
    SELECT l.id, l.account_id FROM accounts a CROSS JOIN LATERAL (
        SELECT id, account_id FROM application_ledger
        WHERE account_id = a.id AND {WAITS_FOR_ACCESS} LIMIT %(most)s
    ) l
    WHERE a.{access.IN_ORDER} AND a.access_changed_at > %(changed_after)s
    LIMIT %(most)s
"""  # noqa: S608
# Should the sweeper have stood still for longer, nothing is lost: all accounts, or SCAN_BATCH on
# each side of a start that is random, are looked at too.
SELECT_ACCESS_RESTORED_EARLIER = f"""
    SELECT l.id, l.account_id FROM (
        (SELECT id FROM accounts WHERE {access.IN_ORDER} AND id >= %(from)s
         ORDER BY id LIMIT %(looked_at)s)
        UNION ALL
        (SELECT id FROM accounts WHERE {access.IN_ORDER} AND id < %(from)s
         ORDER BY id LIMIT %(looked_at)s)
    ) AS a CROSS JOIN LATERAL (
        SELECT id, account_id FROM application_ledger
        WHERE account_id = a.id AND {WAITS_FOR_ACCESS} LIMIT %(most)s
    ) l
    LIMIT %(most)s
"""  # noqa: S608
SELECT_EXPIRED = """
    SELECT id, state FROM application_ledger
    WHERE state IN ('needs_person', 'handoff', 'review') AND due_at IS NULL
        AND expires_at <= %(now)s
    ORDER BY expires_at LIMIT %(most)s
"""
SELECT_OVERWRITTEN = f"""
    SELECT {", ".join(f"l.{column.strip()}" for column in COLUMNS.split(","))}, p.status
    FROM (
        SELECT id, status, updated_at FROM applications
        WHERE projected_status IS NOT NULL AND status IS DISTINCT FROM projected_status
        ORDER BY updated_at, id LIMIT %(most)s
    ) AS p CROSS JOIN LATERAL (
        SELECT * FROM application_ledger WHERE application_id = p.id LIMIT 1
    ) AS l
    ORDER BY p.updated_at, p.id
"""  # noqa: S608
# The reason, by the state in which the application waited.
EXPIRED = {
    "needs_person": "waited_too_long",
    "handoff": "waited_too_long",
    "review": "review_expired",
}
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
        UNION ALL
        SELECT m.account_id, m.due_at FROM application_messages m
        JOIN accounts ON accounts.id = m.account_id WHERE {conversations.IS_REPLY_DUE}
        UNION ALL
        SELECT l.account_id, l.conversation_due_at FROM application_ledger l
        JOIN accounts ON accounts.id = l.account_id WHERE {conversations.IS_CONVERSATION_DUE}
    ) AS due
    GROUP BY account_id ORDER BY min(due_at) LIMIT %(most)s
"""  # noqa: S608
SELECT_OLDEST_DUE = f"""
    SELECT due_at FROM application_ledger
    WHERE due_at <= %(now)s AND {ledger.CAMPAIGN_RUNS}
    ORDER BY due_at LIMIT 1
"""  # noqa: S608


def notify_due_accounts(context: Context) -> int:
    """Notify the accounts that have something due, and record the age of the oldest application
    that is due; return how many accounts there were."""
    connection, now = context.connection, context.now()
    rows = connection.execute(SELECT_DUE_ACCOUNTS, {"now": now, "most": BATCH}).fetchall()
    queues.notify_accounts(ledger.QUEUE, (row["account_id"] for row in rows))
    count("ApplicationsNotifiedAgain", len(rows))
    gauge("OldestDueApplicationAgeSeconds", oldest_due_age(connection=connection, now=now))
    return len(rows)


def requeue_after_access(context: Context) -> int:
    """Queue the applications that waited for an access that is in order again; return how many."""
    connection, now = context.connection, context.now()
    accounts = set()
    values = {
        "changed_after": now - ACCESS_CHANGED_WITHIN,
        "from": uuid4(),
        "looked_at": SCAN_BATCH,
        "most": BATCH,
    }

    def requeue(row: dict[str, Any]) -> int:
        moved = _transition(
            row["id"], "queued", "access_returned", connection, now, now, ["needs_person"]
        )
        if moved:
            accounts.add(row["account_id"])
        return moved

    try:
        return sum(
            periodic.for_each(connection.execute(statement, values).fetchall(), requeue)
            for statement in (SELECT_ACCESS_RESTORED, SELECT_ACCESS_RESTORED_EARLIER)
        )
    finally:
        queues.notify_accounts(ledger.QUEUE, accounts)


def expire(context: Context) -> int:
    """Expire the applications that have waited for their person for too long; return how many."""
    connection, now = context.connection, context.now()
    rows = connection.execute(SELECT_EXPIRED, {"now": now, "most": BATCH}).fetchall()
    return periodic.for_each(
        rows,
        lambda row: _transition(
            row["id"], "expired", EXPIRED[row["state"]], connection, now, None, [row["state"]]
        ),
    )


def retry_requested(context: Context) -> int:
    """Retry the applications that the BFF has set to ``pending``, where nothing was sent; return
    how many."""
    connection, now = context.connection, context.now()

    def retry(application: Application) -> int:
        retried = _retry(application, connection, now)
        if retried:
            _notify(application.account_id)
        return retried

    return periodic.for_each(_list_overwritten(connection, retryable=True), retry)


def repair_overwritten(context: Context) -> int:
    """Restore the other projections that the BFF wrote over; return how many."""
    connection, now = context.connection, context.now()

    def restore(application: Application) -> int:
        ledger.restore_projection(application.id, connection=connection, now=now)
        return 1

    return periodic.for_each(_list_overwritten(connection, retryable=False), restore)


def oldest_due_age(*, connection: Connection, now: datetime) -> float:
    """Return for how many seconds the oldest application has been due; 0 without one."""
    row = connection.execute(SELECT_OLDEST_DUE, {"now": now}).fetchone()
    return 0 if row is None else (now - row["due_at"]).total_seconds()


# The steps of the sweeper, by the names of their counts: first what notifies the accounts that have
# something due, later the others, which notify the accounts of what they queue.
NOTIFY_STEPS: dict[str, periodic.Step] = {
    "notified": notify_due_accounts,
    "waited_in_vain": applying.notify_waiting,
}
TIDY_STEPS: dict[str, periodic.Step] = {
    "returned": requeue_after_access,
    "retried": retry_requested,
    "repaired": repair_overwritten,
    "expired": expire,
    "cancelled": cancellation.sweep,
    "created": item_intake.sweep,
}


def _notify(account_id: UUID) -> None:
    queues.notify(ledger.QUEUE, {"account_id": str(account_id)})


def _list_overwritten(connection: Connection, *, retryable: bool) -> list[Application]:
    """Return the applications whose status the BFF has overwritten: those to retry (*retryable*),
    or all others."""
    found = []
    for row in connection.execute(SELECT_OVERWRITTEN, {"most": BATCH}).fetchall():
        is_pending = row.pop("status") == "pending"
        application = Application(**row)
        if retryable == (is_pending and application.state in application_states.RETRYABLE):
            found.append(application)
    return found


def _retry(application: Application, connection: Connection, now: datetime) -> int:
    """Queue the application with the time to live of a new one; return 1, or 0 if it was changed
    concurrently."""
    values = {"id": application.id, "expires_at": now + ledger.APPLICATION_TTL}
    with connection.transaction():
        connection.execute(UPDATE_APPLICATION_RENEWED, values)
        ledger.detach_campaign(application.id, connection=connection)
        return _transition(
            application.id, "queued", "retried", connection, now, now, [application.state]
        )


def _transition(
    ledger_id: UUID,
    state: application_states.State,
    reason: str,
    connection: Connection,
    now: datetime,
    due_at: datetime | None,
    source: list[application_states.State],
) -> int:
    """Return 1, or 0 if the application was changed concurrently: its call may have been sent."""
    try:
        ledger.transition(
            ledger_id,
            state,
            source=source,
            reason=reason,
            due_at=due_at,
            connection=connection,
            now=now,
        )
    except ledger.ConcurrentUpdate:
        return 0
    return 1
