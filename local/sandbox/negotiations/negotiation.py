"""An application that arrived, and what has come of it so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

By = Literal["api", "hand"]

STATES = ("invitation", "discard", "interview", "hired")  # besides "response", the first
FROM_EMPLOYER = frozenset({"message", *STATES})
FROM_APPLICANT = frozenset({"response", "reply", "decline"})
MOST_IN_A_ROW = 5

FIRST_ID = 4_200_000_000
FIRST_CHAT_ID = 5_000_000_000
_MESSAGES_SINCE = 1_704_067_200  # 2024-01-01


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to an application; *at* is in seconds since the epoch.

    *kind*: ``response`` (the application, with its letter), ``reply`` and ``decline`` are the
    applicant's, ``viewed``, ``message`` and the states the employer's. *seen*: by the applicant.
    """

    number: int
    at: float
    kind: str
    text: str | None
    seen: bool = False

    @property
    def message_id(self) -> str:
        """The id of the message; ids grow with time, within a conversation none comes twice."""
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
    hidden: bool
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """hh.ru's id of it."""
        return str(FIRST_ID + self.number)

    @property
    def chat_id(self) -> int:
        """The only id of hh.ru's that is a number."""
        return FIRST_CHAT_ID + self.number

    @cached_property
    def state(self) -> str:
        """Where it stands."""
        kinds = [step.kind for step in self.steps if step.kind in STATES]
        return kinds[-1] if kinds else "response"

    @cached_property
    def viewed_at(self) -> float | None:
        """When the employer first looked."""
        return next((step.at for step in self.steps if step.kind == "viewed"), None)

    @cached_property
    def messages(self) -> tuple[Step, ...]:
        """What was said, the application itself first."""
        return tuple(step for step in self.steps if step.kind != "viewed")

    @cached_property
    def unread(self) -> int:
        """Messages of the employer that the applicant has not seen."""
        return sum(step.kind in FROM_EMPLOYER and not step.seen for step in self.messages)

    @property
    def updated_at(self) -> float:
        """The last message or change of state. INFERRED: that an employer looked is no update."""
        return self.messages[-1].at

    @property
    def in_a_row(self) -> int:
        """Messages of the applicant since the employer last said something."""
        count = 0
        for step in reversed(self.messages):
            if step.kind != "reply":
                break
            count += 1
        return count


def number_of(negotiation_id: str) -> int | None:
    """Which negotiation an id means, ``None`` for what cannot be an id."""
    if not negotiation_id.isascii() or not negotiation_id.isdigit() or len(negotiation_id) > 15:
        return None
    return int(negotiation_id) - FIRST_ID
