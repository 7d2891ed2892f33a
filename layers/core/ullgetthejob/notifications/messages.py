"""A message to a person, as every channel gets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from uuid import UUID

Language = Literal["ru", "en"]
LANGUAGES: tuple[Language, ...] = ("ru", "en")
Kind = Literal[
    "invitation", "message", "refusal", "review", "waits_for_you", "new_vacancies", "digest",
    "trouble", "link",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "invitation", "message", "refusal", "review", "waits_for_you", "new_vacancies", "digest",
    "trouble", "link",
)  # fmt: skip


@dataclass(frozen=True)
class Button:
    """A button below a message, with one of: *action*, which the channel sends back to Core
    (``approve:<application id>``, ``skip:<application id>``, ``open``), and *url*, which opens."""

    label: str
    action: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Message:
    """A message; *id* is the same in each attempt to send it.

    *kind*: one of :data:`KINDS`, or ``confirmation`` and ``test`` of a channel. *text* is plain
    text, never markup. *data*: what programs read of it, JSON.
    """

    id: UUID
    kind: str
    language: Language
    subject: str
    text: str
    buttons: tuple[Button, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
