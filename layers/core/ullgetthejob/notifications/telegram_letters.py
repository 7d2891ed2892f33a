"""What a message in Telegram shows of the letters that it asks about."""

from __future__ import annotations

from dataclasses import dataclass, field

APPROVE = "approve:"


@dataclass(frozen=True)
class Shown:
    """A text with letters, and the first digits of their hashes by application id."""

    text: str
    digits: dict[str, str] = field(default_factory=dict)
