"""Run by EventBridge every minute: begins the runs of due canonical searches."""

from typing import Any

from ullgetthejob.platform import clock, periodic, settings
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.saved_searches import scheduler

settings.require(settings.FETCH_QUEUE_URL, settings.FETCH_DETAILS_PER_RUN)


def handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    try:
        return periodic.run(scheduler.steps(clock=clock.now))
    finally:
        flush()
