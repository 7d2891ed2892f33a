"""Woken by SQS for an account: plans what its person is told of its events, and sends what is
due."""

from typing import Any
from uuid import UUID

from ullgetthejob import bootstrap
from ullgetthejob.notifications import delivery, wake_up
from ullgetthejob.platform import queues, settings
from ullgetthejob.platform.authentication import Caller

settings.require(
    *settings.USER_TOKENS,
    settings.BROADCASTER_QUEUE_URL,
    settings.EMAIL_FROM,
    settings.LEASE_TABLE,
    settings.NOTIFIER_QUEUE_URL,
    settings.ONE_TIME_TABLE,
    settings.PUBLIC_URL,
    settings.SMTP_URL,
    settings.TELEGRAM_API_URL,
    settings.TELEGRAM_BOT_TOKEN,
    settings.TOKEN_KEY_ID,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.WEBHOOK_ADDRESSES,
)


def work(payload: dict[str, str], request_id: str) -> None:
    """Plan and send for the account; notify again if the time was too short for all."""
    account_id = UUID(payload["account_id"])
    with bootstrap.open_context(Caller("core", request_id)) as context:
        has_more = delivery.run(account_id, context)
    if has_more:
        wake_up.notify(account_id)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return ``{"batchItemFailures": …}``; SQS redelivers these and finally dead-letters them."""
    return queues.process_batch(event, context, work)
