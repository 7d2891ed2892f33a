"""A person's rules for vacancies: the bodies, stored values and answers of the API."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from ullgetthejob.filters.phrase_matching import check_phrase
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

# hh.ru: dictionaries work_format and schedule. Only ``remote`` is in both.
WorkFormat = Literal["ON_SITE", "REMOTE", "HYBRID", "FIELD_WORK"]
Schedule = Literal["fullDay", "shift", "flexible", "remote", "flyInFlyOut"]
Format = Literal[WorkFormat, Schedule]
# hh.ru: dictionary currency.
Currency = Literal["AZN", "BYR", "EUR", "GEL", "KGS", "KZT", "RUR", "UAH", "USD", "UZS"]
Rule = Literal[
    "current_employer",
    "employer",
    "title",
    "description",
    "salary",
    "format",
    "employer_week",
    "repost",
]
RepostPolicy = Literal["skip", "ask", "allow"]
UNREADABLE = "filters_unreadable"  # code and reason
REPOST = "repost"  # the reason of an application whose person is asked
FILTERED_REPOST = "filtered_repost"  # of one that the policy skips
MAX_PREVIEWED = 100
Phrase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(check_phrase),
]
VacancyId = Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmployerRule(_Strict):
    """An employer, by its id at hh.ru, by words of its name, or by either."""

    id: VacancyId | None = None
    name: Phrase | None = None

    @model_validator(mode="after")
    def _require_id_or_name(self) -> EmployerRule:
        if self.id is None and self.name is None:
            raise ValueError("id or name must be given")
        return self


class SalaryFloor(_Strict):
    """The least *amount* a month. *gross*: the amount is before tax.

    Compared with the most that is offered (the upper end, else the lower); offers without tax
    information are taken as before tax. Another currency, and a salary for a shift, an hour or a
    rotation, cannot be compared: the person decides.
    """

    amount: Annotated[int, Field(ge=1, le=1_000_000_000)]
    currency: Currency = "RUR"
    gross: bool = False
    allow_without_salary: bool = True


class Rules(_Strict):
    """The rules by which vacancies are dropped. Words match as in
    :mod:`ullgetthejob.filters.phrase_matching`."""

    employers: Annotated[tuple[EmployerRule, ...], Field(max_length=200)] = ()
    title_words: Annotated[tuple[Phrase, ...], Field(max_length=100)] = ()
    description_words: Annotated[tuple[Phrase, ...], Field(max_length=100)] = ()
    salary_floor: SalaryFloor | None = None
    formats: Annotated[
        tuple[Format, ...],
        Field(max_length=9, description="the wanted work formats or schedules; none: all"),
    ] = ()
    current_employer: EmployerRule | None = None
    max_per_employer_per_week: Annotated[
        int | None, Field(ge=1, le=200, description="in any 7 days, by hand or not")
    ] = None
    # By default the person is asked: texts that are much the same may be of two openings, so that
    # nothing is lost by a wrong link, and no employer gets a second application unasked.
    repost: Annotated[
        RepostPolicy, Field(description="what to do with another posting of a job applied to")
    ] = "ask"

    def has_any(self) -> bool:
        """Return whether a rule may drop a vacancy for what it is."""
        return self != Rules(repost=self.repost)


class FiltersBody(_Strict):
    """*rules* replace all earlier rules. *user_id*: their owner, for a service without a token of
    the user."""

    rules: Rules
    user_id: str | None = None


class PreviewBody(_Strict):
    """*rules*: those to evaluate, by default the stored ones. *job_ids*: the vacancies to evaluate
    them on, by default those that Core saw most recently."""

    rules: Rules | None = None
    job_ids: Annotated[tuple[VacancyId, ...], Field(min_length=1, max_length=100)] | None = None
    user_id: str | None = None


class FiltersAnswer(Model):
    """The account's rules; empty before the first PUT."""

    success: Literal[True] = True
    rules: Rules
    updated_at: AwareDatetime | None


class Finding(Model):
    """The finding of a rule: ``drop``, or ``unknown`` where the vacancy lacks the fact, or where
    the person is asked (``repost``: *because* is the posting that was applied to)."""

    rule: Rule
    verdict: Literal["drop", "unknown"]
    because: str = Field(description="the words, employer or fact that decided")
    found: str | None = Field(
        default=None, description="the vacancy's own words that the rule's words match"
    )


class PreviewedJob(Model):
    """A vacancy with its verdict. ``unknown``: no rule drops it by what is stored of it; the
    submitter evaluates the rules again."""

    job_id: str
    title: str
    company: str | None
    verdict: Literal["keep", "drop", "unknown"]
    findings: list[Finding]


class Preview(Model):
    """The verdicts on vacancies, as if they were applied to in this order.

    *by_rule*: how many each rule drops; a vacancy may be dropped by several. *not_stored*: ids that
    Core never saw; the rules are evaluated on them when they are applied to.
    """

    success: Literal[True] = True
    checked: int
    kept: int
    dropped: int
    unknown: int
    by_rule: dict[Rule, int]
    jobs: list[PreviewedJob]
    not_stored: list[str]


@dataclass(frozen=True)
class Held:
    """The state and the reason of an application that is not sent."""

    state: Literal["refused", "needs_person"]
    reason: str


@dataclass(frozen=True)
class Posting:
    """A stored vacancy as a posting of a job. *original_id*: the same for all postings of the job.
    The others: the account's application to another posting, ``None`` without one."""

    original_id: str
    application_id: UUID | None = None
    job_id: str | None = None
    submitted_at: datetime | None = None


@dataclass
class Week:
    """The account's applications of the last seven days: how many by employer, and the vacancies
    whose employer is not known."""

    made: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)
