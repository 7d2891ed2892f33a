"""Run by EventBridge every minute: notifies the workers of overdue work (applications, undelivered
events, vacancies for the public feed), then cleans up."""

from __future__ import annotations

from functools import partial
from typing import Any

from ullgetthejob import bootstrap
from ullgetthejob.applications import sweep
from ullgetthejob.platform import periodic, settings
from ullgetthejob.platform.authentication import Caller
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

settings.require(
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

settings.require(
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

MOST = sweep.BATCH


STEPS: dict[str, periodic.Step] = {
    **sweep.WAKE_STEPS,
    "accounts_rung": lambda context: event_log.notify_unserved(
        connection=context.connection, most=MOST
    ),
    "public_feed_rung": lambda context: outbox.notify_due(
        connection=context.connection, now=context.now()
    ),
    **sweep.TIDY_STEPS,
    "events_forgotten": lambda context: event_log.delete_old(
        connection=context.connection, now=context.now(), most=MOST
    ),
    "answers_forgotten": lambda context: shared_answers.delete_old(
        connection=context.connection, now=context.now(), most=MOST
    ),
    "feed_forgotten": lambda context: outbox.delete_ended(
        connection=context.connection, now=context.now(), most=MOST
    ),
}


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    caller = Caller("core", str(getattr(context, "aws_request_id", "-")))
    try:
        return periodic.run(STEPS, partial(bootstrap.open_context, caller))
    finally:
        flush()
