"""The rules of raising a resume: when a schedule is due, and what hh.ru's answers mean. Pure
functions of their arguments; times are aware datetimes.

hh.ru: a resume may be raised again four hours after the last time (``next_publish_at``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import working_hours
from ullgetthejob.platform.working_hours import WorkingHours
from ullgetthejob.resume_raises import visibility

if TYPE_CHECKING:
    from ullgetthejob.resume_raises.models import Outcome, Schedule

INTERVAL = timedelta(hours=4)
MINUTE = timedelta(minutes=1)
# A time of the schedule that has passed by more is skipped: the person chose the hour. As old, a
# call that was lost is not made again.
LATE = timedelta(hours=1)
OF_STATUS: dict[str, Outcome] = {
    "not_published": "not_published",
    "blocked": "blocked",
    "on_moderation": "on_moderation",
}


def next_due(
    schedule: Schedule, *, now: datetime, allowed_at: datetime | None = None
) -> datetime | None:
    """Return when the schedule raises the resume next, not before *allowed_at*; ``None``: never."""
    if schedule.mode == "off":
        return None
    soonest = max(now, allowed_at or now)
    if schedule.mode == "every_four_hours":
        return working_hours.opening(schedule.working_hours, schedule.time_zone, soonest)
    # From the next minute on: the time that has just come is not its own successor.
    slots = [_slot(schedule, clock, now + MINUTE) for clock in schedule.times or ()]
    return max(min(slots), soonest)


def still_due(
    schedule: Schedule, due_at: datetime, *, now: datetime, allowed_at: datetime | None
) -> datetime | None:
    """Return when a resume that was due at *due_at* is to be raised: at *now* or before, unless it
    is not allowed before *allowed_at*, or the hour is no longer one of the schedule's."""
    if allowed_at is not None and allowed_at > now:
        return postponed(schedule, allowed_at, now=now)
    if schedule.mode == "every_four_hours":
        return next_due(schedule, now=now)
    if schedule.mode == "off" or now > due_at + LATE:
        return next_due(schedule, now=now, allowed_at=allowed_at)
    return due_at


def postponed(schedule: Schedule, allowed_at: datetime, *, now: datetime) -> datetime | None:
    """Return when a raise that is due, but not allowed before *allowed_at*, is made: of a schedule
    with times as soon as that."""
    if schedule.mode == "at_times":
        return allowed_at
    return next_due(schedule, now=now, allowed_at=allowed_at)


def _slot(schedule: Schedule, clock: str, moment: datetime) -> datetime:
    """Return the first time, from *moment* on, at which the clock shows *clock*, to the minute."""
    ends = (datetime.strptime(clock, "%H:%M") + MINUTE).strftime("%H:%M")
    minute = WorkingHours.model_validate({"from": clock, "to": ends, "days": schedule.days})
    return working_hours.opening(minute, schedule.time_zone, moment)


def refusal(resume: dict[str, Any], *, now: datetime) -> Outcome | None:
    """Return why hh.ru would not raise the resume that it has just shown; ``None`` if it would.

    A resume that was never published is not raised: that would show to employers what its person
    has not published.
    """
    if resume.get("blocked"):
        return "blocked"
    status = visibility.status_of(resume)
    if status in OF_STATUS:
        return OF_STATUS[status]
    due = next_raise_at(resume)
    if due is not None and due > now:
        return "too_early"
    if resume.get("finished") is False:
        return "resume_incomplete"
    return "not_allowed" if resume.get("can_publish_or_update") is False else None


def retry_at(outcome: Outcome, *, now: datetime, allowed_at: datetime | None) -> datetime:
    """Return from when on a schedule may ask hh.ru again, which has refused a raise: not every
    minute, unless a lost call alone stood in the way."""
    if outcome == "interrupted" or (allowed_at is not None and allowed_at > now):
        return now
    return now + INTERVAL


def is_raised_since(resume: dict[str, Any], asked_at: datetime) -> bool:
    """Return whether hh.ru has raised the resume since *asked_at*, when it allowed to: then the
    next time that it allows lies later."""
    due = next_raise_at(resume)
    return due is not None and due > asked_at


def next_raise_at(resume: dict[str, Any]) -> datetime | None:
    """Return from when on hh.ru allows to raise the resume; ``None`` if it does not say."""
    return to_moment(resume.get("next_publish_at"))


def updated_at(resume: dict[str, Any]) -> datetime | None:
    """Return when hh.ru says that the resume was changed or raised last."""
    return to_moment(resume.get("updated_at"))


def to_moment(text: Any) -> datetime | None:
    """Return the time that a text of ISO 8601 names, in UTC; ``None`` if it names none."""
    try:
        named = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return named.astimezone(UTC) if named.tzinfo is not None else None
