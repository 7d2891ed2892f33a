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

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

State = Literal[
    "queued",
    "preparing",
    "waiting_quota",
    "submitting",
    "uncertain",
    "submitted",
    "needs_person",
    "handoff",
    "refused",
    "cancelled",
    "expired",
]
# Nothing is out at hh.ru yet.
WAITING: tuple[State, ...] = ("queued", "preparing", "waiting_quota")
_NEEDS_PERSON: tuple[State, ...] = ("needs_person", "handoff")
_FINAL: tuple[State, ...] = ("refused", "cancelled", "expired")
# Nor will be before somebody does something: another letter may still go out instead.
UNSENT: tuple[State, ...] = (*WAITING, *_NEEDS_PERSON)
# From where a state may be reached. "submitting" only from "preparing": whatever else goes wrong,
# two workers never make the same call.
ALLOWED_SOURCES: dict[State, tuple[State, ...]] = {
    "queued": (*WAITING, "submitting", "uncertain", *_NEEDS_PERSON, *_FINAL),
    "preparing": WAITING,
    "waiting_quota": (*WAITING, "submitting"),
    "submitting": ("preparing",),
    "uncertain": ("submitting", "uncertain"),
    "submitted": ("submitting", "uncertain", *_NEEDS_PERSON),
    "needs_person": (*WAITING, "submitting"),
    "handoff": (*WAITING, "submitting", "uncertain"),
    "refused": (*WAITING, "submitting"),
    "cancelled": (*WAITING, *_NEEDS_PERSON),
    "expired": (*WAITING, *_NEEDS_PERSON),
}
# Nothing was created at hh.ru, as far as hh.ru itself says: trying (again) is safe.
RETRYABLE: tuple[State, ...] = (*_NEEDS_PERSON, *_FINAL)

# Rung for an account that has something due.
QUEUE = "APPLIER_QUEUE_URL"
MAX_LETTER_CHARS = 10_000  # hh.ru: POST /negotiations, message
APPLICATION_TTL = timedelta(days=14)
# hh.ru: 200 applications per sliding 24 h, counted back from the attempt.
DAY_LIMIT = 200
# hh.ru counts from when the call arrived, by its own clock: ours leave the window a little later.
DAY = timedelta(hours=24, minutes=2)
# Longer than any call to hh.ru: whoever made it is gone by then.
CALL_TIMEOUT = timedelta(seconds=90)

