"""The ledger: the state of each application (:mod:`.application_states`), one row for each account
and vacancy.

``due_at`` is when the submitter has something to do with a row; without it, the row waits for its
person. Every transition writes the row, its history, the account's event and what the BFF reads
(:mod:`.projection`) in one statement, and only if the row is still in the state that the transition
starts from.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import application_states, projection
from ullgetthejob.applications.application import COLUMNS, FIELDS, Application
from ullgetthejob.autopilot import pace
from ullgetthejob.platform import postgres, settings, tracing
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection


# The queue of wake-ups for accounts that have something due.
QUEUE = settings.APPLIER_QUEUE_URL
MAX_LETTER_CHARS = 10_000  # hh.ru: POST /negotiations, message
APPLICATION_TTL = timedelta(days=14)
STATES = list(application_states.ALLOWED_SOURCES)
EVENT_TYPE: event_log.EventType = "application.updated"

SELECT_APPLICATION = f"SELECT {COLUMNS} FROM application_ledger WHERE id = %(id)s"  # noqa: S608
# False for an application whose campaign does not run, or whose item was deleted from the queue:
# it is held back. What was sent already is settled all the same. LIMIT 1: each by its key; with
# EXISTS, the planner may read both tables whole once many applications wait.
CAMPAIGN_RUNS = """(
    application_ledger.workflow_id IS NULL
    OR application_ledger.state IN ('submitting', 'uncertain')
    OR (SELECT c.state FROM campaigns c
        WHERE c.workflow_id = application_ledger.workflow_id LIMIT 1) = 'running'
       AND (SELECT q.id FROM application_queue q
            WHERE q.id = application_ledger.queue_item_id LIMIT 1) IS NOT NULL
)"""
# True for an application that waits for a ceiling of its autopilot (:mod:`.pacing`), and for no
# quota.
IS_PACED = f"""(application_ledger.state = 'waiting_quota'
    AND coalesce(application_ledger.reason, '') IN {pace.REASONS})"""
# Single applications come before those of campaigns.
SELECT_NEXT_DUE = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND due_at <= %(now)s AND state = ANY(%(states)s)
      AND {CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id LIMIT 1
"""  # noqa: S608
# The data of the event about a change, of a row of application_ledger.
EVENT = """
    jsonb_build_object(
        'application_id', id, 'job_id', vacancy_id, 'state', state,
        'reason', coalesce(%(event_reason)s::text, reason),
        'next_attempt_at', CASE WHEN state = 'waiting_quota' THEN due_at END,
        'hh_state', hh_state, 'viewed', hh_viewed
    ) AS event
"""


def compose_record(*parts: str) -> str:
    """Return what follows the change of a row, which the CTE ``changed`` has, in the same
    statement: its history, and the event of its account.

    *parts*: the CTEs that lock other rows before. The account's row is locked last, since the
    account's other requests wait for it: only what a CTE reads from is certain to come before it.
    """
    counts = [f"(SELECT count(*) FROM {part})" for part in (*parts, "recorded")]  # noqa: S608
    waits = " AND ".join(f"{count} >= 0" for count in counts)
    return f"""
        recorded AS (
            INSERT INTO application_history (ledger_id, at, state, reason)
            SELECT id, %(now)s, state, coalesce(%(event_reason)s, reason) FROM changed
            RETURNING ledger_id
        ), written AS MATERIALIZED (
            SELECT account_id, event FROM changed WHERE {waits}
        ), {event_log.EVENT_APPENDED}
    """  # noqa: S608


# One statement for the row, what the BFF reads, history and event. ``old`` waits for a concurrent
# change, and has the state after it.
UPDATE_APPLICATION_STATE = f"""
    WITH old AS MATERIALIZED (
        SELECT id AS old_id, state AS before FROM application_ledger
        WHERE id = %(id)s AND state = ANY(%(from)s) FOR NO KEY UPDATE
    ), changed AS (
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
        FROM old WHERE id = old_id AND state = ANY(%(from)s)
        RETURNING {COLUMNS}, before, {EVENT}
    ), {projection.UPDATED}, {compose_record("projected", "projected_item")}
    SELECT {FIELDS}, before FROM changed
"""  # noqa: S608
UPDATE_FAILED_CALLS = """
    UPDATE application_ledger SET failed_calls = failed_calls + 1 WHERE id = %(id)s
    RETURNING failed_calls
"""
# Returns the state before, of the latest step of the history: the statement does not see its own.
INSERT_STEP = f"""
    WITH changed AS (
        SELECT {COLUMNS}, {EVENT} FROM application_ledger WHERE id = %(id)s
    ), {compose_record()}
    SELECT h.state AS before FROM application_history h WHERE h.ledger_id = %(id)s
    ORDER BY h.id DESC LIMIT 1
"""  # noqa: S608
# A handoff may follow an attempt whose outcome is unknown: its letter stays. So does a letter that
# is made of a template, or checked, at this moment.
UPDATE_LETTER = f"""
    WITH changed AS (
        UPDATE application_ledger SET letter = %(letter)s, updated_at = %(now)s
        WHERE id = %(id)s AND state = ANY(%(states)s) AND letter IS DISTINCT FROM %(letter)s
          AND (state <> 'preparing' OR review = 'never' AND letter_template_id IS NULL)
          AND (state <> 'handoff' OR NOT EXISTS (
              SELECT FROM application_attempts WHERE ledger_id = application_ledger.id))
        RETURNING {COLUMNS}
    ), {projection.UPDATED}
    SELECT {FIELDS} FROM changed
"""  # noqa: S608
UPDATE_COMPLETION_DUE_AT = """
    UPDATE application_ledger SET due_at = %(until)s WHERE id = %(id)s AND state = 'handoff'
"""
UPDATE_APPLICATION_DETACHED = """
    UPDATE application_ledger l SET workflow_id = NULL, queue_item_id = NULL
    WHERE l.id = %(id)s AND l.workflow_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM campaigns c JOIN application_queue q ON q.id = l.queue_item_id
        WHERE c.workflow_id = l.workflow_id AND c.state <> 'cancelled'
    )
"""


