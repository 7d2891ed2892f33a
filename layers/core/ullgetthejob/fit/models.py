"""Fit: the weights that a person sets, and the answers of the API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.platform.models import Model

Part = Literal[
    "title", "skills", "experience", "salary", "format", "city", "freshness", "employer_rating"
]
MAX_WEIGHT = 100
Weight = Annotated[int, Field(ge=0, le=MAX_WEIGHT)]


class Weights(Model):
    """How much each part of the fit counts, in relation to the others; 0: not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Weight = 27
    skills: Weight = 27
    experience: Weight = 14
    salary: Weight = 12
    format: Weight = 6
    city: Weight = 10
    freshness: Weight = 2
    employer_rating: Weight = 2

    @model_validator(mode="after")
    def _require_one(self) -> Weights:
        if not any(self.model_dump().values()):
            raise ValueError("weights: one of them must be above 0")
        return self


class Reason(Model):
    """A part of the fit, in words. *fit*: null where resume or vacancy do not say enough; such a
    part does not count."""

    part: Part
    fit: float | None = Field(ge=0, le=1, description="how well this part fits")
    points: float = Field(ge=0, description="what it contributes to the score")
    of: float = Field(ge=0, description="what it could contribute")
    ru: str
    en: str


class Fit(Model):
    """How well a resume fits a vacancy. *score* is the sum of the points, rounded."""

    score: int = Field(ge=0, le=100)
    reasons: list[Reason]
    skills_in_common: list[str] = Field(description="in the vacancy's spelling")
    skills_missing: list[str] = Field(
        description="key skills of the vacancy that the resume does not have"
    )


class FitQuery(Model):
    """*resume_id*: by default the published resume that fits best."""

    resume_id: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F]{1,64}$")] = None


class FitAnswer(Fit):
    """The fit of a vacancy, read in full, and one of the person's resumes."""

    success: Literal[True] = True
    job_id: str
    resume_id: str
    resume_title: str | None


class WeightsBody(Model):
    """*weights*: a weight that is left out has its default. *user_id*: for a service without a
    token of the user."""

    model_config = ConfigDict(extra="forbid")

    weights: Weights
    user_id: str | None = None


class WeightsAnswer(Model):
    """The weights of the account; ``updated_at`` is null while they are the defaults."""

    success: Literal[True] = True
    weights: Weights
    updated_at: AwareDatetime | None
