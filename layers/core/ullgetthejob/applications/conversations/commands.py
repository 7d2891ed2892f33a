"""The commands of ``/api/applications/{id}/messages``: read the conversation, and reply.

A reply is stored before it is sent, and notifies the submitter: what was accepted is sent, or its
person learns why not. Nothing but :func:`reply` writes to employers.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from ullgetthejob.accounts import access, audit, resumes
from ullgetthejob.applications import ledger, lookup
from ullgetthejob.applications.application import NEGOTIATIONS_URL
from ullgetthejob.applications.conversations import models, store
from ullgetthejob.applications.conversations.replies import CLOSED
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError
from ullgetthejob.letters.checking import check
from ullgetthejob.platform import paging, queues
from ullgetthejob.platform.errors import AppError, Conflict, Invalid
from ullgetthejob.vacancies import reading

if TYPE_CHECKING:
    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.letters.checking import Finding, RuleId
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

READING_PAUSE = timedelta(minutes=2)  # between readings because a person looks
MAX_WAITING = 5  # hh.ru takes as many messages in a row
# What would embarrass in a message. Numbers, length and language are those of a letter.
WARNINGS: frozenset[RuleId] = frozenset({"placeholder", "employer", "name", "link", "contact"})

KEYSET = paging.Keyset(tuple[AwareDatetime, int], "created_at", "number")
SELECT_MESSAGES = """
    SELECT id AS message_id, number, author, text, state, reason, hh_state, created_at
    FROM application_messages
    WHERE ledger_id = %(id)s AND (%(after_number)s::bigint IS NULL
        OR (created_at, number) < (%(after_created_at)s, %(after_number)s))
    ORDER BY created_at DESC, number DESC LIMIT %(limit)s OFFSET %(offset)s
"""
SELECT_CONVERSATION_READ_AT = """
    SELECT conversation_read_at FROM application_ledger WHERE id = %(id)s
"""
UPDATE_CONVERSATION_REQUESTED = """
    UPDATE application_ledger SET conversation_due_at = %(now)s
    WHERE id = %(id)s AND negotiation_id IS NOT NULL AND conversation_due_at IS NULL
      AND (conversation_read_at IS NULL OR conversation_read_at <= %(before)s)
"""
# Replies to one application are accepted one after another.
LOCK_APPLICATION_ANSWERED = """
    SELECT state, negotiation_id FROM application_ledger WHERE id = %(id)s FOR NO KEY UPDATE
"""
SELECT_MESSAGE = """
    SELECT id AS message_id, ledger_id, author, text, state, reason, hh_state, created_at
    FROM application_messages WHERE account_id = %(account_id)s AND request_key = %(key)s
"""
COUNT_WAITING_REPLIES = """
    SELECT count(*) AS waiting FROM application_messages
    WHERE ledger_id = %(id)s AND due_at IS NOT NULL
"""
# What makes the same text another reply: the employer has written since, or it was not sent.
SELECT_TURN = """
    SELECT max(number) FILTER (WHERE author = 'employer') AS answered,
           count(*) FILTER (WHERE request_key IS NOT NULL AND text = %(text)s
                            AND state IN ('failed', 'handoff')) AS not_sent
    FROM application_messages WHERE ledger_id = %(id)s
