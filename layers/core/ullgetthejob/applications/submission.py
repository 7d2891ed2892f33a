"""What ``/api/applications/submit`` takes, and answers."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from ullgetthejob.applications import application_states, ledger
from ullgetthejob.filters.models import RepostPolicy
from ullgetthejob.hh import resume_fields
from ullgetthejob.platform.errors import Invalid
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.applications.application import Application

VACANCY_ID = re.compile(r"[0-9]{1,19}")
RESUME_ID = re.compile(r"[0-9a-f]{1,64}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
PHONE = re.compile(r"\+?7[0-9]{10}")
SPACING = re.compile(r"[\s()-]")

# Fields of a request that belong to its content where they are not the default.
OPTIONAL = {"repost", "letter_template_id", "review", "min_fit"}
# What an answer says of a state; of all others it says "processing".
STATUSES: dict[
    application_states.State, Literal["waiting_quota", "refused", "handoff", "review"]
] = {
    "waiting_quota": "waiting_quota",
    "refused": "refused",
    "handoff": "handoff",
    "review": "review",
}
MESSAGES: dict[application_states.State, str] = {
    "waiting_quota": "the application is sent when the limits allow it",
    "refused": "the application is not sent",
    "review": "the application waits for your yes",
    "handoff": "hh.ru leaves the last step to you: apply at the link, then confirm it",
}


class Cv(Model):
    """The CV as the BFF customised it. hh.ru gets one of the person's own resumes, or, if one is to
    be created, a copy with the content of the CV."""

    model_config = ConfigDict(extra="allow")

    email: str | None = None
    phone: str | None = None
    hh_resume_id: str | None = None


class SubmitBody(Model):
    """The request of the BFF. *create_resume*: a resume is created from the CV, as a copy of the
    person's resume *hh_resume_id*. *repost*: whether to apply if this is another posting of a job
    that was applied to; by default as the rules of ``/api/filters`` say. *letter_template_id*: the
    letter is made of this template, when vacancy and resume are known. *review*: whether the person
    looks before it is sent: always, if the check of the letter finds something, or never.
    *min_fit*: below this fit (0 to 100) the application is refused. *dry_run*: nothing is
    accepted; the answer is what would come of it. *user_id*: for a service without a token of the
    user."""

    job_external_id: str
    cover_letter: str | None = None
    letter_template_id: UUID | None = None
    review: application_states.ReviewPolicy = "never"
    min_fit: Annotated[int, Field(ge=0, le=100)] | None = None
    customized_cv: Cv | None = None
    hh_resume_id: str | None = None
    create_resume: bool = False
    repost: RepostPolicy | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    user_id: str | None = None
    dry_run: bool = False

    def check(self) -> None:
        """Raise :class:`Invalid` with one of the codes that the BFF translates."""
        if not VACANCY_ID.fullmatch(self.job_external_id):
            raise _invalid("job_external_id", "must be the id of a vacancy at hh.ru")
        if len(self.cover_letter or "") > ledger.MAX_LETTER_CHARS:
            raise _invalid(
                "cover_letter", f"must not be longer than {ledger.MAX_LETTER_CHARS} characters"
            )
        if self.letter is not None and self.letter_template_id is not None:
            raise _invalid("letter_template_id", "excludes cover_letter")
        if self.resume_id is not None and not RESUME_ID.fullmatch(self.resume_id):
            raise _invalid("hh_resume_id", "must be the id of a resume at hh.ru")
        if self.create_resume and self.customized_cv is None:
            raise _invalid("customized_cv", "must be given for a resume to be created from it")
        if self.customized_cv is not None:
            if not EMAIL.fullmatch(self.customized_cv.email or ""):
                raise _field_error(
                    "customized_cv.email", "must be an e-mail address", code="missing_email"
                )
            if not PHONE.fullmatch(SPACING.sub("", self.customized_cv.phone or "")):
                raise _field_error(
                    "customized_cv.phone", "must be +7 and ten digits", code="missing_phone"
                )

    @property
    def resume_id(self) -> str | None:
        """Return the id of the requested resume, from the body or from its CV."""
        return self.hh_resume_id or (self.customized_cv and self.customized_cv.hh_resume_id) or None

    @property
    def new_resume(self) -> dict[str, Any] | None:
        """Return the fields of the resume to create; ``None`` if none is to be created."""
        if not self.create_resume or self.customized_cv is None:
            return None
        return resume_fields.changes(self.customized_cv.model_extra or {})

    @property
    def ledger_values(self) -> dict[str, Any]:
        """Return what the ledger's row keeps of the request as it was made."""
        return {
            "letter": self.letter,
            "resume_id": self.resume_id,
            "repost": self.repost,
            "letter_template_id": self.letter_template_id,
            "review": self.review,
            "min_fit": self.min_fit,
        }

    @property
    def content_hash(self) -> bytes:
        """Return a hash of what is requested, by which a repeated key is known to be a repetition.
        Without optional fields that have their defaults: those that come later change no hash."""
        content: list[Any] = [self.job_external_id, self.letter, self.resume_id]
        if self.create_resume:
            content.append(self.new_resume)
        optional = self.model_dump(mode="json", include=OPTIONAL, exclude_defaults=True)
        if optional:
            content.append(optional)
        return hashlib.sha256(json.dumps(content).encode()).digest()

    @property
    def letter(self) -> str | None:
        """Return the letter; ``None`` if it is empty or white space."""
        return (self.cover_letter or "").strip() or None


class Submitted(Model):
    """An application that was accepted, now or before. ``refused``: it is not sent; *reason* says
    why (``filtered_…``: a rule of the person's own), and ``retry`` evaluates the rules again.
    ``handoff``: hh.ru does not let Core send it; the person does, at *link*, and confirms it.
    *idempotency_key*: the caller's own, else one made of account and vacancy."""

    success: Literal[True] = True
    status: Literal["processing", "waiting_quota", "refused", "handoff", "review"]
    state: application_states.State
    reason: str | None
    job_id: str
    application_id: UUID
    idempotency_key: str
    next_attempt_at: AwareDatetime | None
    link: str | None = Field(description="where the person does the last step, if that is left")
    message: str

    @classmethod
    def of(cls, application: Application, key: str) -> Submitted:
        """Return the answer for an application that was requested with the idempotency *key*."""
        state = application.state
        return cls(
            status=STATUSES.get(state, "processing"),
            state=state,
            reason=application.reason,
            job_id=application.vacancy_id,
            application_id=application.id,
            idempotency_key=key,
            next_attempt_at=application.due_at if state == "waiting_quota" else None,
            link=application.link if state in application_states.NEEDS_PERSON else None,
            message=MESSAGES.get(state, "accepted"),
        )


def _invalid(field: str, text: str) -> Invalid:
    error = _field_error(field, text, code="bad_arguments")
    error.details = {**(error.details or {}), "description": f"{field} {text}"}
    return error


def _field_error(field: str, text: str, *, code: str) -> Invalid:
    error = Invalid.field(field, text)
    error.code = code
    return error
