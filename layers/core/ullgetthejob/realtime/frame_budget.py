"""How much one connection may say: a token bucket for each, kept in this environment's memory.

A client needs a frame to begin, a few to choose topics, and a ping every ten minutes. API Gateway's
throttle is one for all connections, so that a flood on one takes the others' share; here the flood
ends with its connection. Memory is enough: a frame costs no write, and as few environments share a
flood as the function may have at once, each of which comes to the same verdict.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 40
REFILL_INTERVAL_S = 1.0  # one more
CLOSE_INTERVAL_S = 5.0  # where frames still come, the first try to close it was lost
MAX_REMEMBERED = 10_000

Verdict = Literal["within", "over", "ignored"]


class FrameBudget:
    """The buckets (GCRA: the moment at which each is full again). *seconds*: a steady clock."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._full_at: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}

    def spend(self, connection_id: str) -> Verdict:
        """Count one frame: it is *within* the budget; or *over* it, and the connection is to be
        closed; or *ignored*, as that was done a moment ago."""
        now = self._seconds()
        if now < self._closed_until.get(connection_id, now):
            return "ignored"
        full_at = max(self._full_at.get(connection_id, now), now) + REFILL_INTERVAL_S
        if full_at <= now + BURST * REFILL_INTERVAL_S:
            self._remember(self._full_at, connection_id, full_at, now)
            return "within"
        self._remember(self._closed_until, connection_id, now + CLOSE_INTERVAL_S, now)
        return "over"

    def _remember(self, moments: dict[str, float], id: str, until: float, now: float) -> None:
        if len(moments) >= MAX_REMEMBERED:
            for one in [one for one, moment in moments.items() if moment <= now]:
                del moments[one]
            if len(moments) >= MAX_REMEMBERED:  # all of them speak: begin anew
                moments.clear()
        moments[id] = until
