"""A process that spends tokens with a limiter, controlled by its standard input.

Shared by both limiters, each in its own environment: only the standard library is imported here.

    {"work": "steady", "key": …, "count": n}              n tokens, one after another
    {"work": "demand", "key": …, "start": t, "seconds": s}  as many as available, from t on

Each command is a line of JSON, and so is its result.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

# A bucket that never runs out, and one that does: burst, tokens per second.
ENDLESS = (1_000_000, 100)
SCARCE = (10, 50)


class Limiter(Protocol):
    """The limiter that is measured. *requests*: the number of its requests to DynamoDB."""

    requests: int

    def acquire(self, key: str, burst: int, per_second: int) -> float | None:
        """Spend a token of *key* and return ``None``, or the seconds until the next token."""


def serve(limiter: Limiter) -> None:
    """Execute the commands until the end of the input."""
    works: dict[str, Callable[..., dict[str, Any]]] = {"steady": steady, "demand": demand}
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(works[command.pop("work")](limiter, **command)), flush=True)


def steady(limiter: Limiter, key: str, count: int) -> dict[str, Any]:
    """Spend available tokens of a used bucket; return the seconds of each, and the requests."""
    limiter.acquire(key, *ENDLESS)
    before, taken = limiter.requests, []
    for _ in range(count):
        begun = time.perf_counter()
        wait = limiter.acquire(key, *ENDLESS)
        taken.append(time.perf_counter() - begun)
        assert wait is None
    return {"seconds": taken, "requests": limiter.requests - before}


def demand(limiter: Limiter, key: str, start: float, seconds: float) -> dict[str, Any]:
    """Spend as many tokens as possible of a bucket that is full at *start*, and wait as long as the
    limiter says; return the grants and the requests."""
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
