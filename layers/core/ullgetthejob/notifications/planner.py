"""Planning: an account's events become rows of ``notifications``, each event once.

In one transaction, under the lock of the account's row, the events after the cursor
(``accounts.planned_seq``) are read, their notifications written, and the cursor moved. A process
that dies leaves either all of it or nothing, and of two that plan at the same time the second finds
the cursor moved: nothing is lost, and nothing planned twice.

What happens while a notification of its kind still waits, as in a burst or before a digest, is
added to it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications import content, settings_store
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.notifications.content import Planned
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

EVENTS_PER_STEP = 200  # at most 6 MB

LOCK_ACCOUNT_PLANNED = """
    SELECT planned_seq, last_event_seq FROM accounts
    WHERE id = %(account_id)s AND last_event_seq > planned_seq FOR NO KEY UPDATE
"""
SELECT_EVENTS_TO_PLAN = """
    SELECT seq, type, data FROM events
    WHERE account_id = %(account_id)s AND seq > %(above)s ORDER BY seq LIMIT %(most)s
"""
SELECT_ACTIVE_CHANNELS = """
    SELECT id, kind, since_seq FROM notification_channels
    WHERE account_id = %(account_id)s AND state = 'active' ORDER BY created_at, id
"""
# One that was tried is not changed any more: its message may have arrived.
LOCK_WAITING_NOTIFICATION = """
    SELECT id, content, last_seq FROM notifications
    WHERE channel_id = %(channel_id)s AND kind = %(kind)s AND state = 'waiting' AND attempts = 0
    ORDER BY due_at LIMIT 1 FOR UPDATE
"""
UPDATE_NOTIFICATION_CONTENT = """
    UPDATE notifications SET content = %(content)s::jsonb, last_seq = %(last_seq)s
    WHERE id = %(id)s
"""
INSERT_NOTIFICATION = """
    INSERT INTO notifications (
        account_id, channel_id, channel_kind, kind, state, content, first_seq, last_seq, due_at,
        created_at
    )
    VALUES (
        %(account_id)s, %(channel_id)s, %(channel_kind)s, %(kind)s, 'waiting', %(content)s::jsonb,
        %(first_seq)s, %(last_seq)s, %(due_at)s, %(now)s
    )
    RETURNING id
"""
UPDATE_ACCOUNT_PLANNED_SEQ = """
    UPDATE accounts SET planned_seq = %(seq)s WHERE id = %(account_id)s
"""


def run(account_id: UUID, context: Context) -> int:
    """Plan the notifications of all events of an account, and return how many rows were written or
    added to."""
    planned = 0
    while True:
        step = _step(account_id, connection=context.connection, now=context.now())
        if step is None:
            if planned:
                count("NotificationsPlanned", planned)
            return planned
        planned += step


def _step(account_id: UUID, *, connection: Connection, now: datetime) -> int | None:
    """Plan the next events in a transaction; return how many rows there were, ``None`` if the
    cursor is at the end of the log."""
    values: dict[str, Any] = {"account_id": account_id, "most": EVENTS_PER_STEP}
    with connection.transaction():
        account = connection.execute(LOCK_ACCOUNT_PLANNED, values).fetchone()
        if account is None:
            return None
        values["above"] = account["planned_seq"]
        events = connection.execute(SELECT_EVENTS_TO_PLAN, values).fetchall()
        rows = _plan_events(account_id, events, connection=connection, now=now)
        # Events that are past their retention are missing at the end, too.
        is_end = len(events) < EVENTS_PER_STEP
        values["seq"] = account["last_event_seq"] if is_end else events[-1]["seq"]
        connection.execute(UPDATE_ACCOUNT_PLANNED_SEQ, values)
    return rows


def _plan_events(
    account_id: UUID, events: list[dict[str, Any]], *, connection: Connection, now: datetime
) -> int:
    if not events:
        return 0
    values = {"account_id": account_id}
    preferences = settings_store.read(account_id, connection=connection)
    rows = 0
    for channel in connection.execute(SELECT_ACTIVE_CHANNELS, values).fetchall():
        news = [event for event in events if event["seq"] > channel["since_seq"]]
        for planned in content.plan(news, channel["kind"], preferences, now=now):
            _write(account_id, channel, planned, connection=connection, now=now)
            rows += 1
    return rows


def _write(
    account_id: UUID,
    channel: dict[str, Any],
    planned: Planned,
    *,
    connection: Connection,
    now: datetime,
) -> None:
    """Add to the notification that waits, or insert a new one."""
    values = {"channel_id": channel["id"], "kind": planned.kind}
    waiting = connection.execute(LOCK_WAITING_NOTIFICATION, values).fetchone()
    if waiting is not None:
        merged = content.merge(waiting["content"], planned.content)
        changed = {"id": waiting["id"], "content": _json(merged), "last_seq": planned.last_seq}
        connection.execute(UPDATE_NOTIFICATION_CONTENT, changed)
        return
    insert(
        account_id,
        channel["id"],
        channel["kind"],
        planned.kind,
        connection=connection,
        now=now,
        due_at=planned.due_at,
        content_=planned.content,
        seqs=(planned.first_seq, planned.last_seq),
    )


def insert(
    account_id: UUID,
    channel_id: UUID,
    channel_kind: str,
    kind: str,
    *,
    connection: Connection,
    now: datetime,
    due_at: datetime | None = None,
    content_: content.Content | None = None,
    seqs: tuple[int, int] = (0, 0),
) -> UUID:
    """Write a notification in the caller's transaction, by default one that is due at once and has
    no content, and return its id."""
    values = {
        "account_id": account_id,
        "channel_id": channel_id,
        "channel_kind": channel_kind,
        "kind": kind,
        "content": _json(content_ or {}),
        "first_seq": seqs[0],
        "last_seq": seqs[1],
        "due_at": due_at or now,
        "now": now,
    }
    row = connection.execute(INSERT_NOTIFICATION, values).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    written: UUID = row["id"]
    return written


def _json(value: content.Content) -> str:
    return json.dumps(value, ensure_ascii=False)
