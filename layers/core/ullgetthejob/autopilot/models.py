"""The API's models of autopilots: the settings of a saved search's, and pausing all of an account.

The settings are the field ``apply`` of a saved search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.platform.models import Model
from ullgetthejob.platform.working_hours import WorkingHours, Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["off", "review", "auto"]
MAX_PER_DAY = 20
BUCKET_SHARE = 50
MIN_FIT = 50


class ApplySettings(Model):
    """What becomes of the vacancies that a saved search finds from now on. ``off``: they are only
    announced. ``review``: each waits for the person's yes. ``auto``: they are applied to, except
    those whose letter has findings, which wait for the person's yes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "off"
    letter_template_id: UUID | None = Field(
        None, description="of /api/letters/templates; null: applied to without a letter"
    )
    hh_resume_id: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")] | None = Field(
        None, description="null: the published resume that fits best"
    )
    max_per_day: Annotated[int, Field(ge=1, le=200)] = Field(
        MAX_PER_DAY, description="applications of this search sent in any 24 hours"
    )
    bucket_share: Annotated[int, Field(ge=1, le=100)] = Field(
        BUCKET_SHARE, description="percent of the person's tokens that this search may use"
    )
    working_hours: WorkingHours | None = Field(
        None, description="when applications are sent; null: in those of the search"
    )
    time_zone: Zone | None = Field(None, description="null: that of the search")
    min_fit: Annotated[int, Field(ge=0, le=100)] = Field(
        MIN_FIT, description="vacancies that fit less are not applied to"
    )

    def changed_by(self, change: ApplySettings) -> ApplySettings:
        """Return these settings with the fields that *change* was sent with."""
        return self.model_copy(
            update={name: getattr(change, name) for name in change.model_fields_set}
        )


class ApplyCounts(Model):
    """The vacancies of an autopilot. *found*: all that it was given. *in_review*: those that wait
    for the person's yes. *waiting*: those that are sent when limits and hours allow it.
    *sent_today*: since midnight in its time zone. *sent_in_24h*: what ``max_per_day`` counts."""

    found: int = 0
    in_review: int = 0
    waiting: int = 0
    sent_today: int = 0
    sent_in_24h: int = 0
    next_send_at: AwareDatetime | None = Field(
        None, description="when the next one may be sent; null: none waits, or it is paused"
    )


class ApplyAnswer(ApplySettings):
    """The autopilot of a saved search. *workflow_id*: of its campaign, from the first vacancy on.
    *is_paused*: nothing is sent, since the account, or the campaign, is paused."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    workflow_id: UUID | None = None
    is_paused: bool = False
    counts: ApplyCounts = Field(default_factory=ApplyCounts)


class _OptionalBody(Model):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _none_is_empty(cls, sent: Any) -> Any:
        return {} if sent is None else sent


class PauseBody(_OptionalBody):
    """*all*: every campaign of the account too."""

    all: bool = False


class ResumeBody(_OptionalBody):
    """*all*: every campaign too that was paused with the account. *autopilot*: the autopilots, even
    while hh.ru asks for a captcha: without it, the request then says only that it was solved."""

    all: bool = False
    autopilot: bool = False


class Paused(Model):
    """*campaigns*: how many ran until this request."""

    success: Literal[True] = True
    paused_at: AwareDatetime
    campaigns: int


def to_settings(row: Mapping[str, Any] | None) -> ApplySettings:
    """Return the settings in a row of ``autopilots``; those of a search that has none: off."""
    if row is None:
        return ApplySettings()
    return ApplySettings.model_validate({name: row[name] for name in ApplySettings.model_fields})
