"""Storage of messages: what hh.ru showed, each once, and the person's replies.

Only :func:`insert_reply` inserts a reply, and only the route of replies calls it: Core writes
nothing to employers by itself, which a test holds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access
from ullgetthejob.applications.conversations import rules
from ullgetthejob.platform import postgres, tracing
from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.hh.models import ConversationMessage

    Connection = psycopg.Connection[dict[str, Any]]

# What is due for an account, over its row ``accounts``: a conversation to read, and a reply ``m``
# to send or to look for. Replies of a conversation are sent in order; one that has waited too long
# fails whatever the access.
IS_CONVERSATION_DUE = f"""
    l.account_id = accounts.id AND l.conversation_due_at <= %(now)s AND {access.READABLE}
"""
IS_REPLY_DUE = f"""
    m.account_id = accounts.id AND m.due_at <= %(now)s
    AND ({access.READABLE}
         OR m.created_at <= %(now)s - interval '{int(rules.REPLY_TTL.total_seconds())} seconds')
    AND NOT EXISTS (
        SELECT FROM application_messages earlier
        WHERE earlier.ledger_id = m.ledger_id AND earlier.due_at IS NOT NULL
          AND earlier.number < m.number
    )
"""
_REPLY = """
    m.id, m.ledger_id, m.account_id, m.negotiation_id, m.text, m.state, m.reason, m.created_at,
    m.called_at, m.calls, m.trace_id, l.user_id, l.vacancy_id
"""
SELECT_NEXT_REPLY = f"""
    SELECT {_REPLY} FROM accounts CROSS JOIN application_messages m
    JOIN application_ledger l ON l.id = m.ledger_id
    WHERE accounts.id = %(account_id)s AND {IS_REPLY_DUE}
    ORDER BY m.due_at, m.number LIMIT 1
"""  # noqa: S608
SELECT_NEXT_CONVERSATION = f"""
    SELECT l.id, l.account_id, l.user_id, l.vacancy_id, l.negotiation_id, l.trace_id
    FROM accounts CROSS JOIN application_ledger l
    WHERE accounts.id = %(account_id)s AND {IS_CONVERSATION_DUE}
    ORDER BY l.conversation_due_at, l.id LIMIT 1
"""  # noqa: S608
UPDATE_CONVERSATION_DUE_AT = """
    UPDATE application_ledger SET conversation_due_at = %(due_at)s WHERE id = %(id)s
"""
# A request to read it that came during the reading stays, and one to read the conversation of a
# later application to the same vacancy.
UPDATE_CONVERSATION_READ = """
    UPDATE application_ledger
    SET conversation_read_at = %(now)s,
        conversation_due_at = CASE WHEN conversation_due_at > %(began_at)s
            OR negotiation_id IS DISTINCT FROM %(negotiation_id)s THEN conversation_due_at END,
        first_seen_at = least(first_seen_at, %(seen_at)s),
        first_answered_at = least(first_answered_at, %(answered_at)s),
        first_invited_at = least(first_invited_at, %(invited_at)s),
        first_offered_at = least(first_offered_at, %(offered_at)s)
    WHERE id = %(id)s
"""
LOCK_CONVERSATION = "SELECT id FROM application_ledger WHERE id = %(id)s FOR NO KEY UPDATE"
SELECT_STORED = """
    SELECT hh_message_id FROM application_messages
    WHERE ledger_id = %(id)s AND negotiation_id = %(negotiation_id)s
      AND hh_message_id = ANY(%(ids)s)
"""
SELECT_UNCONFIRMED_REPLIES = f"""
    SELECT {_REPLY} FROM application_messages m JOIN application_ledger l ON l.id = m.ledger_id
    WHERE m.ledger_id = %(id)s AND m.negotiation_id = %(negotiation_id)s
      AND m.hh_message_id IS NULL AND m.called_at IS NOT NULL
"""  # noqa: S608
INSERT_MESSAGES = """
    INSERT INTO application_messages (ledger_id, account_id, negotiation_id, hh_message_id, author,
                                      state, hh_state, text, created_at, updated_at)
    SELECT %(id)s, %(account_id)s, %(negotiation_id)s, shown.id, shown.author,
           CASE shown.author WHEN 'employer' THEN 'received' ELSE 'sent' END, shown.state,
           shown.text, shown.created_at, %(now)s
    FROM jsonb_to_recordset(%(messages)s::jsonb) AS shown (
        position integer, id text, author text, state text, text text, created_at timestamptz
    ) ORDER BY shown.position
    ON CONFLICT DO NOTHING
    RETURNING id, hh_message_id, author, hh_state, created_at
"""
INSERT_REPLY = """
    INSERT INTO application_messages (ledger_id, account_id, negotiation_id, author, state, reason,
                                      text, created_at, updated_at, request_key, due_at, trace_id)
    VALUES (%(ledger_id)s, %(account_id)s, %(negotiation_id)s, 'applicant', %(state)s, %(reason)s,
            %(text)s, %(now)s, %(now)s, %(key)s, %(due_at)s, %(trace_id)s)
    ON CONFLICT (account_id, request_key) DO NOTHING
    RETURNING id
