"""Rung by SQS for an account: makes all of its applications that are due."""

from typing import Any
from uuid import UUID

from ullgetthejob.applications import ledger, submitter
from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock, postgres, queues


def work(who: dict[str, str], request_id: str) -> None:
    """Do what is due for the account; ring again if there was no time for all of it."""
    with postgres.session() as connection:
        left = submitter.run(
            UUID(who["account_id"]),
            hh=client(),
            connection=connection,
            clock=clock.now,
            request_id=request_id,
        )
    if left:
        queues.notify(ledger.QUEUE, who)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{"batchItemFailures": …}``: what failed comes again; in the end it is put aside."""
    return queues.process_batch(event, context, work)
