"""What a campaign looks like to callers, in the answers of ``/api/queue/*`` and of an import."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.platform.models import Model


class CampaignAnswer(Model):
    """A campaign, in both spellings where callers use them. *status*: its state, or ``completed``
    when none of its applications is left to send."""

    success: Literal[True] = True
    workflow_id: UUID
    workflowId: UUID  # noqa: N815
    saved_search_id: UUID | None = Field(
        None, description="the saved search whose autopilot fills the campaign"
    )
    name: str | None = Field(None, description="of that saved search")
    status: Literal["created", "running", "paused", "cancelled", "completed"]
    job_count: int | None = Field(description="as the BFF counted them")
    pending_count: int = Field(description="applications that were not sent yet")
    hours_needed: float | None
    estimated_completion: AwareDatetime | None = Field(
        description="when the last application may be sent, by both limits and what else waits; "
        "null: none is left, or the campaign does not run"
    )
    estimatedCompletion: AwareDatetime | None  # noqa: N815
    message: str


class AddedToCampaign(CampaignAnswer):
    """*queued_count*: how many of the vacancies were not in the campaign before."""

    queued_count: int
    queuedCount: int  # noqa: N815
