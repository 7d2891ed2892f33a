"""Delivery: sends the due notifications of an account, each once as far as its channel allows.

A row is marked ``sending``, with its attempt, and committed before the call; afterwards it is
``sent``, waits for the next attempt, or has failed. If the worker dies in between, or the call ends
without an answer (:class:`OutcomeUnknown`), the message may have arrived. A webhook's receiver and
a mail program recognise a repetition by its id, so there it is repeated; where nothing tells them
apart (Telegram), it is not, and the row is ``uncertain``: see docs/notifications.md.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications import (
    channel_store,
    channels,
    composing,
    planner,
    schedule,
    settings_store,
    wake_up,
)
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.platform import encryption, leased_work
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.notifications.messages import Message
    from ullgetthejob.notifications.preferences import Preferences
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

LEASE_S = 90  # outlasts the budget, and the longest call that begins within it
RUN_BUDGET_S = 20
CLAIM = timedelta(minutes=3)  # after which a row that is still ``sending`` was left by its worker
# Pauses after failed attempts: three days in all.
PAUSES = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1_800, 7_200, 18_000, *[28_800] * 8))
MAX_ATTEMPTS = len(PAUSES) + 1
# Channels whose receivers recognise a repetition by the message's id.
IDEMPOTENT = frozenset({"webhook", "email"})
# Kinds that are not routed: they are about the channel itself.
OF_THE_CHANNEL = frozenset({"test", "confirmation"})

CLAIM_DUE_NOTIFICATION = """
    WITH due AS MATERIALIZED (
        SELECT id AS due_id, state AS before FROM notifications
        WHERE account_id = %(account_id)s AND state IN ('waiting', 'sending')
          AND due_at <= %(now)s
        ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE notifications
    SET state = 'sending', attempts = attempts + 1, attempted_at = %(now)s, due_at = %(until)s
    FROM due WHERE id = due_id
    RETURNING id, channel_id, channel_kind, kind, content, attempts, created_at, before
"""
# Only of the attempt that was claimed: should another worker have claimed it since, it is theirs.
UPDATE_NOTIFICATION_ENDED = """
    UPDATE notifications SET state = %(state)s, error = %(error)s, ended_at = %(now)s
    WHERE id = %(id)s AND state = 'sending' AND attempts = %(attempts)s
"""
UPDATE_NOTIFICATION_POSTPONED = """
    UPDATE notifications
    SET state = 'waiting', error = %(error)s, due_at = %(due_at)s, attempts = %(made)s
    WHERE id = %(id)s AND state = 'sending' AND attempts = %(attempts)s
"""
SELECT_NEXT_DUE_AT = """
    SELECT min(due_at) AS due_at FROM notifications
    WHERE account_id = %(account_id)s AND state IN ('waiting', 'sending')
"""
SELECT_IS_UNPLANNED = """
    SELECT last_event_seq > planned_seq AS is_unplanned FROM accounts WHERE id = %(account_id)s
"""


def run(account_id: UUID, context: Context) -> bool:
    """Plan and send what is due for an account, as :func:`leased_work.run` does; return whether
    work is left for another wake-up now. What is due soon gets a delayed one.

    Raises :class:`Unavailable`.
    """

    def work(deadline: float) -> None:
        planner.run(account_id, context)
        preferences = settings_store.read(account_id, connection=context.connection)
        while time.monotonic() < deadline and _step(account_id, preferences, context):
            pass

    is_due = partial(_is_due, account_id, context)
    has_more = is_due() and leased_work.run(
        f"notifier {account_id}",
        work,
        is_due,
        context.clock,
        lease_s=LEASE_S,
        budget_s=RUN_BUDGET_S,
    )
    if not has_more:
        next_at = _next_due_at(account_id, connection=context.connection)
        wake_up.notify_at(account_id, next_at, now=context.now())
    return has_more


def _is_due(account_id: UUID, context: Context) -> bool:
    connection = context.connection
    values = {"account_id": account_id}
    account = connection.execute(SELECT_IS_UNPLANNED, values).fetchone()
    if account is not None and account["is_unplanned"]:
        return True
    next_at = _next_due_at(account_id, connection=connection)
    return next_at is not None and next_at <= context.now()


def _next_due_at(account_id: UUID, *, connection: Connection) -> datetime | None:
    row = connection.execute(SELECT_NEXT_DUE_AT, {"account_id": account_id}).fetchone()
    found: datetime | None = row["due_at"] if row else None
    return found


def _step(account_id: UUID, preferences: Preferences, context: Context) -> bool:
    """Send the next due notification; return whether there was one."""
    now = context.now()
    values = {"account_id": account_id, "now": now, "until": now + CLAIM}
    row = context.connection.execute(CLAIM_DUE_NOTIFICATION, values).fetchone()
    if row is None:
        return False
    _Attempt(row, preferences, context).make()
    return True


class _Attempt:
    """An attempt to send a claimed row."""

    def __init__(self, row: dict[str, Any], preferences: Preferences, context: Context) -> None:
        self._row = row
        self._preferences = preferences
        self._context = context
        self._connection = context.connection

    def make(self) -> None:
        """Send the message and record what came of it."""
        if self._row["before"] == "sending" and self._row["channel_kind"] not in IDEMPOTENT:
            self._end("uncertain", "worker_died")
            return
        try:
            prepared = self._prepare()
        except encryption.Undecryptable:
            self._end("failed", "address_unreadable")
            return
        except Unavailable as error:
            self._postpone(error.code, is_sent=False)
            return
        except Exception as error:
            logger.error("a notification was not composed", **trace(error))
            self._postpone("not_composed", is_sent=True)
            return
        if prepared is not None:
            self._send(*prepared)

    def _prepare(self) -> tuple[Message, Recipient] | None:
        """Return what to send, ``None`` if the row is not to be sent, or later."""
        row, now = self._row, self._context.now()
        found = row["channel_id"] and channel_store.find(
            row["channel_id"], connection=self._connection
        )
        wanted_state = "unconfirmed" if row["kind"] == "confirmation" else "active"
        if not found or found["state"] != wanted_state:
            self._end("cancelled", "channel_not_active")
            return None
        if not self._is_routed(found["kind"]):
            self._end("cancelled", "turned_off")
            return None
        allowed_at = schedule.after_quiet(now, row["kind"], found["kind"], self._preferences)
        if allowed_at > now:
            self._postpone("quiet_hours", is_sent=False, due_at=allowed_at)
            return None
        recipient = channel_store.decrypt_recipient(found, connection=self._connection, now=now)
        message = composing.compose(row, recipient, self._context)
        if message is None:
            self._end("cancelled", "nothing_left_to_tell")
            return None
        return message, recipient

    def _is_routed(self, channel: str) -> bool:
        kind = self._row["kind"]
        return kind in OF_THE_CHANNEL or channel in self._preferences.route(kind).channels

    def _send(self, message: Message, recipient: Recipient) -> None:
        try:
            channels.send(message, recipient, context=self._context)
        except ChannelGone as error:
            self._lose_channel(recipient, error.reason)
        except ChannelUnavailable as error:
            count("NotificationsRefused")
            self._postpone(error.reason, is_sent=True, after_s=error.retry_after_s)
        except Exception as error:
            if not isinstance(error, OutcomeUnknown):
                logger.error("a notification was not sent", **trace(error))
            if recipient.kind in IDEMPOTENT:
                self._postpone("outcome_unknown", is_sent=True)
            else:
                self._end("uncertain", "outcome_unknown")
        else:
            self._end("sent", None)

    def _lose_channel(self, recipient: Recipient, reason: str) -> None:
        with self._connection.transaction():
            channel_store.disable_by_id(
                recipient.channel_id,
                recipient.account_id,
                reason=reason,
                connection=self._connection,
                now=self._context.now(),
            )
            self._end("failed", reason)
        count("NotificationChannelsLost")

    def _postpone(
        self,
        error: str,
        *,
        is_sent: bool,
        due_at: datetime | None = None,
        after_s: float | None = None,
    ) -> None:
        """Let the row wait for another attempt, or fail after the last. *is_sent*: whether this one
        counts."""
        attempts = self._row["attempts"]
        if is_sent and attempts >= MAX_ATTEMPTS:
            logger.error("a notification failed for good", error_type=error)
            count("NotificationsFailed")
            self._end("failed", error)
            return
        pause = PAUSES[min(attempts, len(PAUSES)) - 1]
        if after_s is not None:
            pause = max(pause, timedelta(seconds=after_s))
        values = {
            "id": self._row["id"],
            "attempts": attempts,
            "made": attempts if is_sent else attempts - 1,
            "error": error,
            "due_at": due_at or self._context.now() + pause,
        }
        self._connection.execute(UPDATE_NOTIFICATION_POSTPONED, values)

    def _end(self, state: str, error: str | None) -> None:
        values = {
            "id": self._row["id"],
            "attempts": self._row["attempts"],
            "state": state,
            "error": error,
            "now": self._context.now(),
        }
        ended = self._connection.execute(UPDATE_NOTIFICATION_ENDED, values).rowcount
        if ended and state == "sent":
            count("NotificationsSent")
        if ended and state == "uncertain":
            count("NotificationsUncertain")
