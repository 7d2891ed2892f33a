"""Randomness that is a pure function of what it is about.

``Chance(seed, "vacancy", 42)`` gives the same answers on every machine and at every start, which
is what makes vacancy 42 of a seed always the same vacancy.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


class Chance:
    """A stream of choices that depends on *about* alone."""

    def __init__(self, *about: object) -> None:
        self.uniform = random.Random(":".join(map(str, about))).random  # noqa: S311 - no secrets here

    def happens(self, probability: float) -> bool:
        """True so often."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.uniform() * (high - low + 1))

    def between(self, low: float, high: float) -> float:
        """A number of the half-open range."""
        return low + self.uniform() * (high - low)

    def pick(self, things: Sequence[T]) -> T:
        """One of *things*."""
        return things[int(self.uniform() * len(things))]

    def some(self, things: Sequence[T], count: int) -> list[T]:
        """*count* different ones of *things* (or all, if there are fewer), in random order."""
        left = list(things)
        return [left.pop(int(self.uniform() * len(left))) for _ in range(min(count, len(left)))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """A key of *weights*, as often as its weight says."""
        point = self.uniform() * sum(weights.values())
        for thing, weight in weights.items():
            point -= weight
            if point < 0:
                return thing
        return thing
