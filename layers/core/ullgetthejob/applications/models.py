"""What ``/api/applications`` takes, and answers: an application as its person sees it."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.applications import application_states, ledger
from ullgetthejob.filters.models import RepostPolicy
from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model

Unknowable = Literal["sent", "viewed", "hh_state"]


class ApplicationQuery(paging.PageQuery):
    """A page of the person's applications, the newest first."""

    state: application_states.State | None = None


class RetryBody(Model):
    """*cover_letter*: a letter to replace the earlier one. *repost*: whether to apply to another
    posting of a job that was applied to; for an application that waits for that answer, ``allow``
    by default. *user_id*: the owner of the application, for a service without a token of the
    user."""

    cover_letter: Annotated[str, Field(max_length=ledger.MAX_LETTER_CHARS)] | None = None
    repost: RepostPolicy | None = None
    user_id: str | None = None


class HistoryStep(Model):
    """A change of an application. What the employer did is a step too: its *reason* is ``viewed``,
    or the state of hh.ru's negotiation (``invitation``, ``discard``, …). So is what was written:
    ``message`` by the employer, ``reply`` by the person, with its *message_id* among
    ``/messages``."""

    at: AwareDatetime
    state: application_states.State
    reason: str | None
    message_id: UUID | None = None


class AppliedPosting(Model):
    """The earlier application to another posting of the same job, by its id and hh.ru's id of that
    posting."""

    application_id: UUID
    job_id: str
    submitted_at: AwareDatetime | None


class ApplicationAnswer(Model):
    """An application: its state, the reason of the state, and what is ready for the person."""

    application_id: UUID
    job_id: str
    state: application_states.State
    reason: str | None
    next_attempt_at: AwareDatetime | None
    submitted_at: AwareDatetime | None
    negotiation_id: str | None
    resume_id: str | None
    resume_reason: str | None
    cover_letter: str | None
    link: str | None = Field(description="where the person does the last step")
    by_hand: bool
    hh_state: str | None = Field(description="of the negotiation at hh.ru, as it was last read")
    viewed: bool = Field(description="whether the employer has looked")
    unknowable: list[Unknowable] = Field(
        description="what Core cannot know of it, since hh.ru lets it read no negotiations: "
        "whether it was sent (until it is confirmed) or viewed, and what the employer answered"
    )
    created_at: AwareDatetime
    repost: RepostPolicy | None = Field(
        description="whether to apply to another posting of a job; null: as the filters say"
    )
    applied_posting: AppliedPosting | None = Field(
        default=None,
        description="of an application that is held back as a repost, where it is read by its id",
    )
    history: list[HistoryStep] | None = None


class ApplicationWithHistory(Model):
    """An application with its history."""

    success: Literal[True] = True
    application: ApplicationAnswer


class Applications(paging.Page):
    """A page of applications."""

    success: Literal[True] = True
    items: list[ApplicationAnswer]
    found: int | None = Field(description=paging.FOUND)
