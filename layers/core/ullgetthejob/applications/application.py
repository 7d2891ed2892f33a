"""An application: a row of the ledger, as all of the room read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.application_states import ReviewPolicy, State
    from ullgetthejob.filters.models import RepostPolicy

_STORED = """
    id, account_id, user_id, vacancy_id, application_id, state, reason, due_at, expires_at, letter,
    wanted_resume_id, resume_id, resume_reason, link, negotiation_id, by_hand, submitted_at,
    created_at, updated_at, hh_state, hh_viewed, hh_updated_at, workflow_id, queue_item_id,
    trace_id, repost, letter_template_id, review, min_fit, fit
"""
# The columns of application_ledger, in the order of the fields, and their names in a CTE.
COLUMNS = f"{_STORED}, new_resume IS NOT NULL AS wants_new_resume"
FIELDS = f"{_STORED}, wants_new_resume"


@dataclass(frozen=True)
class Application:
    """An application to a vacancy. *application_id*: of the BFF's row in ``applications``."""

    id: UUID
    account_id: UUID
    user_id: UUID
    vacancy_id: str
    application_id: UUID | None
    state: State
    reason: str | None
    due_at: datetime | None
    expires_at: datetime | None
    letter: str | None
    wanted_resume_id: str | None
    resume_id: str | None
    resume_reason: str | None
    link: str | None
    negotiation_id: str | None
    by_hand: bool
    submitted_at: datetime | None
    created_at: datetime
    updated_at: datetime
    # The negotiation as it was last read; None and False before the first reading.
    hh_state: str | None
    hh_viewed: bool
    hh_updated_at: datetime | None
    # The campaign of the application, and its row of application_queue.
    workflow_id: UUID | None
    queue_item_id: UUID | None
    # The trace of the request that the application came with.
    trace_id: UUID | None
    # What its person said about applying to another posting of a job; None: the account's rules.
    repost: RepostPolicy | None
    # The template of which the letter is made, whether its person looks first, the least fit to
    # apply with, and the fit that was found, 0 to 100.
    letter_template_id: UUID | None
    review: ReviewPolicy
    min_fit: int | None
    fit: int | None
    # Whether a resume is to be created for it.
    wants_new_resume: bool = False

    @property
    def is_examined(self) -> bool:
        """Return whether letter and fit are looked at before it is sent; most are sent as they were
        requested."""
        return (
            self.letter_template_id is not None
            or self.min_fit is not None
            or self.review != "never"
        )


# hh.ru: the person's conversations with employers.
NEGOTIATIONS_URL = "https://hh.ru/applicant/negotiations"


def vacancy_url(vacancy_id: str) -> str:
    """Return the address of the vacancy's page at hh.ru."""
    return f"https://hh.ru/vacancy/{vacancy_id}"
