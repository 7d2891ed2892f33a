"""The commands of the API about raising resumes, and the list of resumes with who sees each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit, resumes
from ullgetthejob.hh.errors import HHError
from ullgetthejob.platform.errors import AppError, Unavailable
from ullgetthejob.resume_raises import answers, raising, rules, store, visibility
from ullgetthejob.resume_raises.models import (
    ListedResume,
    ListedResumes,
    RaiseAnswer,
    Schedule,
)
from ullgetthejob.resume_raises.store import ClaimLost, ResumeRaise

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.resume_raises.models import ScheduleBody

    Resume = dict[str, Any]

# A press without an Idempotency-Key that follows a raise so soon is the same press, sent again.
REPEAT = timedelta(minutes=1)
# Of the resumes that no employer sees; each is a call of hh.ru.
MAX_READ = 5


def raise_now(resume_id: str, person: Person, context: Context) -> RaiseAnswer:
    """Raise a resume because its person has pressed, once for a press.

    While it is known that hh.ru does not allow it yet, hh.ru is not asked. Raises
    :class:`Conflict` (``raise_too_early``), :class:`NeedsPerson` (``resume_not_raised``,
    ``hh_closed``, and those of the access), :class:`HHResumeNotFound`, also for another person's
    resume, and :class:`Unavailable`: the same press may be sent again.
    """
    account_id, connection = person.account, context.connection
    key, now = context.caller.idempotency_key, context.now()
    row, shown = store.find(account_id, resume_id, connection=connection), None
    if row is None:
        shown = raising.read(resume_id, person, context)
    elif _is_repeated(row, key, now):
        return _answer(row)
    elif row.asked_at is None and row.next_raise_at is not None and row.next_raise_at > now:
        raise raising.refused(resume_id, "too_early", row.next_raise_at)
    claimed = store.claim(account_id, resume_id, connection=connection, now=context.now())
    if claimed is None:
        raise _busy()
    try:
        return _answer(
            raising.raise_claimed(claimed, person, context, by="person", key=key, shown=shown)
        )
    except ClaimLost:
        raise _busy() from None


def show_state(resume_id: str, person: Person, context: Context) -> RaiseAnswer:
    """Return when a resume was raised, and when it may be or will be raised next, without asking
    hh.ru unless Core knows nothing of it. Raises :class:`HHResumeNotFound`."""
    row = store.find(person.account, resume_id, connection=context.connection)
    return _answer(row or _as_shown(resume_id, person, context))


def replace_schedule(
    resume_id: str, body: ScheduleBody, person: Person, context: Context
) -> RaiseAnswer:
    """Replace the schedule of a resume, and return its state. Raises :class:`HHResumeNotFound`,
    and what :func:`.hh_calls.call_as_account` raises for a resume that Core does not know yet."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    row = store.find(person.account, resume_id, connection=connection)
    row = row or _as_shown(resume_id, person, context)
    due_at = rules.next_due(body.schedule, now=now, allowed_at=row.next_raise_at)
    wanted = replace(row, schedule=body.schedule, due_at=due_at)
    with connection.transaction():
        stored = store.write_schedule(wanted, connection=connection, now=now)
        audit.write(
            "resume.schedule",
            "ok",
            context,
            user_id=person.user_id,
            account_id=person.account_id,
        )
    return _answer(stored)


def list_resumes(person: Person, context: Context) -> ListedResumes:
    """Return every resume of the person, which employers see it, and its raises; what hh.ru shows
    of them is the proof of earlier raises. Raises as :func:`.resumes.list_resumes`."""
    context = context.with_fixed_time()
    items = [item.model_dump() for item in resumes.list_resumes(person, context).items]
    known = store.list_of_account(person.account, connection=context.connection)
    unseen = [item["id"] for item in items if visibility.is_unseen(item)][:MAX_READ]
    whole = {resume_id: _read_notes(resume_id, person, context) for resume_id in unseen}
    listed = []
    for item in items:
        row = _refreshed(known.get(item["id"]), person.account, item, context)
        fields = {
            "visibility": visibility.describe({**item, **whole.get(item["id"], {})}),
            "raising": answers.state_of(row),
        }
        listed.append(ListedResume.model_validate({**item, **fields}))
    return ListedResumes(items=listed)


def _read_notes(resume_id: str, person: Person, context: Context) -> Resume:
    """Return what hh.ru's moderators note, and what is missing; nothing if it cannot be read now:
    the list is shown all the same."""
    try:
        resume = raising.read(resume_id, person, context)
    except (HHError, AppError):
        return {}
    return {name: resume.get(name) for name in ("moderation_note", "progress")}


def _refreshed(
    row: ResumeRaise | None, account_id: UUID, shown: Resume, context: Context
) -> ResumeRaise:
    """Return the row of a resume with what hh.ru shows of it now, which is stored where there is
    one."""
    seen = row or ResumeRaise(account_id, shown["id"], Schedule())
    if seen.asked_at is not None:  # a call has no outcome yet
        return seen
    seen = replace(
        seen,
        next_raise_at=rules.next_raise_at(shown),
        hh_updated_at=rules.updated_at(shown),
    )
    if row is not None:
        store.write_seen(seen, connection=context.connection)
    return seen


def _as_shown(resume_id: str, person: Person, context: Context) -> ResumeRaise:
    """Return the row that a resume without one would have, by what hh.ru shows of it."""
    shown = raising.read(resume_id, person, context)
    return _refreshed(None, person.account, {**shown, "id": resume_id}, context)


def _is_repeated(row: ResumeRaise, key: str | None, now: datetime) -> bool:
    """Return whether a press is the one that has raised the resume."""
    if row.outcome != "raised" or row.raised_at is None or row.raised_by != "person":
        return False
    return row.press_key == key if key is not None else now - row.raised_at < REPEAT


def _busy() -> Unavailable:
    return Unavailable("the resume is being raised at the moment; try again", retry_after_s=5)


def _answer(row: ResumeRaise) -> RaiseAnswer:
    return RaiseAnswer(**dict(answers.state_of(row)))
