"""Randomness that is a pure function of what it is about.

``SeededRandom(seed, "vacancy", 42)`` makes the same choices on every machine and at every start,
so vacancy 42 of a seed is always the same vacancy.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


class SeededRandom:
    """A stream of choices that depends on *about* alone."""

    def __init__(self, *about: object) -> None:
        self.uniform = random.Random(":".join(map(str, about))).random  # noqa: S311 - no secrets here

    def happens(self, probability: float) -> bool:
        """Return ``True`` with *probability* (0..1)."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from *low* to *high*, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def between(self, low: float, high: float) -> float:
        """Return a number of the half-open range ``[low, high)``."""
        return low + self.uniform() * (high - low)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of *choices*."""
        return choices[int(self.uniform() * len(choices))]

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """Return *count* different *choices* (or all, if there are fewer), in random order."""
        left = list(choices)
        return [left.pop(int(self.uniform() * len(left))) for _ in range(min(count, len(left)))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """Return a key of *weights*, each with a probability in proportion to its weight."""
        point = self.uniform() * sum(weights.values())
        for choice, weight in weights.items():
            point -= weight
            if point < 0:
                return choice
        return choice
