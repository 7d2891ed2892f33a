"""Wake-ups: SQS messages that name an account or a query with work, never the work itself.

The row is committed before the message is sent; a message that is lost, duplicated or late changes
nothing, because the sweeper notifies again for all waiting rows. So sending never fails a request.
"""

from __future__ import annotations

import json
import math
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import invocation, tracing
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    from ullgetthejob.platform.settings import Setting

BATCH_LIMIT = 10  # SQS: messages in one SendMessageBatch


def notify(queue: Setting[str], payload: dict[str, str], *, after_s: int = 0) -> None:
    """Send a wake-up to *queue* (the setting with its URL) with *payload*, such as
    ``{"account_id": …}``; it is delivered *after_s* seconds later, at most 900."""
    from ullgetthejob.platform import aws  # imports TLS, which most cold starts do not need

    with tracing.span("message", _name(queue)):
        message = _compose(payload)
        if after_s:
            message["DelaySeconds"] = min(after_s, 900)
        try:
            aws.call("sqs", "SendMessage", {"QueueUrl": queue(), **message})
        except aws.AwsError as error:
            _report_lost(queue, error.code, 1)


def notify_accounts(queue: Setting[str], account_ids: Iterable[UUID]) -> None:
    """Send a wake-up for each account to *queue*."""
    notify_each(queue, ({"account_id": str(account_id)} for account_id in account_ids))


def notify_each(
    queue: Setting[str], payloads: Iterable[dict[str, str]], *, deadline: float = math.inf
) -> int:
    """Send a wake-up with each payload to *queue*, ten in a call; return how many there were by
    *deadline* (of :func:`time.monotonic`)."""
    waiting, notified = iter(payloads), 0
    while time.monotonic() < deadline and (batch := list(islice(waiting, BATCH_LIMIT))):
        _send(queue, batch)
        notified += len(batch)
    return notified


def _send(queue: Setting[str], payloads: list[dict[str, str]]) -> None:
    from ullgetthejob.platform import aws

    with tracing.span("message", _name(queue)) as span:
        span.note(messages=len(payloads))
        entries = [
            {"Id": str(number), **_compose(payload)} for number, payload in enumerate(payloads)
        ]
        request = {"QueueUrl": queue(), "Entries": entries}
        try:
            refused = aws.call("sqs", "SendMessageBatch", request).get("Failed", [])
        except aws.AwsError as error:
            _report_lost(queue, error.code, len(entries))
            return
        if refused:
            _report_lost(queue, str(refused[0]["Code"]), len(refused))


def _compose(payload: dict[str, str]) -> dict[str, Any]:
    """Return what a message of SQS has of *payload*, with the position in the current trace."""
    message: dict[str, Any] = {"MessageBody": json.dumps(payload)}
    if position := tracing.position():
        value = {"DataType": "String", "StringValue": position.traceparent}
        message["MessageAttributes"] = {"traceparent": value}
    return message


def _name(queue: Setting[str]) -> str:
    return queue().rpartition("/")[2]


def _report_lost(queue: Setting[str], code: str, number: int) -> None:
    logger.warning("wake-ups were not sent", queue=queue.name, error_type=code, messages=number)
    count("NotificationsLost", number)


def process_batch(
    event: dict[str, Any], context: Any, work: Callable[[dict[str, str], str], None]
) -> dict[str, Any]:
    """Call *work* for each message of an SQS event, with its payload and the invocation's id.

    Returns the partial batch response, which names the failed messages: SQS delivers them again. An
    unreadable message is dropped, since a redelivery would not make it readable.
    """
    request_id = str(getattr(context, "aws_request_id", ""))
    failed = []
    with invocation.of_messages(event["Records"], context) as current:
        for record in event["Records"]:
            payload = _payload_of(record["body"])
            if payload is None:
                logger.error("an unreadable message was dropped")
                continue
            try:
                with tracing.continued(invocation.parent_of(record)):
                    work(payload, request_id)
            except Exception as error:
                logger.error("work failed", **trace(error))
                count("WorkFailed")
                failed.append({"itemIdentifier": record["messageId"]})
        current.result = {"failed": len(failed)}
    return {"batchItemFailures": failed}


def process_batch_grouped(
    event: dict[str, Any],
    context: Any,
    key: str,
    work: Callable[[list[str], str], Collection[str]],
) -> dict[str, Any]:
    """Call *work* once for all messages of an SQS event, with the distinct values that they have
    under *key* and the invocation's id; it returns the values that failed.

    Returns the partial batch response. If *work* raises, all messages have failed.
    """
    request_id = str(getattr(context, "aws_request_id", ""))
    message_ids: dict[str, list[str]] = {}  # by value of the key
    with invocation.of_messages(event["Records"], context) as current:
        for record in event["Records"]:
            value = (_payload_of(record["body"]) or {}).get(key)
            if value is None:
                logger.error("an unreadable message was dropped")
                continue
            message_ids.setdefault(value, []).append(record["messageId"])
        try:
            failed = set(work(list(message_ids), request_id))
        except Exception as error:
            logger.error("work failed", **trace(error))
            failed = set(message_ids)
        if failed:
            count("WorkFailed", len(failed))
        current.result = {"failed": len(failed)}
    return {
        "batchItemFailures": [
            {"itemIdentifier": message_id}
            for value, ids in message_ids.items()
            if value in failed
            for message_id in ids
        ]
    }


def _payload_of(body: str) -> dict[str, str] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