"""
# The call is made once: by whoever finds the row as it was read.
UPDATE_REPLY_CALLED = """
    UPDATE application_messages
    SET called_at = %(now)s, calls = calls + 1, due_at = %(due_at)s, updated_at = %(now)s
    WHERE id = %(id)s AND state = 'sending' AND called_at IS NULL
"""
UPDATE_REPLY = """
    UPDATE application_messages
    SET state = %(state)s, reason = %(reason)s, due_at = %(due_at)s, updated_at = %(now)s,
        called_at = CASE WHEN %(is_called)s THEN called_at END,
        calls = calls - %(not_made)s,
        hh_message_id = coalesce(%(hh_message_id)s, hh_message_id),
        hh_state = coalesce(%(hh_state)s, hh_state),
        created_at = coalesce(%(created_at)s, created_at)
    WHERE id = %(id)s AND state = %(before)s
"""
SELECT_REPLY = f"""
    SELECT {_REPLY} FROM application_messages m JOIN application_ledger l ON l.id = m.ledger_id
    WHERE m.id = %(id)s
"""  # noqa: S608
# Written by the person on hh.ru since the call, or a reply that hh.ru has changed.
SELECT_WRITTEN_SINCE = """
    SELECT FROM application_messages
    WHERE ledger_id = %(ledger_id)s AND author = 'applicant' AND request_key IS NULL
      AND hh_state <> 'response' AND created_at >= %(since)s LIMIT 1
