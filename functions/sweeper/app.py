"""Run by EventBridge every minute: rings again for what was left waiting: applications, events that
sockets lack, vacancies for the public feed."""

from typing import Any

from ullgetthejob.applications.sweep import AT_ONCE, sweep
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.realtime import events, public_feed


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """How much there was to do."""
    now = clock.now()
    with postgres.session() as connection:
        unserved, old_events = events.sweep(connection=connection, now=now, most=AT_ONCE)
        feed_due, old_rows = public_feed.sweep(connection=connection, now=now, most=AT_ONCE)
        swept = sweep(
            connection=connection,
            now=now,
            request_id=str(getattr(context, "aws_request_id", "-")),
        )
    flush()
    return {
        **vars(swept),
        "accounts_rung": unserved,
        "public_feed_rung": feed_due,
        "forgotten": old_events + old_rows,
    }
