"""Run by EventBridge every minute: rings again for the applications that were left waiting."""

from typing import Any

from ullgetthejob.applications.sweep import sweep
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.telemetry import flush


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """How much there was to do."""
    with postgres.session() as connection:
        swept = sweep(
            connection=connection,
            now=clock.now(),
            request_id=str(getattr(context, "aws_request_id", "-")),
        )
    flush()
    return vars(swept)