"""


def list_messages(
    application_id: str, query: models.MessageQuery, person: Person, context: Context
) -> models.Messages:
    """Return a page of an application's messages, the newest first, and have the conversation read
    at hh.ru unless it was just read. Raises :class:`NotFound` also for another account's."""
    application = lookup.find(application_id, person, context.connection)
    values = {"id": application.id, **KEYSET.values(query)}
    found = context.connection.execute(SELECT_MESSAGES, values).fetchall()
    rows, next_cursor = KEYSET.split(found, query)
    row = context.connection.execute(SELECT_CONVERSATION_READ_AT, values).fetchone()
    _request_reading(application, person, context)
    return models.Messages(
        items=[_to_answer(message) for message in rows],
        read_at=row["conversation_read_at"] if row else None,
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def reply(
    application_id: str, body: models.ReplyBody, person: Person, context: Context
) -> models.Replied:
    """Accept a reply to the employer of an application, once for each key, and notify the
    submitter. Where hh.ru does not let Core write, it is left to the person.

    Raises :class:`Invalid`, :class:`NotFound`, :class:`NeedsPerson`; :class:`Conflict` for an
    application without a conversation, with too many replies that wait, and for a key that came
    with another reply.
    """
    context = context.with_fixed_time()
    text = body.text.strip()
    if not text:
        raise Invalid.field("text", "must not be empty")
    application = lookup.find(application_id, person, context.connection)
    access.require(person.access, now=context.now())
    row = _accept(application, text, body.idempotency_key, person, context)
    if row["state"] == "sending":
        queues.notify(ledger.QUEUE, {"account_id": str(application.account_id)})
    findings = _check(text, application, person, context)
    return models.Replied(
        message=_to_answer(row), findings=findings or [], is_checked=findings is not None
    )


def _accept(
    application: Application, text: str, key: str | None, person: Person, context: Context
) -> dict[str, Any]:
    """Store a reply, or find the one that came with its key, and return its row."""
    connection, now = context.connection, context.now()
    values: dict[str, Any] = {"id": application.id, "account_id": application.account_id}
    with connection.transaction():
        locked = connection.execute(LOCK_APPLICATION_ANSWERED, values).fetchone()
        key = key or context.caller.idempotency_key
        values["key"] = key or _key_of(application, text, connection)
        earlier = connection.execute(SELECT_MESSAGE, values).fetchone()
        if earlier is not None:
            if (earlier["ledger_id"], earlier["text"]) != (application.id, text):
                raise Conflict("this idempotency key came with another reply")
            return earlier
        negotiation_id = _require_conversation(application, locked)
        waiting = connection.execute(COUNT_WAITING_REPLIES, values).fetchone()
        if waiting is not None and waiting["waiting"] >= MAX_WAITING:
            raise Conflict("earlier replies have not been sent yet", code="replies_waiting")
        is_closed = _is_closed(person, context)
        values |= {
            "ledger_id": application.id,
            "negotiation_id": negotiation_id,
            "state": "handoff" if is_closed else "sending",
            "reason": CLOSED if is_closed else None,
            "text": text,
            "due_at": None if is_closed else now,
            "now": now,
        }
        store.insert_reply(values, connection=connection)
        audit.write(
            "message.reply",
            "ok",
            context,
            user_id=person.user_id,
            account_id=application.account_id,
        )
        row = connection.execute(SELECT_MESSAGE, values).fetchone()
        assert row is not None  # noqa: S101 - inserted here, or at the same time with its key
        return row


def _require_conversation(application: Application, locked: dict[str, Any] | None) -> str:
    """Return the id of the negotiation. Raises :class:`Conflict` where there is none."""
    if locked is None or locked["state"] != "submitted":
        raise Conflict(
            f"an application that is {application.state} has no conversation",
            code="wrong_state",
            details={"state": application.state},
        )
    if locked["negotiation_id"] is None:
        raise Conflict(
            "hh.ru has not shown the conversation of this application yet",
            code="conversation_unknown",
            details={"link": NEGOTIATIONS_URL},
        )
    return str(locked["negotiation_id"])


def _key_of(application: Application, text: str, connection: Connection) -> str:
    """Return the key of a reply that came without one."""
    values = {"id": application.id, "text": text}
    turn = connection.execute(SELECT_TURN, values).fetchone() or {}
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{application.id}:{turn.get('answered') or 0}:{turn.get('not_sent') or 0}:{digest}"


def _request_reading(application: Application, person: Person, context: Context) -> None:
    """Have a conversation read now, since its person looks."""
    if application.negotiation_id is None or _is_closed(person, context):
        return
    now = context.now()
    values = {"id": application.id, "now": now, "before": now - READING_PAUSE}
    if context.connection.execute(UPDATE_CONVERSATION_REQUESTED, values).rowcount > 0:
        queues.notify(ledger.QUEUE, {"account_id": str(application.account_id)})


def _check(
    text: str, application: Application, person: Person, context: Context
) -> list[Finding] | None:
    """Return what the check finds in a reply; ``None`` where hh.ru does not show the vacancy or the
    resume: the reply is sent all the same."""
    try:
        vacancy = reading.read_detail(application.vacancy_id, context)
        found = resumes.read_in_full(person, context, resume_id=application.resume_id)
    except (AppError, HHError):
        return None
    return check(text, found[0], vacancy, only=WARNINGS)


def _is_closed(person: Person, context: Context) -> bool:
    return method_access.is_closed(
        "messages", person.account_id, connection=context.connection, now=context.now()
    )


def _to_answer(row: dict[str, Any]) -> models.MessageAnswer:
    is_left = row["state"] in ("unknown", "failed", "handoff")
    return models.MessageAnswer(**row, link=NEGOTIATIONS_URL if is_left else None)
