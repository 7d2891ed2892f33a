"""Run by EventBridge every minute: begins the runs of due canonical searches."""

from typing import Any

from ullgetthejob import bootstrap
from ullgetthejob.platform import periodic, settings
from ullgetthejob.saved_searches import scheduler

settings.require(settings.FETCH_QUEUE_URL, settings.FETCH_DETAILS_PER_RUN)


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    return periodic.handle(scheduler.steps(), event, context, bootstrap.open_context)