class ConcurrentUpdate(Exception):
    """The row is no longer in the state that the transition starts from: another worker or request
    was faster."""


def read(ledger_id: UUID, *, connection: Connection) -> Application | None:
    """Return the row, or ``None``."""
    row = connection.execute(SELECT_APPLICATION, {"id": ledger_id}).fetchone()
    return Application(**row) if row else None


def transition(
    ledger_id: UUID,
    state: application_states.State,
    *,
    connection: Connection,
    now: datetime,
    source: Collection[application_states.State] | None = None,
    reason: str | None = None,
    due_at: datetime | None = None,
    **columns: Any,
) -> Application:
    """Move a row to *state* from a state that allows it (or is one of *source*); return the row.

    *columns*: values that became known. In a transaction of its own, or as part of the one that
    *connection* is in. Raises :class:`ConcurrentUpdate`.
    """
    values: dict[str, Any] = {
        name: columns.get(name)
        for name in ("resume_id", "resume_reason", "link", "letter", "negotiation_id")
    }
    values |= {
        "id": ledger_id,
        "state": state,
        "reason": reason,
        "due_at": due_at,
        "now": now,
        "from": list(application_states.ALLOWED_SOURCES[state] if source is None else source),
        "submitted_at": columns.get("submitted_at"),
        "by_hand": columns.get("by_hand", False),
        "keeps_failed_calls": columns.get("keeps_failed_calls", state == "preparing"),
        # The content of the person's CV is kept only until the resume is created from it.
        "is_over": application_states.is_final(state),
    }
    values |= event_values(now)
    row = connection.execute(UPDATE_APPLICATION_STATE, values).fetchone()
    if row is None:
        raise ConcurrentUpdate
    before = row.pop("before")
    application = Application(**row)
    announce(application, before, connection=connection)
    return application


def record_change(
    application: Application, *, connection: Connection, now: datetime, reason: str | None = None
) -> None:
    """Append the row's state to its history and to the account's event log. *reason*: what
    happened, where that differs from the row's own reason."""
    values = {"id": application.id, **event_values(now, reason=reason)}
    row = connection.execute(INSERT_STEP, values).fetchone()
    announce(application, row["before"] if row else None, connection=connection, reason=reason)


def event_values(now: datetime, *, reason: str | None = None) -> dict[str, Any]:
    """Return the values of :data:`EVENT` and :func:`compose_record`. *reason*: what happened, where
    that differs from the row's own reason."""
    return {
        "now": now,
        "event_type": EVENT_TYPE,
        "event_reason": reason,
        "event_trace_id": tracing.trace_id(),
    }


def announce(
    application: Application,
    before: str | None,
    *,
    connection: Connection,
    reason: str | None = None,
) -> None:
    """Log a change, and notify the account's connections of its event, after the commit."""
    postgres.log_transition(
        connection,
        "application",
        before,
        application.state,
        reason=reason or application.reason,
        application_id=application.id,
        account_id=application.account_id,
        job_id=application.vacancy_id,
    )
    event_log.notify_after_commit(application.account_id, connection=connection)


def count_failed_call(ledger_id: UUID, *, connection: Connection) -> int:
    """Count a call for this application that hh.ru failed; return how many there were in a row."""
    row = connection.execute(UPDATE_FAILED_CALLS, {"id": ledger_id}).fetchone()
    return int(row["failed_calls"]) if row else 0


def postpone_completion(ledger_id: UUID, until: datetime, *, connection: Connection) -> None:
    """Complete a handoff later."""
    connection.execute(UPDATE_COMPLETION_DUE_AT, {"id": ledger_id, "until": until})


def detach_campaign(ledger_id: UUID, *, connection: Connection) -> None:
    """Detach a row from its campaign if that is cancelled, or its item deleted, since its person
    retries it."""
    connection.execute(UPDATE_APPLICATION_DETACHED, {"id": ledger_id})


def restore_projection(ledger_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Restore the rows that the BFF reads, after it wrote there itself."""
    projection.project(ledger_id, connection=connection, now=now)


def replace_letter(
    application: Application,
    letter: str | None,
    *,
    connection: Connection,
    now: datetime,
    states: Collection[application_states.State] = application_states.REPLACEABLE,
) -> Application | None:
    """Replace the letter, where nothing was sent with the earlier one. Return the row, or ``None``
    if nothing changed. *states*: of which the application has one.

    One statement that compares the state: an attempt that begins at the same time is sent with one
    letter or the other, and the row says with which.
    """
    if letter is None:
        return None
    values = {
        "id": application.id,
        "letter": letter,
        "states": list(states),
        "now": now,
    }
    row = connection.execute(UPDATE_LETTER, values).fetchone()
    return Application(**row) if row else None
