"""The ledger: where each application stands. One row an account and vacancy.

    queued         waits for the applier
    preparing      the applier looks at the vacancy, chooses the resume
    waiting_quota  no token, or 200 in 24 hours: goes on at ``due_at``
    submitting     an attempt is on record, the call is out
    uncertain      the call's answer was lost: hh.ru's negotiations will tell
    submitted      hh.ru has it
    needs_person   somebody has to do something first; ``reason`` says what
    handoff        the last step is the person's: the letter and the link are ready
    refused        it cannot be done; ``reason`` says why
    cancelled, expired

``due_at`` is when the applier has something to do with a row; none: nothing by itself. Every change
writes the row, its history, the account's event and what the BFF reads (``applications``) in one
transaction, and only if the row still stands where the change started from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import application_states, projection
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


# Rung for an account that has something due.
QUEUE = "APPLIER_QUEUE_URL"
MAX_LETTER_CHARS = 10_000  # hh.ru: POST /negotiations, message
APPLICATION_TTL = timedelta(days=14)


COLUMNS = """
    id, account_id, user_id, vacancy_id, application_id, state, reason, due_at, expires_at, letter,
    wanted_resume_id, resume_id, resume_reason, link, negotiation_id, by_hand, submitted_at,
    created_at, updated_at, hh_state, hh_viewed, hh_updated_at, workflow_id, queue_item_id
"""
SELECT_APPLICATION = f"SELECT {COLUMNS} FROM application_ledger WHERE id = %(id)s"  # noqa: S608
# Held back: what belongs to a campaign that does not run, or whose item was taken out of the queue.
# What is out already is settled all the same.
CAMPAIGN_RUNS = """(
    workflow_id IS NULL OR state IN ('submitting', 'uncertain')
    OR EXISTS (SELECT FROM campaigns c
               WHERE c.workflow_id = application_ledger.workflow_id AND c.state = 'running')
       AND EXISTS (SELECT FROM application_queue q WHERE q.id = application_ledger.queue_item_id)
)"""
# What was submitted by itself goes before what is one of many.
SELECT_NEXT_DUE = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND due_at <= %(now)s AND state = ANY(%(states)s)
      AND {CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id LIMIT 1
"""  # noqa: S608
UPDATE_APPLICATION_STATE = f"""
    UPDATE application_ledger SET
        state = %(state)s, reason = %(reason)s, due_at = %(due_at)s, updated_at = %(now)s,
        resume_id = coalesce(%(resume_id)s, resume_id),
        resume_reason = coalesce(%(resume_reason)s, resume_reason),
        link = coalesce(%(link)s, link),
        letter = coalesce(%(letter)s, letter),
        negotiation_id = coalesce(%(negotiation_id)s, negotiation_id),
        by_hand = by_hand OR %(by_hand)s,
        submitted_at = coalesce(submitted_at, %(submitted_at)s),
        failed_calls = CASE WHEN %(keeps_failed_calls)s THEN failed_calls ELSE 0 END,
        new_resume = CASE WHEN %(is_over)s THEN NULL ELSE new_resume END,
        new_resume_title = CASE WHEN %(is_over)s THEN NULL ELSE new_resume_title END
    WHERE id = %(id)s AND state = ANY(%(from)s)
    RETURNING {COLUMNS}
"""  # noqa: S608
UPDATE_FAILED_CALLS = """
    UPDATE application_ledger SET failed_calls = failed_calls + 1 WHERE id = %(id)s
    RETURNING failed_calls
"""
SELECT_WAITING_APPLICATIONS = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND state IN ('queued', 'waiting_quota') AND {CAMPAIGN_RUNS}
    ORDER BY created_at, id
"""  # noqa: S608
INSERT_HISTORY = """
    INSERT INTO application_history (ledger_id, at, state, reason)
    VALUES (%(id)s, %(now)s, %(state)s, %(reason)s)
"""
# A handoff may follow an attempt of which nobody knows what came: its letter stays.
UPDATE_LETTER = f"""
    UPDATE application_ledger SET letter = %(letter)s, updated_at = %(now)s
    WHERE id = %(id)s AND state = ANY(%(states)s) AND letter IS DISTINCT FROM %(letter)s
      AND (state <> 'handoff' OR NOT EXISTS (
          SELECT FROM application_attempts WHERE ledger_id = application_ledger.id))
    RETURNING {COLUMNS}
"""  # noqa: S608
DETACH_CAMPAIGN = """
    UPDATE application_ledger l SET workflow_id = NULL, queue_item_id = NULL
    WHERE l.id = %(id)s AND l.workflow_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM campaigns c JOIN application_queue q ON q.id = l.queue_item_id
        WHERE c.workflow_id = l.workflow_id AND c.state <> 'cancelled'
    )
