"""Run by EventBridge every minute: begins the runs of searches that are due."""

from typing import Any

from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.vacancies.fetcher import tick


def handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """How much there was to do."""
    with postgres.session() as connection:
        ticked = tick(connection=connection, clock=clock.now)
    flush()
    return vars(ticked)
