"""Run by EventBridge every minute: begins the runs of searches that are due."""

from typing import Any

from ullgetthejob.platform import clock, periodic
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.saved_searches import scheduler


def handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """How much each step had to do. Raises :class:`periodic.StepsFailed` when all were tried."""
    try:
        return periodic.run(scheduler.steps(clock=clock.now))
    finally:
        flush()
