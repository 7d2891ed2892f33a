"""How many frames a connection may send: a token bucket each, in this environment's memory.

A client needs a frame to begin, a few to choose topics, and a ping every ten minutes. API Gateway's
throttle is shared by all connections, so a flood on one takes the others' share; here a flood ends
its own connection. Memory is enough: a frame costs no write, and a flood is shared by no more
environments than the function may have, each of which reaches the same verdict.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 40
REFILL_INTERVAL_S = 1.0  # for one frame
CLOSE_INTERVAL_S = 5.0  # frames that arrive after this show that the close was lost
MAX_REMEMBERED = 10_000

Verdict = Literal["within", "over", "ignored"]


class FrameBudget:
    """The buckets (GCRA: the time at which each is full again). *seconds*: a monotonic clock."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._full_at: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}

    def spend(self, connection_id: str) -> Verdict:
        """Count one frame and return ``within`` the budget, ``over`` it (close the connection), or
        ``ignored`` (it was closed a moment ago)."""
        now = self._seconds()
        if now < self._closed_until.get(connection_id, now):
            return "ignored"
        full_at = max(self._full_at.get(connection_id, now), now) + REFILL_INTERVAL_S
        if full_at <= now + BURST * REFILL_INTERVAL_S:
            self._remember(self._full_at, connection_id, full_at, now)
            return "within"
        self._remember(self._closed_until, connection_id, now + CLOSE_INTERVAL_S, now)
        return "over"

    def _remember(
        self, deadlines: dict[str, float], connection_id: str, until: float, now: float
    ) -> None:
        if len(deadlines) >= MAX_REMEMBERED:
            for expired in [key for key, deadline in deadlines.items() if deadline <= now]:
                del deadlines[expired]
            if len(deadlines) >= MAX_REMEMBERED:  # all of them are active: start over
                deadlines.clear()
        deadlines[connection_id] = until
