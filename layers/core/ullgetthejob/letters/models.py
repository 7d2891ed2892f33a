"""Letter templates and checks: the bodies and answers of the API."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from ullgetthejob.letters.checking import Finding
from ullgetthejob.platform.models import Model

MAX_PER_ACCOUNT = 50
MAX_NAME_CHARS = 100
# Characters of a body's text; what a template or a letter may have is less, and says so itself.
MAX_TEXT_CHARS = 100_000

Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f]*$"
    ),
]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
JobId = Annotated[str, Field(max_length=36, description="hh.ru's vacancy id, or a row's uuid")]
ResumeId = Annotated[
    str | None,
    Field(
        pattern=r"^[0-9a-fA-F]{1,64}$",
        description="by default the published resume that fits best",
    ),
]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(
        default=None, description="the person, for a service without a token of the user"
    )


class TemplateBody(_Strict):
    """A template: *text* is Jinja, with the placeholders of ``GET /api/letters/templates``."""

    name: Name
    text: Text


class PreviewBody(_Strict):
    """What to render, one of *template_id* and *text*, for a vacancy."""

    job_id: JobId
    template_id: UUID | None = None
    text: Text | None = None
    resume_id: ResumeId = None


class CheckBody(_Strict):
    """A letter to a vacancy's employer, of any origin."""

    letter: Text
    job_id: JobId
    resume_id: ResumeId = None


class Template(Model):
    """A stored template."""

    id: UUID
    name: str
    text: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class OneTemplate(Template):
    """One template."""

    success: Literal[True] = True


class Templates(Model):
    """All templates of an account, by name. *placeholders*: what templates can have, with their
    meanings."""

    success: Literal[True] = True
    items: list[Template]
    placeholders: dict[str, str]


class TemplateDeleted(Model):
    """The template is deleted."""

    success: Literal[True] = True


class Checked(Model):
    """What the rules find in a letter, compared with the vacancy and the resume *resume_id*; empty
    if nothing speaks against sending it unseen."""

    success: Literal[True] = True
    findings: list[Finding]
    resume_id: str


class Previewed(Checked):
    """The letter that a template makes, with its findings."""

    letter: str
