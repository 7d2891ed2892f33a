"""A channel as a message is sent to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.notifications.messages import Language
    from ullgetthejob.notifications.preferences import ChannelKind


@dataclass(frozen=True)
class Recipient:
    """A channel with its decrypted address. *secrets*: with which a webhook is signed, the newest
    first."""

    channel_id: UUID
    account_id: UUID
    kind: ChannelKind
    address: str = field(repr=False)
    language: Language
    secrets: tuple[str, ...] = field(default=(), repr=False)
