"""Asynchronous invocation: Lambda retries an event until it succeeds or is too old.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html. Pauses are real
time, like all durations of AWS itself. Waiting events are lost when the local cloud stops; in the
cloud they are durable.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from local.functions.service import PayloadTooLarge, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.functions.service import LambdaService
    from local.template.resources import Function

RETRY_PAUSES_S = (60.0, 120.0)  # after the first error, and the second
FIRST_THROTTLE_PAUSE_S = 1.0  # doubled with each refusal
LONGEST_THROTTLE_PAUSE_S = 300.0


async def invoke_event(
    service: LambdaService,
    function: Function,
    event: bytes,
    log: Callable[[str], None],
    retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
) -> bool:
    """Invoke *function* as its ``EventInvokeConfig`` says; return whether an attempt succeeded.

    *log* is called with the outcome of each attempt.
    """
    config = function.event_invoke
    request_id = str(uuid.uuid4())
    expires_at = time.monotonic() + config.maximum_age_s
    throttle_pause_s, errors = FIRST_THROTTLE_PAUSE_S, 0
    while True:
        begun = time.monotonic()
        try:
            result = await service.invoke(function.logical_id, event, request_id=request_id)
        except Throttled:
            outcome, pause_s = "throttled", throttle_pause_s
            throttle_pause_s = min(throttle_pause_s * 2, LONGEST_THROTTLE_PAUSE_S)
        except PayloadTooLarge:
            log("the event is too large")
            return False
        else:
            took = f"{(time.monotonic() - begun) * 1000:.0f} ms"
            if result.error is None:
                log(f"done in {took}")
                return True
            errors += 1
            outcome = f"{result.error} after {took}"
            if errors > config.retries:
                log(f"{outcome}; given up after {errors} attempts")
                return False
            pause_s = retry_pauses_s[errors - 1]
        if time.monotonic() + pause_s > expires_at:
            log(f"{outcome}; given up, too old")
            return False
        log(f"{outcome}; again in {pause_s:g} s")
        await asyncio.sleep(pause_s)