# What the BFF shows. "pending" is never written here: found there, it is a wish to try again.
PROJECTED_STATUS: dict[State, str] = {
    "queued": "processing",
    "preparing": "processing",
    "waiting_quota": "rate_limited",
    "submitting": "processing",
    "uncertain": "processing",
    "submitted": "submitted",
    "needs_person": "needs_person",
    "handoff": "needs_person",
    "refused": "failed",
    "cancelled": "cancelled",
    "expired": "failed",
}
# The same on an item of a campaign: in application_queue.status the BFF, its page and the original
# know these words alone, besides "pending" and the BFF's own "customizing".
PROJECTED_ITEM_STATUS: dict[State, str] = {
    "queued": "ready",
    "preparing": "ready",
    "waiting_quota": "rate_limited",
    "submitting": "submitting",
    "uncertain": "submitting",
    "submitted": "submitted",
    "needs_person": "failed",
    "handoff": "failed",
    "refused": "failed",
    "cancelled": "failed",
    "expired": "failed",
}

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
# The row that the BFF reads, for one of the ledger's that has none yet. What Core shows stands
# there twice: where the BFF has written over ``status``, the two differ, and an index has the row.
INSERT_PROJECTION = """
    WITH made AS (
        INSERT INTO applications (user_id, job_id, job_external_id, cover_letter, status,
                                  projected_status, error_message, rate_limited_until, inserted_at,
                                  updated_at)
        VALUES (%(user_id)s, (SELECT id FROM jobs WHERE external_id = %(vacancy_id)s),
                %(vacancy_id)s, %(letter)s, %(status)s, %(status)s,
                (SELECT reason FROM application_ledger WHERE id = %(id)s),
                (SELECT due_at AT TIME ZONE 'UTC' FROM application_ledger
                 WHERE id = %(id)s AND state = 'waiting_quota'), %(utc)s, %(utc)s)
        RETURNING id
    )
    UPDATE application_ledger SET application_id = made.id FROM made
    WHERE application_ledger.id = %(id)s
"""
UPDATE_PROJECTION = """
    UPDATE applications
    SET status = %(status)s, projected_status = %(status)s, error_message = %(error)s,
        submitted_at = %(submitted_at)s,
        hh_negotiation_id = %(negotiation_id)s, hh_resume_id = %(resume_id)s,
        hh_status = %(hh_state)s, cover_letter = %(letter)s,
        rate_limited_until = %(until)s, updated_at = %(now)s
    WHERE id = %(application_id)s
"""
# The item of a campaign, which the BFF reads too. core_state: Core's own word beside the BFF's.
UPDATE_QUEUE_ITEM_PROJECTION = """
    UPDATE application_queue
    SET status = %(status)s, core_state = %(state)s, last_error = %(error)s, updated_at = %(now)s,
        next_run_at = coalesce(%(until)s, next_run_at),
        attempts = (SELECT count(*) FROM application_attempts WHERE ledger_id = %(id)s)
    WHERE id = %(queue_item_id)s
"""
# Locked, so that a pause, or the item's deletion, comes before an attempt or after it.
LOCK_RUNNING_CAMPAIGN = """
    SELECT FROM campaigns c JOIN application_queue q ON q.id = %(queue_item_id)s
    WHERE c.workflow_id = %(workflow_id)s AND c.state = 'running'
    FOR SHARE OF c FOR KEY SHARE OF q
"""
DETACH_CAMPAIGN = """
    UPDATE application_ledger l SET workflow_id = NULL, queue_item_id = NULL
    WHERE l.id = %(id)s AND l.workflow_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM campaigns c JOIN application_queue q ON q.id = l.queue_item_id
        WHERE c.workflow_id = l.workflow_id AND c.state <> 'cancelled'
    )
"""
# What *until* holds up, the oldest first: whatever is due and not out yet, what waits for quota no
# longer than that, and the one that is being made. Others in preparation were interrupted: whether
# they have their token already is looked at when their turn comes.
SELECT_DEFERRABLE = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s
      AND (state = 'waiting_quota' AND due_at <= %(until)s
           OR state = 'queued' AND due_at <= %(now)s
           OR state = 'preparing' AND id = %(id)s)
      AND {CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, created_at, id
"""  # noqa: S608
SELECT_NEXT_DEFERRED = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id LIMIT 1
"""  # noqa: S608
SELECT_LAST_DEFERRED_AT = """
    SELECT max(due_at) AS last FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND workflow_id IS NULL
"""
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR UPDATE"
SELECT_COUNTED_ATTEMPTS = """
    SELECT a.at FROM application_attempts a LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.account_id = %(account_id)s AND a.at > %(since)s AND coalesce(o.counts, true)
    ORDER BY a.at DESC
"""
INSERT_ATTEMPT = """
    INSERT INTO application_attempts (ledger_id, account_id, number, at)
    VALUES (%(id)s, %(account_id)s, %(number)s, %(now)s)
"""
COUNT_ATTEMPTS = """
    SELECT count(*) AS made, count(*) FILTER (WHERE o.outcome IS DISTINCT FROM 'not_sent') AS sent
    FROM application_attempts a LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.ledger_id = %(id)s
"""
SELECT_LAST_OUTCOME = """
    SELECT o.outcome FROM application_attempts a
    LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.ledger_id = %(id)s ORDER BY a.number DESC LIMIT 1
"""
INSERT_OUTCOMES = """
    INSERT INTO application_outcomes (attempt_id, at, outcome, counts)
    SELECT a.id, %(now)s, %(outcome)s, %(counts)s FROM application_attempts a
    WHERE a.ledger_id = %(id)s ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Application:
    """A row of the ledger."""

    id: UUID
    account_id: UUID
    user_id: UUID
    vacancy_id: str
    application_id: UUID | None
    state: State
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


def is_final(state: State) -> bool:
    """Whether nothing more comes of an application, unless its person wants it again."""
    return state == "submitted" or state in _FINAL


def read(id: UUID, *, connection: Connection) -> Application | None:
    """A row."""
    row = connection.execute(SELECT_APPLICATION, {"id": id}).fetchone()
    return Application(**row) if row else None


def next_due(
    account_id: UUID,
    *,
    connection: Connection,
    now: datetime,
    states: Collection[State] = tuple(ALLOWED_SOURCES),
) -> Application | None:
    """What has waited longest among what is due for the account at *now*, in one of *states*."""
    values = {"account_id": account_id, "now": now, "states": list(states)}
    row = connection.execute(SELECT_NEXT_DUE, values).fetchone()
    return Application(**row) if row else None


def transition(
    id: UUID,
    state: State,
    *,
    connection: Connection,
    now: datetime,
    source: Collection[State] | None = None,
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
        "from": list(ALLOWED_SOURCES[state] if source is None else source),
        "submitted_at": found.get("submitted_at"),
        "by_hand": found.get("by_hand", False),
        "keeps_failed_calls": found.get("keeps_failed_calls", state == "preparing"),
        # What the person's CV says is kept for the resume that is to be made, and no longer.
        "is_over": is_final(state),
    }
    with connection.transaction():
        row = connection.execute(UPDATE_APPLICATION_STATE, values).fetchone()
        if row is None:
            raise ConcurrentUpdate
        application = Application(**row)
        project(application, connection=connection, now=now)
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


def defer_queued(
    account_id: UUID,
    *,
    first: datetime,
    every: timedelta,
    connection: Connection,
    now: datetime,
    id: UUID | None = None,
) -> None:
    """Let what is due wait for quota, one after another from *first* on: no herd at each token.

    *id*: the one that is being made, which is not due.
    """
    values = {"account_id": account_id, "until": first, "now": now, "id": id}
    for place, row in enumerate(connection.execute(SELECT_DEFERRABLE, values).fetchall()):
        due_at = first + place * every
        if (row["state"], row["due_at"]) == ("waiting_quota", due_at):
            continue
        with contextlib.suppress(ConcurrentUpdate):
            transition(
                row["id"],
                "waiting_quota",
                source=[row["state"]],
                reason="quota",
                due_at=due_at,
                connection=connection,
                now=now,
            )


def next_deferred(account_id: UUID, *, connection: Connection) -> Application | None:
    """The first of those that wait for quota, due or not."""
    row = connection.execute(SELECT_NEXT_DEFERRED, {"account_id": account_id}).fetchone()
    return Application(**row) if row else None


def last_deferred_at(account_id: UUID, *, connection: Connection) -> datetime | None:
    """When the last of those that wait for quota, campaigns aside, comes due."""
    row = connection.execute(SELECT_LAST_DEFERRED_AT, {"account_id": account_id}).fetchone()
    return row["last"] if row else None


def list_waiting(account_id: UUID, *, connection: Connection) -> list[Application]:
    """Return the applications that wait to go out, the oldest first; none of a paused campaign."""
    rows = connection.execute(SELECT_WAITING_APPLICATIONS, {"account_id": account_id}).fetchall()
    return [Application(**row) for row in rows]


def count_failed_call(id: UUID, *, connection: Connection) -> int:
    """Count a call for this application that hh.ru failed; return how many there were in a row."""
    row = connection.execute(UPDATE_FAILED_CALLS, {"id": id}).fetchone()
    return int(row["failed_calls"]) if row else 0


def project(application: Application, *, connection: Connection, now: datetime) -> None:
    """Write what the BFF reads; whatever it wrote there itself is overwritten."""
    waits = application.state == "waiting_quota"
    connection.execute(
        UPDATE_PROJECTION,
        {
            "application_id": application.application_id,
            "status": PROJECTED_STATUS[application.state],
            "error": None if application.state == "submitted" else _with_link(application),
            "submitted_at": _utc(application.submitted_at),
            "negotiation_id": application.negotiation_id,
            "resume_id": application.resume_id,
            "hh_state": application.hh_state,
            "letter": application.letter,
            "until": _utc(application.due_at) if waits else None,
            "now": _utc(now),
        },
    )
    if application.queue_item_id is not None:
        connection.execute(
            UPDATE_QUEUE_ITEM_PROJECTION,
            {
                "id": application.id,
                "queue_item_id": application.queue_item_id,
                "status": PROJECTED_ITEM_STATUS[application.state],
                "state": application.state,
                "error": _last_error(application),
                "until": _utc(application.due_at) if waits else None,
                "now": _utc(now),
            },
        )


def _last_error(application: Application) -> str | None:
    """Why an item failed."""
    if PROJECTED_ITEM_STATUS[application.state] != "failed":
        return None
    return _with_link(application) or application.state


def _with_link(application: Application) -> str | None:
    """The reason; with the link, where its person can do something there."""
    if application.state in _NEEDS_PERSON and application.reason and application.link:
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
            project(Application(**row), connection=connection, now=now)


def list_counted(account_id: UUID, *, connection: Connection, now: datetime) -> list[datetime]:
    """When those of hh.ru's last 24 hours went out, the latest first."""
    values = {"account_id": account_id, "since": now - DAY}
    return [row["at"] for row in connection.execute(SELECT_COUNTED_ATTEMPTS, values).fetchall()]


def next_slot_in_24h(account_id: UUID, *, connection: Connection, now: datetime) -> datetime:
    """When hh.ru's 24 hours have room for one more: *now*, or later."""
    latest = list_counted(account_id, connection=connection, now=now)
    return now if len(latest) < DAY_LIMIT else latest[DAY_LIMIT - 1] + DAY


def count_attempts(id: UUID, *, connection: Connection) -> int:
    """How many attempts the row has had."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": id}).fetchone()
    return int(row["made"]) if row else 0


def count_sent_attempts(id: UUID, *, connection: Connection) -> int:
    """How many of them reached hh.ru, or may have."""
    row = connection.execute(COUNT_ATTEMPTS, {"id": id}).fetchone()
    return int(row["sent"]) if row else 0


def has_unused_token(id: UUID, *, connection: Connection) -> bool:
    """Whether the row's token is still in hand: the call that it was spent for never left."""
    row = connection.execute(SELECT_LAST_OUTCOME, {"id": id}).fetchone()
    return row is not None and row["outcome"] == "not_sent"


def begin_attempt(
    application: Application,
    resume_id: str,
    resume_reason: str,
    *,
    connection: Connection,
    now: datetime,
) -> Application | datetime:
    """Put an attempt on record before its call: the row as it goes out, or when the 24 hours have
    room. Its letter is the one to send: it may have been replaced since *application* was read.

    One transaction under the account's lock, so that any number of workers never make one too many.
    Raises :class:`Moved`.
    """
    with connection.transaction():
        # The row before the account, as whatever moves a row locks them.
        connection.execute(f"{SELECT_APPLICATION} FOR UPDATE", {"id": application.id})
        connection.execute(LOCK_ACCOUNT, {"account_id": application.account_id})
        room = next_slot_in_24h(application.account_id, connection=connection, now=now)
        if room > now:
            return room
        if not _campaign_runs(application, connection=connection):
            raise ConcurrentUpdate
        going_out = transition(
            application.id,
            "submitting",
            connection=connection,
            now=now,
            due_at=now + CALL_TIMEOUT,
            resume_id=resume_id,
            resume_reason=resume_reason,
        )
        values = {
            "id": application.id,
            "account_id": application.account_id,
            "number": count_attempts(application.id, connection=connection) + 1,
            "now": now,
        }
        connection.execute(INSERT_ATTEMPT, values)
        return going_out


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
    values = {"id": application.id, "letter": letter, "states": list(UNSENT), "now": now}
    with connection.transaction():
        row = connection.execute(UPDATE_LETTER, values).fetchone()
        if row is None:
            return None
        replaced = Application(**row)
        project(replaced, connection=connection, now=now)
    return replaced


def _campaign_runs(application: Application, *, connection: Connection) -> bool:
    """Whether its campaign, if it has one, lets it go out; that stays so in this transaction."""
    if application.workflow_id is None:
        return True
    values = {"workflow_id": application.workflow_id, "queue_item_id": application.queue_item_id}
    return connection.execute(LOCK_RUNNING_CAMPAIGN, values).fetchone() is not None


def record_by_hand(
    application: Application,
    at: datetime,
    *,
    connection: Connection,
    now: datetime,
    outcome: str = "by_hand",
) -> None:
    """An application that the person made on hh.ru counts among the 200, from *at* on."""
    values = {
        "id": application.id,
        "account_id": application.account_id,
        "number": count_attempts(application.id, connection=connection) + 1,
        "now": at,
    }
    connection.execute(INSERT_ATTEMPT, values)
    close_attempts(application.id, outcome, counts=True, connection=connection, now=now)


def record_unsent(application: Application, *, connection: Connection, now: datetime) -> None:
    """An attempt that has its token, and whose worker died before it was on record."""
    values = {
        "id": application.id,
        "account_id": application.account_id,
        "number": count_attempts(application.id, connection=connection) + 1,
        "now": now,
    }
    with connection.transaction():
        connection.execute(INSERT_ATTEMPT, values)
        close_attempts(application.id, "not_sent", counts=False, connection=connection, now=now)


def close_attempts(
    id: UUID, outcome: str, *, counts: bool, connection: Connection, now: datetime
) -> None:
    """Put on record what came of the row's attempts that are still open. *counts*: whether hh.ru
    counts it among its 200."""
    values = {"id": id, "now": now, "outcome": outcome, "counts": counts}
    connection.execute(INSERT_OUTCOMES, values)


def _utc(moment: datetime | None) -> datetime | None:
    """For the original's ``timestamp(0)``."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
