"""Run by EventBridge every minute: begins the runs of due canonical searches."""

from functools import partial
from typing import Any

from ullgetthejob import bootstrap
from ullgetthejob.platform import periodic, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.saved_searches import scheduler

settings.require(settings.FETCH_QUEUE_URL, settings.FETCH_DETAILS_PER_RUN)

settings.require(settings.FETCH_QUEUE_URL, settings.FETCH_DETAILS_PER_RUN)

settings.require(settings.FETCH_QUEUE_URL, settings.FETCH_DETAILS_PER_RUN)


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    caller = Caller("core", str(getattr(context, "aws_request_id", "-")))
    try:
        return periodic.run(scheduler.steps(), partial(bootstrap.open_context, caller))
    finally:
        flush()
