"""Bodies and answers of ``/api/queue/*``."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.applications.application_states import ReviewPolicy
from ullgetthejob.applications.campaigns.answers import CampaignAnswer
from ullgetthejob.filters.models import RepostPolicy
from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model

NOT_OF_A_JOB = {"workflow_id", "workflowId", "user_id", "userId", "dry_run", "dryRun"}


def _either(snake: str, camel: str) -> AliasChoices:
    """Return an alias for both spellings: the BFF writes camelCase, Core snake_case."""
    return AliasChoices(snake, camel)


class WorkflowBody(Model):
    """A campaign by its id. *user_id*: its owner, for a service without a token of the user. Both
    spellings are accepted."""

    workflow_id: UUID = Field(validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = Field(None, validation_alias=_either("user_id", "userId"))


class StartBody(WorkflowBody):
    """*dry_run*: nothing is started; the answer is what would come of the pending items."""

    dry_run: bool = Field(False, validation_alias=_either("dry_run", "dryRun"))


class CustomizeBody(WorkflowBody):
    """The number of vacancies that the BFF has added to the campaign."""

    job_count: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, validation_alias=_either("job_count", "jobCount")
    )


class CampaignJob(Model):
    """A vacancy of a campaign. Other fields are stored with the item."""

    model_config = ConfigDict(extra="allow")

    job_external_id: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        validation_alias=_either("job_external_id", "jobExternalId"),
        description="hh.ru's id of the vacancy",
    )
    cover_letter: str | None = Field(None, validation_alias=_either("cover_letter", "coverLetter"))
    hh_resume_id: str | None = Field(None, validation_alias=_either("hh_resume_id", "hhResumeId"))
    repost: RepostPolicy | None = Field(
        None, description="whether to apply to another posting of a job that was applied to"
    )
    letter_template_id: UUID | None = Field(
        None,
        validation_alias=_either("letter_template_id", "letterTemplateId"),
        description="the letter is made of this template",
    )
    review: ReviewPolicy = Field("never", description="whether the person looks before it is sent")
    min_fit: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None,
        validation_alias=_either("min_fit", "minFit"),
        description="below this fit the application is refused",
    )
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        0, description="the lower, the earlier an application is created from it"
    )


class AddBody(Model):
    """Vacancies for a campaign; without *workflow_id*, for a new one. Either *jobs*, or the fields
    of a single one. *repost*: for those of *jobs* that have none of their own; by default as the
    rules of ``/api/filters`` say. *dry_run*: nothing is added; the answer is what would come of
    the vacancies."""

    workflow_id: UUID | None = Field(None, validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = Field(None, validation_alias=_either("user_id", "userId"))
    jobs: Annotated[list[CampaignJob], Field(max_length=500)] = Field([])
    repost: RepostPolicy | None = None
    dry_run: bool = Field(False, validation_alias=_either("dry_run", "dryRun"))

    @model_validator(mode="before")
    @classmethod
    def _single(cls, sent: Any) -> Any:
        if not isinstance(sent, dict) or "jobs" in sent:
            return sent
        job = {name: value for name, value in sent.items() if name not in NOT_OF_A_JOB}
        rest = {name: value for name, value in sent.items() if name in NOT_OF_A_JOB}
        return {**rest, "jobs": [job]} if job else sent


class WorkflowQuery(Model):
    """A campaign by its id. *user_id*: its owner, for a service without a token of the user."""

    workflow_id: UUID = Field(validation_alias=_either("workflow_id", "workflowId"))
    user_id: str | None = None


class StatusQuery(WorkflowQuery, paging.PageQuery):
    """A campaign, and a page of its items."""


class ItemCounts(Model):
    """The number of items by their status, of those that the BFF and its page know."""

    pending: int = 0
    customizing: int = 0
    ready: int = 0
    submitting: int = 0
    submitted: int = 0
    failed: int = 0
    rate_limited: int = 0


class CampaignProgress(CampaignAnswer):
    """The progress of a campaign. *total* is the sum of *submitted*, *failed*, *waiting*,
    *needs_person* and *cancelled*."""

    total: int
    completed: int = Field(description="the same as submitted")
    submitted: int
    failed: int = Field(description="failed items, without those of needs_person and cancelled")
    waiting: int = Field(description="neither sent nor failed")
    needs_person: int = Field(description="items for which a person must do something")
    cancelled: int
    progress: ItemCounts = Field(description="by status: failed has all that are not sent")
    states: dict[str, int] = Field(description="by Core's own state of the application")


class ItemAnswer(Model):
    """An item of a campaign: a vacancy and the state of its application."""

    id: UUID
    job_external_id: str
    status: str | None = Field(description="one of the names of progress")
    state: str | None = Field(description="Core's own: pending, or the state of the application")
    last_error: str | None = Field(description="the reason, and the link for a person if any")
    attempts: int | None
    next_run_at: AwareDatetime | None
    created_at: AwareDatetime
    application_id: UUID | None = Field(
        description="of /api/applications; null: no application was created yet"
    )


class CampaignStatus(CampaignProgress, paging.Page):
    """A campaign and a page of its items."""

    items: list[ItemAnswer]
