"""The queries and answers of ``/api/stats``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.working_hours import Zone

By = Literal["none", "search", "template", "resume", "fit", "hour", "weekday", "employer_size"]
Stage = Literal["found", "told", "applied", "seen", "answered", "invited", "offer"]
COMPARED: tuple[Stage, ...] = ("seen", "answered", "invited")
OUTCOMES: tuple[Stage, ...] = ("seen", "answered", "invited", "offer")
DEFAULT_DAYS = 90
SILENT_DAYS = 14
ZONE = "Europe/Moscow"
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))]
Share = Annotated[float, Field(ge=0, le=1)]
TOO_FEW = "null where n is below min_sample: too few to say"


class Period(Model):
    """Both days are included, in *time_zone*; by default the last 90 days."""

    model_config = ConfigDict(populate_by_name=True)

    first: Day | None = Field(None, alias="from")
    last: Day | None = Field(None, alias="to")
    time_zone: Zone = ZONE

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError("from: must not be after to")
        return self


class StatsQuery(Period):
    """*by*: what groups the applications."""

    by: By = "none"


class CsvQuery(StatsQuery):
    """*table*: ``applications``, a row for each application that was sent in the period, or
    ``funnel``, a row for each group and stage. *separator*: ``semicolon`` for an Excel whose
    decimal sign is a comma. *cursor*: of the header Link of the part before."""

    table: Literal["applications", "funnel"] = "applications"
    separator: Literal["comma", "semicolon"] = "comma"
    cursor: Annotated[str | None, Field(max_length=300)] = None


class SilentQuery(paging.PageQuery):
    """A page of the applications without an answer, the latest first. *days*: since when."""

    days: Annotated[int, Field(ge=7, le=365)] = SILENT_DAYS


class Rate(Model):
    """Of *n* that reached the stage *of*, *reached* reached this one too: so far, so that what was
    sent lately lowers it."""

    of: Stage
    n: int
    reached: int
    rate: Share | None = Field(description=TOO_FEW)
    low: Share | None = Field(description="of Wilson's interval of 95 %; null as rate")
    high: Share | None = Field(description="of Wilson's interval of 95 %; null as rate")


class StageCount(Model):
    """How many reached a stage, ever: an invitation that a refusal followed counts as one. *count*
    and *rate* are null where Core cannot know them."""

    stage: Stage
    count: int | None
    rate: Rate | None


class Quartiles(Model):
    """Hours within which a quarter, a half and three quarters were answered; null: that many were
    not, or there are too few to say."""

    q1: int | None
    median: int | None
    q3: int | None


class TimeToAnswer(Model):
    """*of_answered*: of those that were answered so far, which is too short for all. *of_all*: with
    those that still wait, each for as long as it has waited (Kaplan and Meier)."""

    answered: int
    waiting: int = Field(description="without an answer so far; they count in of_all")
    of_answered: Quartiles
    of_all: Quartiles


class Comparison(Model):
    """A group against all others together: of the applications that were sent at least 14 days
    ago, those that reached the stage within 14 days. Different only where the interval of the
    difference (Newcombe, 95 % for all comparisons of the answer together) excludes 0."""

    stage: Stage
    n: int
    reached: int
    n_others: int
    reached_others: int
    low: float | None = Field(description="of the difference of the rates; null: too few to say")
    high: float | None
    verdict: Literal["higher", "lower", "not_different", "too_few"]


class Funnel(Model):
    """The stages, in their order, and the time to an answer. *by_core* and *by_hand*: who sent the
    applications, Core or the person on hh.ru."""

    stages: list[StageCount]
    by_core: int
    by_hand: int
    time_to_answer: TimeToAnswer


class Group(Funnel):
    """The funnel of a group; *key* is null for applications that belong to none."""

    key: str | None
    label: str
    comparisons: list[Comparison]


class Stats(Model):
    """The funnel of the period as a whole, and by group."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    success: Literal[True] = True
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    time_zone: str
    by: By
    min_sample: int
    confidence: float
    unknowable: list[Stage] = Field(
        description="stages that Core cannot read at present: hh.ru lets it read no negotiations"
    )
    all: Funnel
    groups: list[Group] = Field(description="at most 100, the largest; empty without by")
    more_groups: int = Field(description="how many further groups there are")


class Suggestion(Model):
    """What the person could do. Core does none of it by itself."""

    model_config = ConfigDict(frozen=True)

    ru: str
    en: str


class Silent(Model):
    """An application without an answer. *link*: where the person writes or looks."""

    application_id: UUID
    job_id: str
    title: str | None
    company: str | None
    by_hand: bool
    submitted_at: AwareDatetime
    days: int = Field(description="whole days since it was sent")
    seen: bool
    seen_at: AwareDatetime | None
    vacancy_closed: bool
    link: str
    suggestion: Suggestion


class SilentPage(paging.Page):
    """A page of applications without an answer."""

    success: Literal[True] = True
    items: list[Silent]
    found: int | None = Field(description=paging.FOUND)
    unknowable: bool = Field(
        description="true: hh.ru lets Core read no negotiations, so there may be answers"
    )
