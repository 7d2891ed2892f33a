"""One process that spends tokens with a limiter, as it is told on its standard input.

Shared by both sides, each in its own environment: nothing but Python is imported here.

    {"work": "steady", "key": …, "count": n}              n tokens, one after another
    {"work": "demand", "key": …, "start": t, "seconds": s}  as many as there are, from t on

A line of JSON each, and one as the answer.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

# A bucket that never runs out, and one that does: tokens at once, tokens a second.
ENDLESS = (1_000_000, 100)
SCARCE = (10, 50)


class Limiter(Protocol):
    """What is measured. *requests*: how many it has sent to DynamoDB."""

    requests: int

    def acquire(self, key: str, burst: int, per_second: int) -> float | None:
        """Spend one of *key*'s tokens: ``None``, or how many seconds to wait for the next one."""


def serve(limiter: Limiter) -> None:
    """Work until nothing more comes."""
    works: dict[str, Callable[..., dict[str, Any]]] = {"steady": steady, "demand": demand}
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(works[order.pop("work")](limiter, **order)), flush=True)


def steady(limiter: Limiter, key: str, count: int) -> dict[str, Any]:
    """Tokens that are there, on a bucket in use: how long each took, and how many requests."""
    limiter.acquire(key, *ENDLESS)
    before, taken = limiter.requests, []
    for _ in range(count):
        begun = time.perf_counter()
        wait = limiter.acquire(key, *ENDLESS)
        taken.append(time.perf_counter() - begun)
        assert wait is None
    return {"seconds": taken, "requests": limiter.requests - before}


def demand(limiter: Limiter, key: str, start: float, seconds: float) -> dict[str, Any]:
    """All that can be had of a bucket that was full at *start*, by a caller who always wants more
    and waits for as long as the limiter says."""
    limiter.acquire(f"{key}-warm", *SCARCE)
    time.sleep(max(0.0, start - time.time()))
    before, granted = limiter.requests, 0
    while time.time() < start + seconds:
        wait = limiter.acquire(key, *SCARCE)
        if wait is None:
            granted += 1
        else:
            time.sleep(max(0.0, min(wait, start + seconds - time.time())))
    return {"granted": granted, "requests": limiter.requests - before}
