"""Woken by SQS for an account: submits its due applications to hh.ru and raises its due resumes, or
deletes it."""

from typing import Any
from uuid import UUID

from ullgetthejob import bootstrap
from ullgetthejob.applications import ledger, submitter
from ullgetthejob.personal_data import deletion
from ullgetthejob.platform import queues, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.resume_raises import scheduled as raises

settings.require(
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    *settings.SUBMIT_BUCKET,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.CONNECTION_TABLE,
)


def work(payload: dict[str, str], request_id: str) -> None:
    """Submit the account's due applications, then raise its due resumes; notify again if the time
    was too short for all. Of an account that its person has deleted, continue the deletion."""
    account_id = UUID(payload["account_id"])
    with bootstrap.open_context_with_hh(Caller("core", request_id)) as context:
        if deletion.run(account_id, context):
            return
        has_more = [submitter.run(account_id, context), raises.run(account_id, context)]
    if any(has_more):
        queues.notify(ledger.QUEUE, payload)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return ``{"batchItemFailures": …}``; SQS redelivers these and finally dead-letters them."""
    return queues.process_batch(event, context, work)
