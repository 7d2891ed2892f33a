"""Rung by SQS for accounts: posts what is new to their sockets."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from ullgetthejob.platform import clock, postgres, queues
from ullgetthejob.realtime import broadcaster


def work(account_ids: list[str], _request_id: str) -> Collection[str]:
    """Serve the sockets of all of these accounts at once; those that failed."""
    with postgres.session() as connection:
        failed = broadcaster.run(
            {UUID(account_id) for account_id in account_ids},
            connection=connection,
            clock=clock.now,
        )
    return {str(account_id) for account_id in failed}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{"batchItemFailures": …}``: what failed comes again; in the end it is put aside."""
    return queues.process_batch_grouped(event, context, "account_id", work)
