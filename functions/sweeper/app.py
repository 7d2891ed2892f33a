"""Run by EventBridge every minute: wakes what was left waiting (applications, events that sockets
lack, vacancies for the public feed), then tidies up."""

from typing import Any

from ullgetthejob.applications import sweep
from ullgetthejob.platform import clock, periodic
from ullgetthejob.platform.telemetry import flush
from ullgetthejob.public_feed import outbox
from ullgetthejob.realtime import event_log
from ullgetthejob.vacancies import shared_answers

MOST = sweep.BATCH


def handler(_event: dict[str, Any], context: object) -> dict[str, int]:
    """How much each step had to do. Raises :class:`periodic.StepsFailed` when all were tried."""
    now = clock.now()
    request_id = str(getattr(context, "aws_request_id", "-"))
    steps: dict[str, periodic.Step] = {
        **sweep.wake_steps(now=now),
        "accounts_rung": lambda one: event_log.notify_unserved(connection=one, most=MOST),
        "public_feed_rung": lambda one: outbox.notify_due(connection=one, now=now),
        **sweep.tidy_steps(now=now, request_id=request_id),
        "events_forgotten": lambda one: event_log.delete_old(connection=one, now=now, most=MOST),
        "answers_forgotten": lambda one: shared_answers.delete_old(
            connection=one, now=now, most=MOST
        ),
        "feed_forgotten": lambda one: outbox.delete_ended(connection=one, now=now, most=MOST),
    }
    try:
        return periodic.run(steps)
    finally:
        flush()
