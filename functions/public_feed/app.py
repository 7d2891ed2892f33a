"""Rung by SQS: posts new vacancies to the BFF, which shows them to everybody."""

from typing import Any

from ullgetthejob.platform import clock, postgres, queues
from ullgetthejob.public_feed import outbox, publisher


def work(_who: dict[str, str], request_id: str) -> None:
    """Post what is due; ring again if there was no time for all of it."""
    with postgres.session() as connection:
        left = publisher.run(connection=connection, clock=clock.now, request_id=request_id)
    if left:
        outbox.notify()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{"batchItemFailures": …}``: what failed comes again; in the end it is put aside."""
    return queues.process_batch(event, context, work)
