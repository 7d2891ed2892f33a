"""The event log of an account: what its connections receive, in order and without a gap.

``seq`` rises by one per event of an account. It is assigned under the lock of the account's row, in
the transaction that makes the change: a later change has a later number, and no number is skipped.
After the commit the broadcaster gets a wake-up.

An event is one WebSocket frame, so long data is written as several events. An event is kept for
seven days, or as ``EVENT_RETENTION_DAYS`` says.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.platform import postgres, queues, settings, tracing

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

QUEUE = settings.BROADCASTER_QUEUE_URL
# API Gateway: a frame has at most 32 KB; the fields around the data need less than the rest.
MAX_DATA_BYTES = 31 * 1024

NOTIFY_INTERVAL_S = 1
MAX_REMEMBERED = 1000
NEVER = float("-inf"), float("-inf")
# By account: when this process last notified, and when the deferred wake-up it sent will arrive.
_last_notified: dict[UUID, tuple[float, float]] = {}

EventType = Literal[
    "account.updated",
    "application.updated",
    "channel.updated",
    "fetch.completed",
    "jobs.new",
    "message.received",
    "message.updated",
    "rate_limit.updated",
    "resume.updated",
]

INSERT_EVENT = """
    WITH next AS (
        UPDATE accounts SET last_event_seq = last_event_seq + 1
        WHERE id = %(account_id)s RETURNING last_event_seq AS seq
    )
    INSERT INTO events (account_id, seq, at, type, data, trace_id)
    SELECT %(account_id)s, seq, %(at)s, %(type)s, %(data)s::jsonb, %(trace_id)s FROM next
    RETURNING seq
"""
# The same as parts of a statement that makes the change as well: its CTE ``written`` has the column
# ``event``, the data of an event for ``account_id``. Afterwards :func:`notify_after_commit`.
EVENT_APPENDED = """
    numbered AS (
        UPDATE accounts SET last_event_seq = last_event_seq + 1 FROM written
        WHERE accounts.id = written.account_id
        RETURNING accounts.id, last_event_seq AS seq, written.event
    ), appended AS (
        INSERT INTO events (account_id, seq, at, type, data, trace_id)
        SELECT id, seq, %(now)s, %(event_type)s, event, %(event_trace_id)s::uuid FROM numbered
    )
"""
SELECT_UNSERVED_ACCOUNTS = """
    SELECT id FROM accounts WHERE last_event_seq > broadcast_seq ORDER BY id LIMIT %(most)s
"""
DELETE_OLD_EVENTS = """
    DELETE FROM events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM events WHERE at < %(before)s LIMIT %(most)s
    ))
"""


class EventTooLong(ValueError):
    """The data of an event does not fit into a frame."""


def append(
    account_id: UUID,
    event_type: EventType,
    data: dict[str, Any],
    *,
    connection: Connection,
    now: datetime,
) -> int:
    """Write one event in the open transaction of *connection* and return its seq.

    *data* holds no secret and nothing of another account. Raises :class:`EventTooLong` above
    :data:`MAX_DATA_BYTES`.
    """
    text = json.dumps(data, ensure_ascii=False)
    if len(text.encode()) > MAX_DATA_BYTES:
        raise EventTooLong
    values = {
        "account_id": account_id,
        "at": now,
        "type": event_type,
        "data": text,
        "trace_id": tracing.trace_id(),
    }
    row = connection.execute(INSERT_EVENT, values).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    notify_after_commit(account_id, connection=connection)
    return int(row["seq"])


def notify_after_commit(account_id: UUID, *, connection: Connection) -> None:
    """Notify the broadcaster of an account when the transaction of *connection* has committed."""
    postgres.after_commit(connection, (QUEUE, account_id), partial(_notify_debounced, account_id))


def _notify_debounced(account_id: UUID) -> None:
    """Notify, but not for each of many events: a wake-up that follows another one closely is
    delayed by a second and serves all events that are committed before it arrives."""
    now = time.monotonic()
    notified_at, arrives_at = _last_notified.get(account_id, NEVER)
    if now < arrives_at:
        return
    if len(_last_notified) >= MAX_REMEMBERED:
        _last_notified.clear()
    if now - notified_at < NOTIFY_INTERVAL_S:
        queues.notify(QUEUE, {"account_id": str(account_id)}, after_s=NOTIFY_INTERVAL_S)
        _last_notified[account_id] = notified_at, now + NOTIFY_INTERVAL_S
    else:
        notify(account_id)
        _last_notified[account_id] = now, float("-inf")


def notify(account_id: UUID) -> None:
    """Send the broadcaster a wake-up for an account."""
    queues.notify(QUEUE, {"account_id": str(account_id)})


def notify_notifier(account_id: UUID) -> None:
    """Send the notifier a wake-up for an account, which plans what its person is told."""
    queues.notify(settings.NOTIFIER_QUEUE_URL, {"account_id": str(account_id)})


def notify_unserved(*, connection: Connection, most: int) -> int:
    """Notify the broadcaster of at most *most* accounts whose connections lack events; return how
    many."""
    unserved = connection.execute(SELECT_UNSERVED_ACCOUNTS, {"most": most}).fetchall()
    queues.notify_accounts(QUEUE, (row["id"] for row in unserved))
    return len(unserved)


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete at most *most* events that are past retention; return how many."""
    before = now - timedelta(days=settings.EVENT_RETENTION_DAYS())
    return connection.execute(DELETE_OLD_EVENTS, {"before": before, "most": most}).rowcount
