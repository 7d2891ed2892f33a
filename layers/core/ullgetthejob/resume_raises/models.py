"""The API's models of raising resumes: schedules, states, and which employers see a resume."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.accounts.resumes import ResumeItem
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.working_hours import Clock, Days, WorkingHours, Zone

Mode = Literal["off", "every_four_hours", "at_times"]
By = Literal["person", "schedule"]
# hh.ru takes a raise every four hours, so that more than six times a day never come true.
MAX_TIMES = 6
ZONE = "Europe/Moscow"

Outcome = Literal[
    "raised",
    "too_early",
    "interrupted",
    "hh_closed",
    "not_published",
    "blocked",
    "on_moderation",
    "resume_incomplete",
    "not_allowed",
    "resume_not_found",
]
RESUMES_PAGE = "https://hh.ru/applicant/resumes"
# What each outcome means to the person, and what they can do.
MESSAGES: dict[Outcome, str] = {
    "raised": "the resume is at the top of employers' searches",
    "too_early": "hh.ru raises a resume every four hours at most; it may be raised again later",
    "interrupted": "it is not known to have been raised; raise it again",
    "hh_closed": "hh.ru does not let Core raise resumes: raise it there yourself",
    "not_published": "no employer sees this resume: publish it on hh.ru first",
    "blocked": "hh.ru has blocked this resume: correct there what its moderators note",
    "on_moderation": "hh.ru's moderators look at this resume: wait until they are done",
    "resume_incomplete": "hh.ru wants something else in this resume: complete it there",
    "not_allowed": "hh.ru does not allow to raise this resume at the moment: look at it there",
    "resume_not_found": "this resume is no longer at hh.ru",
}


class Schedule(Model):
    """When a resume is raised. ``off``: by hand alone. ``every_four_hours``: as often as hh.ru
    allows, in *working_hours*. ``at_times``: at *times* of the given *days*, or as soon after as
    hh.ru allows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "off"
    working_hours: WorkingHours | None = Field(
        None, description="of every_four_hours; null: at all hours"
    )
    times: Annotated[tuple[Clock, ...], Field(min_length=1, max_length=MAX_TIMES)] | None = Field(
        None, description="of at_times: HH:MM in the time zone"
    )
    days: Days | None = Field(None, description="of at_times; 1: Monday; null: all")
    time_zone: Zone = ZONE

    @model_validator(mode="after")
    def _fits_mode(self) -> Schedule:
        if (self.times is not None) != (self.mode == "at_times"):
            raise ValueError("times: belong to the mode at_times, which needs them")
        if self.days is not None and self.mode != "at_times":
            raise ValueError("days: belong to the mode at_times; else give working_hours")
        if self.working_hours is not None and self.mode != "every_four_hours":
            raise ValueError("working_hours: belong to the mode every_four_hours")
        return self


class ScheduleBody(Model):
    """*schedule*: replaces the stored one. *user_id*: for a service without a token of the user."""

    model_config = ConfigDict(extra="forbid")

    schedule: Schedule
    user_id: str | None = None


class RaiseState(Model):
    """What Core knows of raising a resume. *hh_updated_at* is what hh.ru showed after the raise,
    its proof; null until hh.ru was read again."""

    resume_id: str
    schedule: Schedule = Field(default_factory=Schedule)
    outcome: Outcome | None = Field(None, description="of the last attempt; null: there was none")
    message: str | None = Field(None, description="what that means, for people")
    link: str | None = Field(None, description="where the person does it, if Core could not")
    raised_at: AwareDatetime | None = Field(None, description="when Core raised it last")
    raised_by: By | None = None
    hh_updated_at: AwareDatetime | None = Field(None, description="hh.ru's updated_at since then")
    next_raise_at: AwareDatetime | None = Field(
        None, description="from when on hh.ru allows it again, as it said last; null: not known"
    )
    scheduled_at: AwareDatetime | None = Field(
        None, description="when the schedule raises it next; null: not, or after the person acts"
    )


class RaiseAnswer(RaiseState):
    """The state of raising one resume."""

    success: Literal[True] = True


class Reason(Model):
    """Why not every employer sees a resume, in words. *notes*: those of hh.ru's moderators, or the
    fields that are missing, as hh.ru calls them."""

    code: str
    ru: str
    en: str
    notes: list[str] = Field([])


class Visibility(Model):
    """Which employers see a resume, and, unless all do, why."""

    seen_by: Literal["all", "some", "none"]
    reasons: list[Reason]


class ListedResume(ResumeItem):
    """A resume of the person: hh.ru's fields unchanged, which employers see it, and its raises."""

    visibility: Visibility
    raising: RaiseState


class ListedResumes(Model):
    """All resumes of the person."""

    success: Literal[True] = True
    items: list[ListedResume]
