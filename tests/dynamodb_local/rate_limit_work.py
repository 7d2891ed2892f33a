"""What one process of a crowd does with a bucket. Answers are ``[granted, number]``: tokens that
remain, or the moment (ms) of the next one."""

from __future__ import annotations

import os
import time
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
    """*count* tokens asked for at one moment; how many requests each took.

    *knows*: this process has seen the bucket before, as full as it is then.
    """
    if knows:
        token_bucket.read_level("submit", UUID(owner), now=_moment(now_ms))
    answers, requests = [], []
    for _ in range(count):
        with _Counted() as counted:
            answers.append(_acquire(owner, now_ms, uuid4().hex))
        requests.append(counted.requests)
    return {"answers": answers, "requests": requests}


def spend_until_answered(owner: str, now_ms: int, count: int) -> list[Any]:
    """*count* tokens, each asked for with one id until an answer arrives."""
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
    """The true moments (ms) of grants, by a process whose clock is up to three seconds off."""
    skew = os.getpid() * 7919 % (2 * SKEW_MS) - SKEW_MS
    until, granted = time.monotonic() + seconds, []
    while time.monotonic() < until:
        asked = time.time_ns() // 1_000_000
        if _acquire(owner, asked + skew, uuid4().hex)[0]:
            granted.append(asked)
        time.sleep(pause_s)
    return granted


def _acquire(owner: str, now_ms: int, spend_id: str) -> list[Any]:
    result = token_bucket.acquire("submit", UUID(owner), spend_id=spend_id, now=_moment(now_ms))
    if isinstance(result, Granted):
        return [True, result.remaining]
    return [False, (result.next_at - EPOCH) // timedelta(milliseconds=1)]


def _moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


class _Counted:
    """Requests to AWS within the block."""

    def __enter__(self) -> _Counted:
        self.requests, self._call = 0, aws.call

        def counted(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            self.requests += 1
            return self._call(service, operation, request)

        aws.call = counted
        return self

    def __exit__(self, *_: object) -> None:
        aws.call = self._call
