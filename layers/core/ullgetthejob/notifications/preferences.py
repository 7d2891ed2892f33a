"""What a person wants to be told, where and when: the settings of an account's notifications."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field

from ullgetthejob.notifications.messages import KINDS, Kind, Language
from ullgetthejob.platform.models import Model

ChannelKind = Literal["email", "telegram", "webhook"]
CHANNEL_KINDS: tuple[ChannelKind, ...] = ("email", "telegram", "webhook")
MAX_ZONE_CHARS = 64
# Kinds that come once a day unless the person says otherwise; the others come at once.
DAILY: frozenset[Kind] = frozenset({"waits_for_you", "new_vacancies", "refusal", "digest"})
# Kinds for the person alone: a program has no use for a link, or for a summary of what it got.
FOR_PEOPLE: frozenset[Kind] = frozenset({"link", "digest"})


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a name of the IANA time zone database") from None
    return name


TimeZone = Annotated[str, Field(max_length=MAX_ZONE_CHARS), AfterValidator(_known_zone)]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM")]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid")


class QuietHours(_Strict):
    """Hours of the person's time zone in which nothing is sent to people; *until* may be on the
    next day. Equal times: no hour is quiet."""

    since: Clock = "22:00"
    until: Clock = "08:00"

    @property
    def begins(self) -> time:
        """Return when the quiet hours begin."""
        return time.fromisoformat(self.since)

    @property
    def ends(self) -> time:
        """Return when the quiet hours end."""
        return time.fromisoformat(self.until)


class Digest(_Strict):
    """A summary of everything, and when what comes once a day comes: at *hour*."""

    every: Literal["off", "daily", "weekly"] = "off"
    hour: int = Field(default=9, ge=0, le=23)
    weekday: int = Field(default=1, ge=1, le=7, description="1 is Monday; of a weekly one")


class Route(_Strict):
    """Where a kind of notifications goes, and when: ``now``, or ``daily`` at the digest's hour."""

    channels: list[ChannelKind] = Field(max_length=len(CHANNEL_KINDS))
    when: Literal["now", "daily"] = "now"


def _default_route(kind: Kind) -> Route:
    channels = [c for c in CHANNEL_KINDS if c != "webhook" or kind not in FOR_PEOPLE]
    return Route(channels=channels, when="daily" if kind in DAILY else "now")


class Preferences(_Strict):
    """The settings of an account. *kinds* that are not given have their default."""

    language: Language = "ru"
    time_zone: TimeZone = "Europe/Moscow"
    quiet_hours: QuietHours | None = Field(
        default_factory=QuietHours, description="null: none; by default from 22:00 to 08:00"
    )
    digest: Digest = Field(default_factory=Digest)
    kinds: dict[Kind, Route] = Field(default_factory=dict)

    def route(self, kind: Kind) -> Route:
        """Return where and when *kind* is sent."""
        return self.kinds.get(kind) or _default_route(kind)

    def complete(self) -> Preferences:
        """Return these settings with all kinds."""
        return self.model_copy(update={"kinds": {kind: self.route(kind) for kind in KINDS}})

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone."""
        return ZoneInfo(self.time_zone)
