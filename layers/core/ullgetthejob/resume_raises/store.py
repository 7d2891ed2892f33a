"""Storage of the raises of resumes: one row for each resume that was raised or has a schedule.

A row is claimed for the time of a raise (``claimed_until``), so that one worker or request at a
time makes it. Before hh.ru is called, the call is recorded (``asked_at``); its outcome ends both. A
process that ends in between leaves a call without an outcome, which the next one settles by reading
the resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access
from ullgetthejob.resume_raises.models import By, Outcome, Schedule

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

# Longer than three calls of hh.ru, each with the wait for its slot.
CLAIM = timedelta(seconds=90)
TOLERANCE = timedelta(minutes=1)  # hh.ru's times are whole seconds, on its own clock
COLUMNS = """
    account_id, resume_id, schedule, due_at, claimed_until, asked_at, asked_by, press_key,
    raised_at, raised_by, hh_updated_at, next_raise_at, outcome
"""
SELECT_RAISE = f"""
    SELECT {COLUMNS} FROM resume_raises
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s
"""  # noqa: S608
SELECT_RAISES_OF_ACCOUNT = f"""
    SELECT {COLUMNS} FROM resume_raises WHERE account_id = %(account_id)s ORDER BY resume_id
"""  # noqa: S608
UPSERT_RAISE_SCHEDULE = f"""
    INSERT INTO resume_raises AS raise (
        account_id, resume_id, schedule, due_at, hh_updated_at, next_raise_at, created_at,
        updated_at
    )
    VALUES (%(account_id)s, %(resume_id)s, %(schedule)s::jsonb, %(due_at)s, %(hh_updated_at)s,
            %(next_raise_at)s, %(now)s, %(now)s)
    ON CONFLICT (account_id, resume_id) DO UPDATE SET
        schedule = excluded.schedule, due_at = excluded.due_at, updated_at = excluded.updated_at
    RETURNING {COLUMNS}
"""  # noqa: S608
UPSERT_RAISE_CLAIMED = f"""
    INSERT INTO resume_raises AS raise
        (account_id, resume_id, schedule, claimed_until, created_at, updated_at)
    VALUES (%(account_id)s, %(resume_id)s, '{{}}', %(until)s, %(now)s, %(now)s)
    ON CONFLICT (account_id, resume_id) DO UPDATE SET claimed_until = excluded.claimed_until
    WHERE raise.claimed_until IS NULL OR raise.claimed_until <= %(now)s
    RETURNING {COLUMNS}
"""  # noqa: S608
# Only the holder of the claim: another one may have taken it over, after it had ended.
UPDATE_RAISE_ASKED = """
    UPDATE resume_raises
    SET asked_at = %(now)s, asked_by = %(by)s, press_key = coalesce(%(key)s, press_key)
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s
        AND claimed_until = %(claimed_until)s
"""
UPDATE_RAISE_RELEASED = """
    UPDATE resume_raises SET
        claimed_until = %(until)s,
        asked_at = CASE WHEN %(is_lost)s THEN asked_at END,
        asked_by = CASE WHEN %(is_lost)s THEN asked_by END
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s
        AND claimed_until = %(claimed_until)s
"""
# A schedule that was replaced during the attempt has set its own time.
UPDATE_RAISE_OUTCOME = f"""
    UPDATE resume_raises SET
        claimed_until = NULL, asked_at = NULL, asked_by = NULL, outcome = %(outcome)s,
        due_at = CASE WHEN schedule = %(schedule)s::jsonb THEN %(due_at)s ELSE due_at END,
        raised_at = coalesce(%(raised_at)s, raised_at),
        raised_by = coalesce(%(raised_by)s, raised_by),
        hh_updated_at = CASE WHEN %(raised_at)s::timestamptz IS NULL
            THEN coalesce(%(hh_updated_at)s, hh_updated_at) ELSE %(hh_updated_at)s END,
        next_raise_at = %(next_raise_at)s, updated_at = %(now)s
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s
        AND claimed_until = %(claimed_until)s
    RETURNING {COLUMNS}
