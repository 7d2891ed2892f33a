"""Throttles of the routes of an API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The account's, where the template declares none:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_RATE, _BURST = 10_000, 5_000


class TokenBucket:
    """A throttle of *rate* requests per second and a burst of *burst*."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Throttles:
    """A bucket per route. *own*: ``(rate, burst)`` by route key, for routes that have their own."""

    def __init__(
        self,
        rate: float | None,
        burst: int | None,
        own: Mapping[str, tuple[float | None, int | None]] | None = None,
    ) -> None:
        self._default = (_RATE if rate is None else rate, _BURST if burst is None else burst)
        self._own = own or {}
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, route_key: str) -> bool:
        """Take a token of the route; return whether there was one."""
        if route_key not in self._buckets:
            rate, burst = self._own.get(route_key, (None, None))
            self._buckets[route_key] = TokenBucket(
                self._default[0] if rate is None else rate,
                self._default[1] if burst is None else burst,
            )
        return self._buckets[route_key].take()
