"""Bodies and answers of ``POST /api/jobs/import``."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from ullgetthejob.applications.application_states import ReviewPolicy
from ullgetthejob.applications.campaigns.answers import AddedToCampaign
from ullgetthejob.platform.models import Model

MAX_LINKS = 100
MAX_VACANCIES = 500  # of an import: as many as a campaign takes at once
MAX_SHOWN = 200  # characters of a link in the answer


class ImportApply(Model):
    """How to apply to the vacancies: as items of the campaign *workflow_id*, by default of a new
    one. The same links and fields again are the same campaign."""

    model_config = ConfigDict(extra="forbid")

    workflow_id: UUID | None = None
    letter_template_id: UUID | None = None
    hh_resume_id: str | None = None
    review: ReviewPolicy = "never"
    min_fit: Annotated[int, Field(ge=0, le=100)] | None = None


class ImportBody(Model):
    """Links to vacancies or searches on hh.ru. *max_per_search*: how many of a search's vacancies
    are taken, the first ones. *user_id*: for a service without a token of the user."""

    model_config = ConfigDict(extra="forbid")

    links: Annotated[list[str], Field(min_length=1, max_length=MAX_LINKS)]
    apply: ImportApply | None = None
    max_per_search: Annotated[int, Field(ge=1, le=100)] = 20
    user_id: str | None = None


class ImportedVacancy(Model):
    """A vacancy of a link. *status*: ``stored``; ``later``, since hh.ru could not be asked now, and
    it is read in the background; ``closed``: it takes no applications."""

    status: Literal["stored", "later", "closed"]
    job_id: str
    title: str | None = None
    company: str | None = None
    salary: str | None = None
    area: str | None = None
    url: str
    has_test: bool | None = None
    response_letter_required: bool | None = None


class ImportedLink(Model):
    """What came of a link. *error*: why there is nothing of it: ``not_hh``, ``no_vacancy``,
    ``invalid_search``, ``job_not_found``, ``vacancy_archived``, ``too_many_vacancies``, or the code
    of the error with which hh.ru was not asked."""

    link: str = Field(max_length=MAX_SHOWN, description="perhaps shortened")
    kind: Literal["vacancy", "search"] | None
    error: str | None = None
    message: str | None = None
    found: int | None = Field(None, description="vacancies of the search in all")
    vacancies: list[ImportedVacancy] = Field([])


class ImportAnswer(Model):
    """What came of each link, in their order. *campaign*: with ``apply``, where the vacancies are
    items now; one that is new has to be started."""

    success: Literal[True] = True
    links: list[ImportedLink]
    stored: int = Field(description="vacancies of which the facts are here, each counted once")
    later: int
    failed: int = Field(description="links of which nothing came")
    campaign: AddedToCampaign | None
