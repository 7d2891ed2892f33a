"""Quartiles of the time to an answer, with applications that still wait.

Those that were answered so far answered fast: their median alone is too short. Kaplan and Meier,
"Nonparametric estimation from incomplete observations", 1958, count those that still wait for as
long as they have waited (they are "censored"): the quartile of all applications is the time by
which a quarter of them was answered, and unknown where fewer were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

QUARTILES = (0.25, 0.5, 0.75)
Hours = Mapping[int, int]  # how many applications by their whole hours


@dataclass(frozen=True)
class Quartiles:
    """Hours by which a quarter, a half and three quarters were answered; ``None``: not reached."""

    q1: int | None
    median: int | None
    q3: int | None


NONE = Quartiles(None, None, None)


def quartiles(answered: Hours) -> Quartiles:
    """Return the quartiles of what was answered: the least value at or below which the share
    lies (the inverse of the empirical distribution)."""
    return kaplan_meier(answered, {})


def kaplan_meier(answered: Hours, waiting: Hours) -> Quartiles:
    """Return the quartiles of all applications. *answered*: by the hours until the answer;
    *waiting*: by the hours without one. An application that has waited for as long as another one
    took to be answered was not answered by then."""
    at_risk = sum(answered.values()) + sum(waiting.values())
    # The share still unanswered is multiplied by (r - d) / r at each time: kept as a fraction,
    # since a share that is 0.5 must not become 0.5000000001.
    left_over, left_under = 1, 1
    found: dict[float, int] = {}
    leaving = Counter(answered) + Counter(waiting)
    for hours in sorted(leaving):
        events = answered.get(hours, 0)
        if events:
            left_over *= at_risk - events
            left_under *= at_risk
            for share in QUARTILES:
                if share not in found and 4 * left_over <= (4 - int(4 * share)) * left_under:
                    found[share] = hours
        if len(found) == len(QUARTILES) or left_over == 0:
            break
        at_risk -= leaving[hours]
    return Quartiles(*(found.get(share) for share in QUARTILES))
