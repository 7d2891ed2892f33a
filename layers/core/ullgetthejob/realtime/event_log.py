"""The event log of an account: what its sockets are told, in order and without a gap.

``seq`` rises by one an account. It is given out under the lock of the account's row, in the
transaction that made the fact: a later fact has a later number, and no number goes missing. After
the commit the bell rings for the broadcaster.

An event is one frame of a WebSocket, so what is long is written as several; it is kept for seven
days.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.platform import postgres, queues

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

QUEUE = "BROADCASTER_QUEUE_URL"
EVENT_RETENTION = timedelta(days=7)
# API Gateway: a frame has at most 32 KB; what surrounds the data needs less than the rest.
MAX_DATA_BYTES = 31 * 1024

NOTIFY_INTERVAL_S = 1
MAX_REMEMBERED = 1000
NEVER = float("-inf"), float("-inf")
# By account: when this process rang last, and when the bell arrives that it sent for later.
_last_notified: dict[UUID, tuple[float, float]] = {}

Type = Literal[
    "account.updated", "application.updated", "fetch.completed", "jobs.new", "rate_limit.updated"
]

INSERT_EVENT = """
    WITH next AS (
        UPDATE accounts SET last_event_seq = last_event_seq + 1
        WHERE id = %(account_id)s RETURNING last_event_seq AS seq
    )
    INSERT INTO events (account_id, seq, at, type, data)
    SELECT %(account_id)s, seq, %(at)s, %(type)s, %(data)s::jsonb FROM next
    RETURNING seq
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
    account_id: UUID, type: Type, data: dict[str, Any], *, connection: Connection, now: datetime
) -> int:
    """Write one event, in the transaction that *connection* is in; its seq. *data* holds no secret
    and nothing of another account.

    Raises :class:`TooLong` above :data:`MOST_DATA_BYTES`.
    """
    text = json.dumps(data, ensure_ascii=False)
    if len(text.encode()) > MAX_DATA_BYTES:
        raise EventTooLong
    row = connection.execute(
        INSERT_EVENT, {"account_id": account_id, "at": now, "type": type, "data": text}
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    notify_after_commit(account_id, connection=connection)
    return int(row["seq"])


def notify_after_commit(account_id: UUID, *, connection: Connection) -> None:
    """Ring for an account when the transaction that *connection* is in has become true."""
    postgres.after_commit(connection, (QUEUE, account_id), partial(_notify_debounced, account_id))


def _notify_debounced(account_id: UUID) -> None:
    """Ring, but not for each event of many: soon after a bell the next one is sent for a second
    later, and serves all that is committed before it arrives."""
    now = time.monotonic()
    rung_at, arrives_at = _last_notified.get(account_id, NEVER)
    if now < arrives_at:
        return
    if len(_last_notified) >= MAX_REMEMBERED:
        _last_notified.clear()
    if now - rung_at < NOTIFY_INTERVAL_S:
        queues.notify(QUEUE, {"account_id": str(account_id)}, after_s=NOTIFY_INTERVAL_S)
        _last_notified[account_id] = rung_at, now + NOTIFY_INTERVAL_S
    else:
        notify(account_id)
        _last_notified[account_id] = now, float("-inf")


def notify(account_id: UUID) -> None:
    """Ring the broadcaster's bell for an account."""
    queues.notify(QUEUE, {"account_id": str(account_id)})


def notify_unserved(*, connection: Connection, most: int) -> int:
    """Wake the broadcaster for accounts whose sockets lack events, *most* at once; how many."""
    unserved = connection.execute(SELECT_UNSERVED_ACCOUNTS, {"most": most}).fetchall()
    for row in unserved:
        notify(row["id"])
    return len(unserved)


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Forget events that are too old, *most* at once; how many."""
    return connection.execute(
        DELETE_OLD_EVENTS, {"before": now - EVENT_RETENTION, "most": most}
    ).rowcount
