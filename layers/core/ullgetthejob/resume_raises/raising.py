"""Raising one resume at hh.ru, at most once for a press or a time of the schedule.

The row is claimed by the caller. What hh.ru shows decides: it is read first where a call may have
been lost, or where it is not known whether hh.ru allows a raise; then the call is recorded, made,
and the resume read again, whose ``updated_at`` is the proof. A call whose answer is lost is never
repeated before hh.ru was read: if it allows the next raise later than that call, it was raised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit, hh_calls, method_status
from ullgetthejob.hh.errors import Action, HHError, HHResumeNotFound, HHResumeRefused
from ullgetthejob.platform import postgres
from ullgetthejob.platform.errors import AppError, Conflict, NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log
from ullgetthejob.resume_raises import answers, rules, store
from ullgetthejob.resume_raises.models import MESSAGES

if TYPE_CHECKING:
    from datetime import datetime
    from typing import NoReturn

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.resume_raises.models import By, Outcome
    from ullgetthejob.resume_raises.store import ResumeRaise

Resume = dict[str, Any]


def read(resume_id: str, person: Person, context: Context) -> Resume:
    """Return the resume as hh.ru shows it now. Raises :class:`HHResumeNotFound`, and what
    :func:`.hh_calls.call_as_account` raises."""
    resume: Resume = hh_calls.call_as_account(
        person, "resumes_read", lambda token: context.hh.resume(token, resume_id), context
    )
    return resume


def raise_claimed(
    claimed: ResumeRaise,
    person: Person,
    context: Context,
    *,
    by: By,
    key: str | None = None,
    shown: Resume | None = None,
) -> ResumeRaise:
    """Raise the resume of a row that the caller has claimed, or find that it was raised already;
    return the row as it is then, without the claim. *key*: of the press. *shown*: the resume, if
    the caller has just read it.

    Raises :class:`Conflict` (``raise_too_early``) and :class:`NeedsPerson`
    (``resume_not_raised``, ``hh_closed``), which are recorded; otherwise, such as
    :class:`Unavailable` and :class:`HHError`, the row is free for another attempt; and
    :class:`ClaimLost`.
    """
    attempt = _Attempt(claimed, person, context, by)
    try:
        return attempt.run(key, shown)
    except HHResumeNotFound:
        attempt.end("resume_not_found")
        raise
    except NeedsPerson as error:
        if method_status.closed_method(error) is not None:
            attempt.end_closed(error)
        attempt.release()
        raise
    except (HHError, AppError):
        attempt.release()
        raise


class _Attempt:
    """One attempt to raise a claimed resume."""

    def __init__(self, claimed: ResumeRaise, person: Person, context: Context, by: By) -> None:
        self._row = claimed
        self._person = person
        self._context = context
        self._is_worker = by == "schedule"
        self._by: By = claimed.asked_by or by  # who wanted it
        self._is_lost = claimed.asked_at is not None  # whether a call has no known outcome
        self._is_ended = False

    def run(self, key: str | None, shown: Resume | None) -> ResumeRaise:
        """Settle a call that was lost, or raise the resume; return the row. Raises as
        :func:`raise_claimed`."""
        lost_at, allowed_at = self._row.asked_at, self._row.next_raise_at
        if lost_at is None and allowed_at is not None and allowed_at > self._now():
            raise refused(self._row.resume_id, "too_early", allowed_at)  # raised since it was due
        if shown is None and (lost_at is not None or allowed_at is None):
            shown = read(self._row.resume_id, self._person, self._context)
        if shown is not None:
            if lost_at is not None and rules.is_raised_since(shown, lost_at):
                return self._end_raised(lost_at, shown)
            self._require_allowed(shown)
            is_late = lost_at is not None and self._now() > lost_at + rules.LATE
            if is_late and self._is_worker:
                self._refuse("interrupted", shown)
        return self._call(key)

    def _call(self, key: str | None) -> ResumeRaise:
        """Make the call, once, and read the resume again."""
        connection, resume_id = self._context.connection, self._row.resume_id
        asked_at = self._now()
        store.record_call(self._row, by=self._by, key=key, connection=connection, now=asked_at)
        self._is_lost = True
        try:
            hh_calls.call_as_account(
                self._person,
                "resumes_write",
                lambda token: self._context.hh.publish_resume(token, resume_id),
                self._context,
            )
        except HHResumeRefused as error:
            self._is_lost = False
            shown = read(resume_id, self._person, self._context)
            outcome = rules.refusal(shown, now=self._now())
            is_early = error.action is Action.GO_ON
            self._refuse(outcome or ("too_early" if is_early else "resume_incomplete"), shown)
        except (HHError, AppError) as error:
            self._is_lost = getattr(error, "may_have_acted", False)
            raise
        return self._end_raised(asked_at, self._read_proof(asked_at))

    def _read_proof(self, asked_at: datetime) -> Resume | None:
        """Return the resume after the raise; ``None`` if it cannot be read now, or does not show it
        yet: the next reading of the list has it."""
        try:
            shown = read(self._row.resume_id, self._person, self._context)
        except (HHError, Unavailable, NeedsPerson):
            return None
        return shown if rules.is_raised_since(shown, asked_at) else None

    def _require_allowed(self, shown: Resume) -> None:
        outcome = rules.refusal(shown, now=self._now())
        if outcome is not None:
            self._refuse(outcome, shown)

    def _now(self) -> datetime:
        return self._context.now()

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────

    def release(self) -> None:
        """Leave the row for another attempt at once, unless the attempt has ended."""
        if not self._is_ended:
            store.release(
                self._row,
                until=self._now(),
                is_lost=self._is_lost,
                connection=self._context.connection,
            )

    def _end_raised(self, raised_at: datetime, shown: Resume | None) -> ResumeRaise:
        """Record that the resume was raised; *shown*: as hh.ru shows it since then."""
        allowed_at = rules.next_raise_at(shown) if shown else raised_at + rules.INTERVAL
        ended = self._write(
            "raised",
            allowed_at=allowed_at,
            hh_updated_at=rules.updated_at(shown) if shown else None,
            raised_at=raised_at,
        )
        count("ResumesRaised")
        return ended

    def _refuse(self, outcome: Outcome, shown: Resume) -> NoReturn:
        """Record why hh.ru does not raise the resume, and raise the error that says so."""
        allowed_at = rules.next_raise_at(shown)
        self._write(
            outcome,
            allowed_at=allowed_at,
            hh_updated_at=rules.updated_at(shown),
            not_before=rules.retry_at(outcome, now=self._now(), allowed_at=allowed_at),
        )
        raise refused(self._row.resume_id, outcome, allowed_at)

    def end(self, outcome: Outcome) -> None:
        """Record an outcome after which the schedule waits for the person."""
        self._write(outcome, allowed_at=None, is_due=False)

    def end_closed(self, error: NeedsPerson) -> NoReturn:
        """Record that hh.ru keeps raising closed, and raise *error* with the person's own link."""
        details = error.details or {}
        probe_at = rules.to_moment((details.get("method") or {}).get("next_probe_at"))
        self._write("hh_closed", allowed_at=self._row.next_raise_at, not_before=probe_at)
        link = {"link": answers.link_of(self._row.resume_id, "hh_closed")}
        raise NeedsPerson(
            MESSAGES["hh_closed"], code=error.code, details={**details, **link}
        ) from error

    def _write(
        self,
        outcome: Outcome,
        *,
        allowed_at: datetime | None,
        hh_updated_at: datetime | None = None,
        raised_at: datetime | None = None,
        not_before: datetime | None = None,
        is_due: bool = True,
    ) -> ResumeRaise:
        """Store the outcome with its event and its audit record."""
        connection, now, before = self._context.connection, self._now(), self._row
        soonest = max((each for each in (allowed_at, not_before) if each), default=None)
        due_at = rules.next_due(before.schedule, now=now, allowed_at=soonest) if is_due else None
        if outcome == "too_early" and allowed_at and before.due_at and before.due_at <= now:
            due_at = rules.postponed(before.schedule, allowed_at, now=now)
        becomes = replace(
            before,
            outcome=outcome,
            due_at=due_at,
            raised_by=self._by,
            hh_updated_at=hh_updated_at,
            next_raise_at=allowed_at,
        )
        with connection.transaction():
            row = store.write_outcome(becomes, raised_at=raised_at, connection=connection, now=now)
            if outcome == "raised" or outcome != before.outcome:
                state = answers.state_of(row).model_dump(mode="json")
                event_log.append(
                    row.account_id,
                    "resume.updated",
                    {**state, "by": self._by},
                    connection=connection,
                    now=now,
                )
                postgres.log_transition(
                    connection, "raise", before.outcome, outcome, account_id=row.account_id
                )
            audit.write(
                "resume.raise",
                "ok" if outcome == "raised" else outcome,
                self._context,
                user_id=self._person.user_id,
                account_id=row.account_id,
            )
        self._is_ended = True
        return row


def refused(resume_id: str, outcome: Outcome, next_raise_at: datetime | None) -> AppError:
    """Return the error of a raise that hh.ru does not make, with what the person can do."""
    if outcome == "too_early":
        details = {"next_raise_at": next_raise_at.isoformat() if next_raise_at else None}
        return Conflict(MESSAGES[outcome], code="raise_too_early", details=details)
    details = {"reason": outcome, "link": answers.link_of(resume_id, outcome)}
    return NeedsPerson(MESSAGES[outcome], code="resume_not_raised", details=details)