"""  # noqa: S608
UPDATE_RAISE_DUE = """
    UPDATE resume_raises SET due_at = %(due_at)s
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s AND due_at = %(seen)s
"""
# What hh.ru shows of a resume, whoever raised it; not what it showed before Core's last raise.
UPDATE_RAISE_SEEN = """
    UPDATE resume_raises SET next_raise_at = %(next_raise_at)s, hh_updated_at = %(hh_updated_at)s
    WHERE account_id = %(account_id)s AND resume_id = %(resume_id)s AND asked_at IS NULL
        AND (next_raise_at IS NULL OR next_raise_at - %(tolerance)s <= %(next_raise_at)s)
        AND (next_raise_at, hh_updated_at)
            IS DISTINCT FROM (%(next_raise_at)s::timestamptz, %(hh_updated_at)s::timestamptz)
"""
# What a press has begun is settled in a pause, too.
DUE = """(
    (raise.due_at <= %(now)s OR raise.asked_at IS NOT NULL)
    AND (account.autopilot_paused_at IS NULL OR raise.asked_by = 'person')
)"""
FREE = "(raise.claimed_until IS NULL OR raise.claimed_until <= %(now)s)"
# With the session that logged in last, in whose name the raise is recorded.
SELECT_DUE_RAISES = f"""
    SELECT {", ".join(f"raise.{column.strip()}" for column in COLUMNS.split(","))},
           owner.id AS user_id
    FROM resume_raises AS raise JOIN accounts AS account ON account.id = raise.account_id
    CROSS JOIN LATERAL (
        SELECT id FROM users WHERE account_id = account.id ORDER BY updated_at DESC, id LIMIT 1
    ) AS owner
    WHERE raise.account_id = %(account_id)s AND {DUE} AND {FREE} AND {access.READABLE}
    ORDER BY raise.due_at
"""  # noqa: S608


@dataclass(frozen=True)
class ResumeRaise:
    """A row of ``resume_raises``, see :class:`.models.RaiseState`. *asked_at*, *asked_by*: of a
    call whose outcome is not known. *press_key*: the Idempotency-Key of the person's last press.
    *user_id*: of the worker's rows."""

    account_id: UUID
    resume_id: str
    schedule: Schedule
    due_at: datetime | None = None
    claimed_until: datetime | None = None
    asked_at: datetime | None = None
    asked_by: By | None = None
    press_key: str | None = None
    raised_at: datetime | None = None
    raised_by: By | None = None
    hh_updated_at: datetime | None = None
    next_raise_at: datetime | None = None
    outcome: Outcome | None = None
    user_id: UUID | None = None

    @property
    def key(self) -> dict[str, Any]:
        """Return the values that name the row and its claim in a statement."""
        return {
            "account_id": self.account_id,
            "resume_id": self.resume_id,
            "claimed_until": self.claimed_until,
        }


class ClaimLost(Exception):
    """The claim had ended, and another worker or request has taken it over."""


def find(account_id: UUID, resume_id: str, *, connection: Connection) -> ResumeRaise | None:
    """Return the row of a resume; ``None`` where it has none."""
    values = {"account_id": account_id, "resume_id": resume_id}
    row = connection.execute(SELECT_RAISE, values).fetchone()
    return None if row is None else _of(row)


def list_of_account(account_id: UUID, *, connection: Connection) -> dict[str, ResumeRaise]:
    """Return the account's rows by the resume's id."""
    rows = connection.execute(SELECT_RAISES_OF_ACCOUNT, {"account_id": account_id}).fetchall()
    return {row["resume_id"]: _of(row) for row in rows}


def list_due(account_id: UUID, *, connection: Connection, now: datetime) -> list[ResumeRaise]:
    """Return what a worker has to raise or settle for the account; nothing while its access forbids
    calls, or its autopilots are paused."""
    values = {"account_id": account_id, "now": now}
    return [_of(row) for row in connection.execute(SELECT_DUE_RAISES, values).fetchall()]