"""


@dataclass(frozen=True)
class Reply:
    """A reply of a person to an employer: a row of ``application_messages``. *called_at*: when the
    call began whose outcome is not known. *user_id* and *vacancy_id*: of its application."""

    id: UUID
    ledger_id: UUID
    account_id: UUID
    negotiation_id: str
    text: str
    state: rules.State
    reason: str | None
    created_at: datetime
    called_at: datetime | None
    calls: int
    trace_id: UUID | None
    user_id: UUID
    vacancy_id: str


@dataclass(frozen=True)
class Conversation:
    """The negotiation of an application, whose messages are read. *id*: of the row of the
    ledger."""

    id: UUID
    account_id: UUID
    user_id: UUID
    vacancy_id: str
    negotiation_id: str
    trace_id: UUID | None

    @classmethod
    def of(cls, reply: Reply) -> Conversation:
        """Return the conversation of a reply."""
        return cls(
            reply.ledger_id,
            reply.account_id,
            reply.user_id,
            reply.vacancy_id,
            reply.negotiation_id,
            reply.trace_id,
        )


def next_reply(account_id: UUID, *, connection: Connection, now: datetime) -> Reply | None:
    """Return the reply of the account that has been due longest, ``None`` without one."""
    values = {"account_id": account_id, "now": now}
    row = connection.execute(SELECT_NEXT_REPLY, values).fetchone()
    return Reply(**row) if row else None


def next_conversation(
    account_id: UUID, *, connection: Connection, now: datetime
) -> Conversation | None:
    """Return the conversation of the account that is to be read first, ``None`` without one."""
    values = {"account_id": account_id, "now": now}
    row = connection.execute(SELECT_NEXT_CONVERSATION, values).fetchone()
    return Conversation(**row) if row else None


def schedule_reading(ledger_id: UUID, at: datetime | None, *, connection: Connection) -> None:
    """Schedule the next reading of a conversation; ``None``: until there is news of it."""
    connection.execute(UPDATE_CONVERSATION_DUE_AT, {"id": ledger_id, "due_at": at})


def store(
    conversation: Conversation,
    messages: Sequence[ConversationMessage],
    *,
    began_at: datetime,
    connection: Connection,
    now: datetime,
) -> int:
    """Store the messages of a conversation that are new, with their events, and confirm the
    person's replies among them; return how many were new. One transaction. *began_at*: when the
    reading began."""
    values: dict[str, Any] = {
        "id": conversation.id,
        "account_id": conversation.account_id,
        "negotiation_id": conversation.negotiation_id,
        "ids": [message.id for message in messages],
        "began_at": began_at,
        "now": now,
    }
    with connection.transaction():
        connection.execute(LOCK_CONVERSATION, values)
        rows = connection.execute(SELECT_STORED, values).fetchall()
        stored = {row["hh_message_id"] for row in rows}
        new = {message.id: message for message in messages if message.id not in stored}
        found = connection.execute(SELECT_UNCONFIRMED_REPLIES, values).fetchall()
        replies = {row["id"]: Reply(**row) for row in found}
        matched = rules.match_replies(new.values(), replies.values())
        for message_id, reply_id in matched.items():
            confirm(replies[reply_id], new.pop(message_id), connection=connection, now=now)
        values["messages"] = _to_json(list(new.values()))
        inserted = connection.execute(INSERT_MESSAGES, values).fetchall() if new else []
        _announce(conversation, inserted, connection=connection, now=now)
        values |= asdict(rules.find_stages(messages))
        connection.execute(UPDATE_CONVERSATION_READ, values)
    return len(inserted)


def _to_json(messages: list[ConversationMessage]) -> str:
    rows = [
        {
            **message.model_dump(mode="json"),
            "text": rules.shorten(message.text),
            "position": position,
        }
        for position, message in enumerate(messages)
    ]
    return json.dumps(rows, ensure_ascii=False)


def _announce(
    conversation: Conversation,
    inserted: list[dict[str, Any]],
    *,
    connection: Connection,
    now: datetime,
) -> None:
    """Append an event for each new message of the employer; it has no text."""
    received = [row for row in inserted if row["author"] == "employer"]
    count("MessagesReceived", len(received))
    for row in sorted(received, key=lambda row: row["created_at"]):
        if row["created_at"] <= now - rules.NEWS_WITHIN:
            continue
        data = {
            "application_id": str(conversation.id),
            "job_id": conversation.vacancy_id,
            "message_id": str(row["id"]),
            "hh_state": row["hh_state"],
            "written_at": row["created_at"].isoformat(),
        }
        event_log.append(
            conversation.account_id, "message.received", data, connection=connection, now=now
        )


# ── replies ──────────────────────────────────────────────────────────────────────────────────────


def insert_reply(values: dict[str, Any], *, connection: Connection) -> UUID | None:
    """Insert a reply and return its id; ``None`` if its key was used before. *values*:
    ``ledger_id``, ``account_id``, ``negotiation_id``, ``state``, ``reason``, ``text``, ``key``,
    ``due_at`` and ``now``."""
    row = connection.execute(INSERT_REPLY, {**values, "trace_id": tracing.trace_id()}).fetchone()
    return row["id"] if row else None


def begin_call(reply: Reply, *, connection: Connection, now: datetime) -> bool:
    """Record that the call of a reply is made now; return whether it may be: another worker may
    have been faster."""
    values = {"id": reply.id, "now": now, "due_at": now + rules.CALL_TIMEOUT}
    return connection.execute(UPDATE_REPLY_CALLED, values).rowcount > 0


def confirm(
    reply: Reply, message: ConversationMessage, *, connection: Connection, now: datetime
) -> None:
    """Record that hh.ru has the reply, which is *message* there."""
    change(reply, rules.Decision("sent", None), message=message, connection=connection, now=now)


def change(
    reply: Reply,
    decision: rules.Decision,
    *,
    connection: Connection,
    now: datetime,
    message: ConversationMessage | None = None,
    was_made: bool = True,
) -> None:
    """Record what became of a reply, with its event. *message*: as hh.ru has it. *was_made*: false
    for a call that hh.ru has not acted on: it does not count."""
    values = {
        "id": reply.id,
        "before": reply.state,
        "state": decision.state,
        "reason": decision.reason,
        "due_at": None if decision.wait is None else now + decision.wait,
        "is_called": decision.is_called,
        "not_made": 0 if was_made else 1,
        "hh_message_id": message.id if message else None,
        "hh_state": message.state if message else None,
        "created_at": message.created_at if message else None,
        "now": now,
    }
    with postgres.atomic(connection):
        if connection.execute(UPDATE_REPLY, values).rowcount == 0:
            return
        if (decision.state, decision.reason) == (reply.state, reply.reason):
            return
        announce(reply, decision, connection=connection, now=now)


def announce(
    reply: Reply, decision: rules.Decision, *, connection: Connection, now: datetime
) -> None:
    """Append the event of what became of a reply, and log it; neither has its text."""
    data = {
        "application_id": str(reply.ledger_id),
        "job_id": reply.vacancy_id,
        "message_id": str(reply.id),
        "state": decision.state,
        "reason": decision.reason,
    }
    event_log.append(reply.account_id, "message.updated", data, connection=connection, now=now)
    postgres.log_transition(
        connection,
        "reply",
        reply.state,
        decision.state,
        reason=decision.reason,
        message_id=reply.id,
        application_id=reply.ledger_id,
        account_id=reply.account_id,
    )


def read_reply(reply_id: UUID, *, connection: Connection) -> Reply | None:
    """Return a reply as it is now, ``None`` if its person was deleted."""
    row = connection.execute(SELECT_REPLY, {"id": reply_id}).fetchone()
    return Reply(**row) if row else None


def has_written_since(reply: Reply, *, connection: Connection) -> bool:
    """Return whether hh.ru shows messages of the person, since the call of *reply*, that are no
    replies of Core's."""
    if reply.called_at is None:
        return False
    values = {"ledger_id": reply.ledger_id, "since": reply.called_at - rules.SLACK}
    return connection.execute(SELECT_WRITTEN_SINCE, values).fetchone() is not None
