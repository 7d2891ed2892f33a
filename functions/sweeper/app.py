"""Run by EventBridge every minute: notifies the workers of overdue work (applications, deletions,
raises of resumes, undelivered events, vacancies for the public feed), then tidies up and deletes
what is past its retention."""

from __future__ import annotations

from typing import Any

from ullgetthejob import bootstrap
from ullgetthejob.accounts import deleted_accounts
from ullgetthejob.applications import retention as applications_retention
from ullgetthejob.applications import sweep
from ullgetthejob.notifications import wake_up
from ullgetthejob.personal_data import deletion_request
from ullgetthejob.platform import periodic, retention, settings
from ullgetthejob.public_feed import outbox
from ullgetthejob.realtime import event_log
from ullgetthejob.resume_raises import wake_up as raises_wake_up
from ullgetthejob.saved_searches import retention as searches_retention
from ullgetthejob.vacancies import shared_answers

settings.require(
    *settings.SUBMIT_BUCKET,
    *settings.RETENTION,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.NOTIFIER_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

MOST = sweep.BATCH
NOTIFY_STEPS: dict[str, periodic.Step] = {
    **sweep.NOTIFY_STEPS,
    "accounts_notified": lambda context: event_log.notify_unserved(
        connection=context.connection, most=MOST
    ),
    "deletions_notified": lambda context: deletion_request.notify_due(context, most=MOST),
    "notifications_notified": lambda context: wake_up.notify_due(
        connection=context.connection, now=context.now(), most=MOST
    ),
    "raises_notified": lambda context: raises_wake_up.notify_due(context, most=MOST),
    "public_feed_notified": lambda context: outbox.notify_due(
        connection=context.connection, now=context.now()
    ),
}
TIDY_STEPS: dict[str, periodic.Step] = {
    **sweep.TIDY_STEPS,
    "events_forgotten": retention.in_batches(event_log.delete_old, most=MOST),
    "answers_forgotten": retention.in_batches(shared_answers.delete_old, most=MOST),
    "notifications_forgotten": retention.in_batches(wake_up.delete_ended, most=MOST),
    "feed_forgotten": retention.in_batches(outbox.delete_ended, most=MOST),
    "deleted_forgotten": retention.in_batches(deleted_accounts.delete_old, most=MOST),
    "keys_forgotten": applications_retention.delete_old_keys,
    "history_forgotten": applications_retention.delete_old_history,
    "jobs_forgotten": applications_retention.delete_unreferenced_jobs,
    "matches_forgotten": searches_retention.delete_lost_matches,
    "notified_forgotten": searches_retention.delete_old_notified,
}


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Return the count of each step. Raises :class:`periodic.StepsFailed` after the last one."""
    return periodic.handle(NOTIFY_STEPS, event, context, bootstrap.open_context, tidy=TIDY_STEPS)
