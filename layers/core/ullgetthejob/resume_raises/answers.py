"""The state of a resume's raises, as the API, the events and the command line show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.resume_raises.models import MESSAGES, RESUMES_PAGE, RaiseState

if TYPE_CHECKING:
    from ullgetthejob.resume_raises.models import Outcome
    from ullgetthejob.resume_raises.store import ResumeRaise

# After these there is nothing for the person to do at hh.ru.
WITHOUT_LINK: frozenset[Outcome] = frozenset({"raised", "too_early", "interrupted"})


def link_of(resume_id: str, outcome: Outcome | None) -> str | None:
    """Return where the person does at hh.ru what *outcome* leaves to them."""
    if outcome is None or outcome in WITHOUT_LINK:
        return None
    # The list has the button that raises a resume; the resume itself what is wrong with it.
    if outcome in ("hh_closed", "resume_not_found"):
        return RESUMES_PAGE
    return f"https://hh.ru/resume/{resume_id}"


def state_of(row: ResumeRaise) -> RaiseState:
    """Return a row as callers see it."""
    return RaiseState(
        resume_id=row.resume_id,
        schedule=row.schedule,
        outcome=row.outcome,
        message=MESSAGES[row.outcome] if row.outcome else None,
        link=link_of(row.resume_id, row.outcome),
        raised_at=row.raised_at,
        raised_by=row.raised_by,
        hh_updated_at=row.hh_updated_at,
        next_raise_at=row.next_raise_at,
        scheduled_at=row.due_at,
    )
