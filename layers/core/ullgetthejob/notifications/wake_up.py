"""Wake-ups of the notifier: sent by the broadcaster for accounts with channels, by the sweeper for
what is due, and by the API for what a person just asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.platform import queues, settings
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

QUEUE = settings.NOTIFIER_QUEUE_URL
SWEEP_INTERVAL = timedelta(minutes=1)  # what is due later is woken by the sweeper
RETENTION = timedelta(days=30)

SELECT_ACCOUNTS_DUE = """
    SELECT account_id FROM (
        SELECT account_id FROM notifications
        WHERE state IN ('waiting', 'sending') AND due_at <= %(now)s
        ORDER BY due_at LIMIT %(most)s
    ) AS due
    UNION
    (SELECT id FROM accounts WHERE last_event_seq > planned_seq LIMIT %(most)s)
"""
DELETE_ENDED_NOTIFICATIONS = """
    DELETE FROM notifications WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM notifications WHERE ended_at < %(before)s LIMIT %(most)s
    ))
"""


def notify(account_id: UUID) -> None:
    """Send the notifier a wake-up for an account."""
    event_log.notify_notifier(account_id)


def notify_at(account_id: UUID, moment: datetime | None, *, now: datetime) -> None:
    """Send a delayed wake-up for *moment*, if the sweeper would come later."""
    if moment is not None and moment - now <= SWEEP_INTERVAL:
        after_s = max(1, round((moment - now).total_seconds()) + 1)
        queues.notify(QUEUE, {"account_id": str(account_id)}, after_s=after_s)


def notify_due(*, connection: Connection, now: datetime, most: int) -> int:
    """Wake the notifier for at most *most* accounts with due notifications, and as many with events
    that are not planned; return how many there were."""
    values = {"now": now, "most": most}
    rows = connection.execute(SELECT_ACCOUNTS_DUE, values).fetchall()
    queues.notify_accounts(QUEUE, (row["account_id"] for row in rows))
    return len(rows)


def delete_ended(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete at most *most* notifications that ended a month ago; return how many."""
    values = {"before": now - RETENTION, "most": most}
    return connection.execute(DELETE_ENDED_NOTIFICATIONS, values).rowcount
