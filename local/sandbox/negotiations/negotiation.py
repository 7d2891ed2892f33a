"""An application that was accepted, and the steps that have followed it so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

By = Literal["api", "hand"]

STATES = ("invitation", "discard", "interview", "hired")  # besides "response", the first
FROM_EMPLOYER = frozenset({"message", *STATES})
FROM_APPLICANT = frozenset({"response", "reply"})
MOST_IN_A_ROW = 5

FIRST_ID = 4_200_000_000
FIRST_CHAT_ID = 5_000_000_000
_MESSAGES_SINCE = 1_704_067_200  # 2024-01-01


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to an application; *at* is in seconds since the epoch.

    *kind*: ``response`` (the application, with its letter) and ``reply`` are the applicant's,
    ``viewed``, ``message`` and the states are the employer's. *seen*: by the applicant.
    """

    number: int
    at: float
    kind: str
    text: str | None
    seen: bool = False

    @property
    def message_id(self) -> str:
        """Return the id of the message; ids grow with time and are unique in a conversation."""
        return str(int(self.at - _MESSAGES_SINCE) * 100 + self.number % 100)


@dataclass(frozen=True)
class Negotiation:
    """An application; *steps* are those of the past, in order."""

    number: int
    person_id: str
    vacancy_id: str
    resume_id: str
    by: By
    applied_at: float
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """Return the negotiation's id at hh.ru."""
        return str(FIRST_ID + self.number)

    @property
    def chat_id(self) -> int:
        """Return the id of the chat (hh.ru: the only id that is a JSON number)."""
        return FIRST_CHAT_ID + self.number

    @cached_property
    def state(self) -> str:
        """Return the current state: ``response`` or the last of :data:`STATES`."""
        kinds = [step.kind for step in self.steps if step.kind in STATES]
        return kinds[-1] if kinds else "response"

    @cached_property
    def viewed_at(self) -> float | None:
        """Return when the employer first viewed the application, ``None`` before that."""
        return next((step.at for step in self.steps if step.kind == "viewed"), None)

    @cached_property
    def messages(self) -> tuple[Step, ...]:
        """Return the messages of both sides, the application itself first."""
        return tuple(step for step in self.steps if step.kind != "viewed")

    @cached_property
    def unread(self) -> int:
        """Return how many of the employer's messages the applicant has not seen."""
        return sum(step.kind in FROM_EMPLOYER and not step.seen for step in self.messages)

    @property
    def updated_at(self) -> float:
        """Return the time of the last message or change of state.

        INFERRED: that an employer viewed the application is no update.
        """
        return self.messages[-1].at

    @property
    def in_a_row(self) -> int:
        """Return how many messages the applicant has sent since the employer's last one."""
        count = 0
        for step in reversed(self.messages):
            if step.kind != "reply":
                break
            count += 1
        return count


def number_of(negotiation_id: str) -> int | None:
    """Return the number of the negotiation that an id names, ``None`` for what cannot be an id."""
    if not negotiation_id.isascii() or not negotiation_id.isdigit() or len(negotiation_id) > 15:
        return None
    return int(negotiation_id) - FIRST_ID