"""


@dataclass(frozen=True)
class Application:
    """A row of the ledger."""

    id: UUID
    account_id: UUID
    user_id: UUID
    vacancy_id: str
    application_id: UUID | None
    state: application_states.State
    reason: str | None
    due_at: datetime | None
    expires_at: datetime | None
    letter: str | None
    wanted_resume_id: str | None
    resume_id: str | None
    resume_reason: str | None
    link: str | None
    negotiation_id: str | None
    by_hand: bool
    submitted_at: datetime | None
    created_at: datetime
    updated_at: datetime
    # The negotiation as it was last read; before that, None and False.
    hh_state: str | None
    hh_viewed: bool
    hh_updated_at: datetime | None
    # The campaign that it is part of, and its row of application_queue.
    workflow_id: UUID | None
    queue_item_id: UUID | None


class ConcurrentUpdate(Exception):
    """The row no longer stands where the change started from: somebody else was faster."""


def read(id: UUID, *, connection: Connection) -> Application | None:
    """A row."""
    row = connection.execute(SELECT_APPLICATION, {"id": id}).fetchone()
    return Application(**row) if row else None


def next_due(
    account_id: UUID,
    *,
    connection: Connection,
    now: datetime,
    states: Collection[application_states.State] = tuple(application_states.ALLOWED_SOURCES),
) -> Application | None:
    """What has waited longest among what is due for the account at *now*, in one of *states*."""
    values = {"account_id": account_id, "now": now, "states": list(states)}
    row = connection.execute(SELECT_NEXT_DUE, values).fetchone()
    return Application(**row) if row else None


def transition(
    id: UUID,
    state: application_states.State,
    *,
    connection: Connection,
    now: datetime,
    source: Collection[application_states.State] | None = None,
    reason: str | None = None,
    due_at: datetime | None = None,
    **found: Any,
) -> Application:
    """Move a row that stands where *state* may follow (or in one of *source*); *found*: columns
    that became known.

    Raises :class:`Moved`. Its own transaction, or a part of the one that *connection* is in.
    """
    values: dict[str, Any] = {
        name: found.get(name)
        for name in ("resume_id", "resume_reason", "link", "letter", "negotiation_id")
    }
    values |= {
        "id": id,
        "state": state,
        "reason": reason,
        "due_at": due_at,
        "now": now,
        "from": list(application_states.ALLOWED_SOURCES[state] if source is None else source),
        "submitted_at": found.get("submitted_at"),
        "by_hand": found.get("by_hand", False),
        "keeps_failed_calls": found.get("keeps_failed_calls", state == "preparing"),
        # What the person's CV says is kept for the resume that is to be made, and no longer.
        "is_over": application_states.is_final(state),
    }
    with connection.transaction():
        row = connection.execute(UPDATE_APPLICATION_STATE, values).fetchone()
        if row is None:
            raise ConcurrentUpdate
        application = Application(**row)
        projection.project(application, connection=connection, now=now)
        record_change(application, connection=connection, now=now)
    return application


def record_change(
    application: Application, *, connection: Connection, now: datetime, reason: str | None = None
) -> None:
    """Write where the row stands into its history and the account's events. *reason*: what
    happened, where it is not why the row stands there."""
    values = {
        "id": application.id,
        "now": now,
        "state": application.state,
        "reason": reason or application.reason,
    }
    connection.execute(INSERT_HISTORY, values)
    waits_until = application.due_at if application.state == "waiting_quota" else None
    data = {
        "application_id": str(application.id),
        "job_id": application.vacancy_id,
        "state": application.state,
        "reason": reason or application.reason,
        "next_attempt_at": waits_until.isoformat() if waits_until else None,
        "hh_state": application.hh_state,
        "viewed": application.hh_viewed,
    }
    event_log.append(
        application.account_id, "application.updated", data, connection=connection, now=now
    )


def list_waiting(account_id: UUID, *, connection: Connection) -> list[Application]:
    """Return the applications that wait to go out, the oldest first; none of a paused campaign."""
    rows = connection.execute(SELECT_WAITING_APPLICATIONS, {"account_id": account_id}).fetchall()
    return [Application(**row) for row in rows]


def count_failed_call(id: UUID, *, connection: Connection) -> int:
    """Count a call for this application that hh.ru failed; return how many there were in a row."""
    row = connection.execute(UPDATE_FAILED_CALLS, {"id": id}).fetchone()
    return int(row["failed_calls"]) if row else 0


def _with_link(application: Application) -> str | None:
    """The reason; with the link, where its person can do something there."""
    if (
        application.state in application_states._NEEDS_PERSON
        and application.reason
        and application.link
    ):
        return f"{application.reason}: {application.link}"
    return application.reason


def detach_campaign(id: UUID, *, connection: Connection) -> None:
    """Let a row go on by itself if its campaign is cancelled, or its item gone: its person wants
    it again."""
    connection.execute(DETACH_CAMPAIGN, {"id": id})


def restore_projection(id: UUID, *, connection: Connection, now: datetime) -> None:
    """Put right what the BFF reads, after it wrote there itself."""
    with connection.transaction():
        row = connection.execute(f"{SELECT_APPLICATION} FOR UPDATE", {"id": id}).fetchone()
        if row is not None:
            projection.project(Application(**row), connection=connection, now=now)


def replace_letter(
    application: Application, letter: str | None, *, connection: Connection, now: datetime
) -> Application | None:
    """Put *letter* in the place of the one before, where nothing has gone out with that: the row,
    or ``None`` if nothing changed.

    One statement that compares the state: an attempt that begins at the same moment goes out with
    the one letter or the other, and the row says with which.
    """
    if letter is None:
        return None
    values = {
        "id": application.id,
        "letter": letter,
        "states": list(application_states.UNSENT),
        "now": now,
    }
    with connection.transaction():
        row = connection.execute(UPDATE_LETTER, values).fetchone()
        if row is None:
            return None
        replaced = Application(**row)
        projection.project(replaced, connection=connection, now=now)
    return replaced
