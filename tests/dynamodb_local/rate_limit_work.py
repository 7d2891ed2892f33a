"""The work of one of the parallel processes on a token bucket. Results are ``[granted, number]``:
the remaining tokens, or the moment (ms) of the next token."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from ullgetthejob.platform import aws
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import Granted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SKEW_MS = 3_000


def spend(owner: str, now_ms: int, count: int, knows: bool) -> dict[str, Any]:
    """Request *count* tokens at the same moment; return the results and the requests of each.

    *knows*: this process has read the bucket before.
    """
    if knows:
        token_bucket.read_level("submit", UUID(owner), now=_moment(now_ms))
    answers, requests = [], []
    for _ in range(count):
        with _RequestCounter() as counter:
            answers.append(_acquire(owner, now_ms, uuid4().hex))
        requests.append(counter.requests)
    return {"answers": answers, "requests": requests}


def spend_until_answered(owner: str, now_ms: int, count: int) -> list[Any]:
    """Request *count* tokens, each with the same id until a reply arrives; return the results."""
    answers = []
    for _ in range(count):
        spend_id = uuid4().hex
        while True:
            try:
                answers.append(_acquire(owner, now_ms, spend_id))
                break
            except Unavailable:
                continue
    return answers


def spend_for(owner: str, seconds: float, pause_s: float) -> list[int]:
    """Return the true moments (ms) of grants, for a clock that is up to three seconds off."""
    skew = os.getpid() * 7919 % (2 * SKEW_MS) - SKEW_MS
    until, granted = time.monotonic() + seconds, []
    while time.monotonic() < until:
        requested_at = time.time_ns() // 1_000_000
        with suppress(Unavailable):  # so many at once on a slow machine; never a token too many
            if _acquire(owner, requested_at + skew, uuid4().hex)[0]:
                granted.append(requested_at)
        time.sleep(pause_s)
    return granted


def _acquire(owner: str, now_ms: int, spend_id: str) -> list[Any]:
    result = token_bucket.acquire("submit", UUID(owner), spend_id=spend_id, now=_moment(now_ms))
    if isinstance(result, Granted):
        return [True, result.remaining]
    return [False, (result.next_at - EPOCH) // timedelta(milliseconds=1)]


def _moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


class _RequestCounter:
    """A context manager that counts the requests to AWS within the block."""

    def __enter__(self) -> _RequestCounter:
        self.requests, self._call = 0, aws.call

        def counted(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            self.requests += 1
            return self._call(service, operation, request)

        aws.call = counted
        return self

    def __exit__(self, *_: object) -> None:
        aws.call = self._call
