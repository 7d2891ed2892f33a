"""Run by EventBridge every minute: notifies the workers of overdue work (applications, undelivered
events, vacancies for the public feed), then cleans up."""

from typing import Any

from ullgetthejob.applications import sweep
from ullgetthejob.platform import clock, periodic, settings
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.public_feed import outbox
from ullgetthejob.realtime import event_log
from ullgetthejob.vacancies import shared_answers

settings.require(
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

MOST = sweep.BATCH


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    now = clock.now()
    request_id = str(getattr(context, "aws_request_id", "-"))
    steps: dict[str, periodic.Step] = {
        **sweep.wake_steps(now=now),
        "accounts_rung": lambda pg: event_log.notify_unserved(connection=pg, most=MOST),
        "public_feed_rung": lambda pg: outbox.notify_due(connection=pg, now=now),
        **sweep.tidy_steps(now=now, request_id=request_id),
        "events_forgotten": lambda pg: event_log.delete_old(connection=pg, now=now, most=MOST),
        "answers_forgotten": lambda pg: shared_answers.delete_old(
            connection=pg, now=now, most=MOST
        ),
        "feed_forgotten": lambda pg: outbox.delete_ended(connection=pg, now=now, most=MOST),
    }
    try:
        return periodic.run(steps)
    finally:
        flush()
