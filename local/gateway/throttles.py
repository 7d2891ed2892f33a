"""How often the routes of an API may be used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Of an account, where the template says nothing:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_RATE, _BURST = 10_000, 5_000


class TokenBucket:
    """A throttle: *rate* requests a second, *burst* at once."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Spend a token if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Throttles:
    """A bucket for each route. *own*: ``(rate, burst)`` by route key, where a route has its own."""

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
        """Spend a token of the route if there is one."""
        if route_key not in self._buckets:
            rate, burst = self._own.get(route_key, (None, None))
            self._buckets[route_key] = TokenBucket(
                self._default[0] if rate is None else rate,
                self._default[1] if burst is None else burst,
            )
        return self._buckets[route_key].take()
