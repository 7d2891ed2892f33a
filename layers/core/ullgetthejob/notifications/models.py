"""Notifications: the bodies and answers of the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from ullgetthejob.notifications.messages import Language
from ullgetthejob.notifications.preferences import ChannelKind, Preferences
from ullgetthejob.platform.models import Model

MAX_CHANNELS = 10
MAX_URL_CHARS = 2_000
MAX_EMAIL_CHARS = 254  # RFC 5321
# An address as people have them: no quotes, comments, or more than one "@"; the mail to confirm it
# decides.
EMAIL_PATTERN = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}$"

Email = Annotated[str, Field(max_length=MAX_EMAIL_CHARS, pattern=EMAIL_PATTERN)]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(
        default=None, description="the person, for a service without a token of the user"
    )


class SettingsBody(Preferences):
    """The settings, all of them: what is not given gets its default."""

    user_id: str | None = Field(
        default=None, description="the person, for a service without a token of the user"
    )

    @property
    def preferences(self) -> Preferences:
        """Return the settings alone."""
        return Preferences.model_validate(self.model_dump(exclude={"user_id"}))


class ChannelBody(_Strict):
    """A channel: a webhook with its *url*, or e-mail with its *address*. Telegram is connected by
    its bot."""

    kind: Literal["webhook", "email"]
    url: str | None = Field(default=None, max_length=MAX_URL_CHARS)
    address: Email | None = None
    language: Language | None = Field(default=None, description="by default that of the settings")

    @model_validator(mode="after")
    def _has_its_address(self) -> ChannelBody:
        needed, other = ("url", "address") if self.kind == "webhook" else ("address", "url")
        if getattr(self, needed) is None:
            raise ValueError(f"{needed}: must be given")
        if getattr(self, other) is not None:
            raise ValueError(f"{other}: is not of this kind of channel")
        return self


class Channel(Model):
    """A channel. *hint*: what is shown of its address. *reason*: why it is disabled."""

    id: UUID
    kind: ChannelKind
    hint: str
    language: Language
    state: Literal["unconfirmed", "active", "disabled"]
    reason: str | None
    created_at: AwareDatetime
    changed_at: AwareDatetime


class OneChannel(Channel):
    """One channel. *secret*: of a new webhook, shown this once."""

    success: Literal[True] = True
    secret: str | None = None


class Channels(Model):
    """All channels of an account."""

    success: Literal[True] = True
    items: list[Channel]


class NewSecret(Model):
    """The new secret of a webhook, shown this once; the one before signs beside it *until*."""

    success: Literal[True] = True
    secret: str
    previous_secret_until: AwareDatetime


class Notification(Model):
    """A notification of late. *error*: of the last attempt, or why it was not sent."""

    id: UUID
    channel_id: UUID | None
    channel_kind: ChannelKind
    kind: str
    state: Literal["waiting", "sending", "sent", "uncertain", "failed", "cancelled"]
    attempts: int
    error: str | None
    created_at: AwareDatetime
    due_at: AwareDatetime
    ended_at: AwareDatetime | None


class Settings(Model):
    """The settings of an account's notifications, its channels, and the latest notifications."""

    success: Literal[True] = True
    settings: Preferences
    channels: list[Channel]
    recent: list[Notification]


class Done(Model):
    """It is done."""

    success: Literal[True] = True


class TestPlanned(Model):
    """A message to test the channel is on its way; ``GET /api/notifications`` shows what came of
    it."""

    success: Literal[True] = True
    notification_id: UUID


def channel_of(row: dict[str, Any]) -> Channel:
    """Return a row of a channel as the API shows it."""
    return Channel(**{name: row[name] for name in Channel.model_fields})
