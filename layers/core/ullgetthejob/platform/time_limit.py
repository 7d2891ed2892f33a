"""The time that an HTTP request has left, for calls to other systems that could outlast it.

API Gateway's and Lambda's own errors say nothing, and a function that is stopped in a call cannot
store what came of it. So a call that a request waits for ends before the function does.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVE_S = 2.0  # for what follows the last call: storing its result, the response

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)  # of time.monotonic()


@contextmanager
def of_invocation(context: Any) -> Iterator[None]:
    """Limit the calls within this context to the time that the Lambda function has left; a context
    that does not tell it sets no limit."""
    left_ms = getattr(context, "get_remaining_time_in_millis", lambda: math.inf)()
    token = _ends_at.set(time.monotonic() + left_ms / 1000 - RESERVE_S)
    try:
        yield
    finally:
        _ends_at.reset(token)


def remaining_s() -> float:
    """Return for how many seconds a call may last; infinity outside of requests, and never less
    than 0."""
    return max(0.0, _ends_at.get() - time.monotonic())
