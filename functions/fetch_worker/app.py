"""Woken by SQS for a canonical search: continues its run, notifies accounts, reads details; or
reads vacancies that were requested."""

from typing import Any
from uuid import UUID

from ullgetthejob import bootstrap
from ullgetthejob.platform import queues, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.saved_searches import run_store, run_worker
from ullgetthejob.vacancies import requested_details

settings.require(
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.BROADCASTER_QUEUE_URL,
    settings.FETCH_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
    settings.FETCH_DETAILS_PER_RUN,
)


def work(payload: dict[str, str], request_id: str) -> None:
    """Do the due work of the search; notify again if the time was too short for all. Or read the
    vacancies that were requested."""
    with bootstrap.open_context_with_hh(Caller("core", request_id), background=True) as context:
        if "vacancy_ids" in payload:
            requested_details.read_requested(payload, context)
            return
        has_more = run_worker.run_query(UUID(payload["query_id"]), context)
    if has_more:
        queues.notify(run_store.QUEUE, payload)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return ``{"batchItemFailures": …}``; SQS redelivers these and finally dead-letters them."""
    return queues.process_batch(event, context, work)