def write_schedule(seen: ResumeRaise, *, connection: Connection, now: datetime) -> ResumeRaise:
    """Store the schedule of *seen*, and when it is due; a new row has what hh.ru showed, too."""
    values = {
        **seen.key,
        "schedule": _stored(seen.schedule),
        "due_at": seen.due_at,
        "hh_updated_at": seen.hh_updated_at,
        "next_raise_at": seen.next_raise_at,
        "now": now,
    }
    return _written(connection.execute(UPSERT_RAISE_SCHEDULE, values).fetchone())


def claim(
    account_id: UUID, resume_id: str, *, connection: Connection, now: datetime
) -> ResumeRaise | None:
    """Claim a resume for a raise; ``None`` while another worker or request has it."""
    values = {
        "account_id": account_id,
        "resume_id": resume_id,
        "until": now + CLAIM,
        "now": now,
    }
    row = connection.execute(UPSERT_RAISE_CLAIMED, values).fetchone()
    return None if row is None else _of(row)


def record_call(
    claimed: ResumeRaise, *, by: By, key: str | None, connection: Connection, now: datetime
) -> None:
    """Record that hh.ru is about to be called, in a transaction of its own. Raises
    :class:`ClaimLost`."""
    values = {**claimed.key, "by": by, "key": key, "now": now}
    if not connection.execute(UPDATE_RAISE_ASKED, values).rowcount:
        raise ClaimLost


def release(
    claimed: ResumeRaise, *, until: datetime, is_lost: bool, connection: Connection
) -> None:
    """Leave a resume as it is, for another attempt from *until* on. *is_lost*: whether a call was
    made whose outcome is not known."""
    values = {**claimed.key, "until": until, "is_lost": is_lost}
    connection.execute(UPDATE_RAISE_RELEASED, values)


def write_outcome(
    ended: ResumeRaise,
    *,
    raised_at: datetime | None,
    connection: Connection,
    now: datetime,
) -> ResumeRaise:
    """Store the outcome of an attempt, in the caller's transaction. *ended*: the row as it becomes,
    still with its claim. *raised_at*: if this attempt raised it. Raises :class:`ClaimLost`."""
    values = {
        **ended.key,
        "outcome": ended.outcome,
        "schedule": _stored(ended.schedule),
        "due_at": ended.due_at,
        "raised_at": raised_at,
        "raised_by": ended.raised_by if raised_at else None,
        "hh_updated_at": ended.hh_updated_at,
        "next_raise_at": ended.next_raise_at,
        "now": now,
    }
    row = connection.execute(UPDATE_RAISE_OUTCOME, values).fetchone()
    if row is None:
        raise ClaimLost
    return _of(row)


def postpone(seen: ResumeRaise, due_at: datetime | None, *, connection: Connection) -> None:
    """Move the time at which a resume is due, unless it was changed since it was *seen*."""
    values = {**seen.key, "due_at": due_at, "seen": seen.due_at}
    connection.execute(UPDATE_RAISE_DUE, values)


def write_seen(seen: ResumeRaise, *, connection: Connection) -> None:
    """Store what hh.ru has just shown of a resume that has a row."""
    values = {
        **seen.key,
        "next_raise_at": seen.next_raise_at,
        "hh_updated_at": seen.hh_updated_at,
        "tolerance": TOLERANCE,
    }
    connection.execute(UPDATE_RAISE_SEEN, values)


def _stored(schedule: Schedule) -> str:
    return schedule.model_dump_json(exclude_defaults=True)


def _of(row: dict[str, Any]) -> ResumeRaise:
    return ResumeRaise(**{**row, "schedule": Schedule.model_validate(row["schedule"])})


def _written(row: dict[str, Any] | None) -> ResumeRaise:
    assert row is not None  # noqa: S101 - INSERT … ON CONFLICT DO UPDATE … RETURNING
    return _of(row)
