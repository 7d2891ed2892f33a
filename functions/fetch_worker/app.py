"""Rung by SQS for a search: goes on with its run, tells the news, reads details."""

from typing import Any
from uuid import UUID

from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock, postgres, queues
from ullgetthejob.saved_searches import run_store, run_worker


def work(who: dict[str, str], request_id: str) -> None:
    """Do what is due for the search; ring again if there was no time for all of it."""
    with postgres.session() as connection:
        left = run_worker.run_query(
            UUID(who["query_id"]),
            hh=client(background=True),
            connection=connection,
            clock=clock.now,
            request_id=request_id,
        )
    if left:
        queues.notify(run_store.QUEUE, who)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{"batchItemFailures": …}``: what failed comes again; in the end it is put aside."""
    return queues.process_batch(event, context, work)
