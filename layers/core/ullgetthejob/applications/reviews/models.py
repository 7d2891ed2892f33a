"""Bodies and answers of ``/api/reviews``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.applications.ledger import MAX_LETTER_CHARS
from ullgetthejob.filters.models import Phrase
from ullgetthejob.fit.models import Fit
from ullgetthejob.letters.checking import Finding
from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model
from ullgetthejob.vacancies.job import salary_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ullgetthejob.applications.reviews.examination import Examination
    from ullgetthejob.hh.models import VacancyDetail

MAX_ITEMS = 100
LetterHash = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{64}$", description="letter_hash of the review: the yes is to that"),
]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid")


class ReviewQuery(paging.PageQuery):
    """A page of the reviews, the oldest first."""


class ReviewedVacancy(Model):
    """The vacancy as it was examined."""

    job_id: str
    title: str
    employer: str
    employer_id: str | None
    salary: str | None = Field(description="as a person writes it")
    area: str | None
    url: str


class Review(Model):
    """An application that waits for its person's yes. *reason*: why they are asked. *fit* and
    *findings*: of the letter and the resume, as they were examined."""

    application_id: UUID
    reason: str | None
    vacancy: ReviewedVacancy | None = Field(description="null if nothing was examined yet")
    letter: str | None
    letter_hash: str
    resume_id: str | None
    resume_title: str | None
    fit: Fit | None
    findings: list[Finding]
    workflow_id: UUID | None = Field(description="the campaign that it came from")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(description="without an answer, it is not sent")


class Reviews(paging.Page):
    """A page of reviews."""

    success: Literal[True] = True
    items: list[Review]


class Approval(_Strict):
    """A yes to an application with this letter."""

    application_id: UUID
    letter_hash: LetterHash


class ApproveBody(_Strict):
    """The approved applications. *user_id*: their owner, for a service without a token of the
    user."""

    items: Annotated[list[Approval], Field(min_length=1, max_length=MAX_ITEMS)]
    user_id: str | None = None


class RejectBody(_Strict):
    """The rejected applications. *rule*: a rule of ``/api/filters`` that drops such vacancies from
    now on: their ``employer``, or a word of the title (*title_word*)."""

    application_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_ITEMS)]
    rule: Literal["employer", "title_word"] | None = None
    title_word: Phrase | None = None
    user_id: str | None = None


class EditBody(_Strict):
    """Another letter."""

    letter: Annotated[str, Field(min_length=1, max_length=MAX_LETTER_CHARS)]
    user_id: str | None = None


class Answered(Model):
    """What became of one application. *error*: why it is as it was, ``application_not_found``,
    ``wrong_state``, ``letter_changed`` or ``letter_missing``."""

    application_id: UUID
    state: str | None
    error: str | None = None


class AnsweredAll(Model):
    """What became of each application, in the order of the request."""

    success: Literal[True] = True
    items: list[Answered]


class OneReview(Review):
    """One review."""

    success: Literal[True] = True


def show_review(
    vacancy: VacancyDetail, resume: Mapping[str, Any], examined: Examination
) -> dict[str, Any]:
    """Return what a review shows of an examination, as it is stored."""
    shown = ReviewedVacancy(
        job_id=vacancy.id,
        title=vacancy.name,
        employer=vacancy.employer.name,
        employer_id=vacancy.employer.id,
        salary=salary_text(vacancy.salary),
        area=vacancy.area.name,
        url=vacancy.alternate_url or vacancy_url(vacancy.id),
    )
    return {
        "vacancy": shown.model_dump(),
        "resume_title": resume.get("title"),
        "fit": examined.fit.model_dump(),
        "findings": finding_rows(examined.findings),
    }


def finding_rows(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return findings as they are stored."""
    return [finding.model_dump() for finding in findings]
