"""Woken by SQS: posts new vacancies to the BFF, which shows them to all users."""

from typing import Any

from ullgetthejob import bootstrap
from ullgetthejob.platform import queues, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.public_feed import outbox, publisher

settings.require(
    settings.ORCHESTRATOR_SECRET,
    settings.LEASE_TABLE,
    settings.PUBLIC_FEED_QUEUE_URL,
    settings.API_BASE_URL,
    settings.BFF_BROADCAST,
)

settings.require(
    settings.ORCHESTRATOR_SECRET,
    settings.LEASE_TABLE,
    settings.PUBLIC_FEED_QUEUE_URL,
    settings.API_BASE_URL,
    settings.BFF_BROADCAST,
)

settings.require(
    settings.ORCHESTRATOR_SECRET,
    settings.LEASE_TABLE,
    settings.PUBLIC_FEED_QUEUE_URL,
    settings.API_BASE_URL,
    settings.BFF_BROADCAST,
)


def work(_payload: dict[str, str], request_id: str) -> None:
    """Post the due vacancies; notify again if the time was too short for all."""
    with bootstrap.open_context(Caller("core", request_id)) as context:
        has_more = publisher.run(context)
    if has_more:
        outbox.notify()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return ``{"batchItemFailures": …}``; SQS redelivers these and finally dead-letters them."""
    return queues.process_batch(event, context, work)
