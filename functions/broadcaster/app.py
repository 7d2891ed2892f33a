"""Woken by SQS for accounts: posts their new events to their WebSocket connections."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from ullgetthejob.platform import clock, postgres, queues, settings
from ullgetthejob.realtime import broadcaster

settings.require(
    settings.CONNECTION_TABLE,
    settings.BROADCASTER_QUEUE_URL,
    settings.NOTIFIER_QUEUE_URL,
    settings.WEBSOCKET_API_ENDPOINT,
)


def work(account_ids: list[str], _request_id: str) -> Collection[str]:
    """Serve the connections of all these accounts concurrently; return the accounts that failed."""
    with postgres.session() as connection:
        failed = broadcaster.run(
            {UUID(account_id) for account_id in account_ids},
            connection=connection,
            clock=clock.now,
        )
    return {str(account_id) for account_id in failed}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return ``{"batchItemFailures": …}``; SQS redelivers these and finally dead-letters them."""
    return queues.process_batch_grouped(event, context, "account_id", work)
