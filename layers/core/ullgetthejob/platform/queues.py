"""Wake-ups: SQS messages that name an account or a query with work, never the work itself.

The row is committed before the message is sent; a message that is lost, duplicated or late changes
nothing, because the sweeper notifies again for all waiting rows. So sending never fails a request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import invocation, tracing
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ullgetthejob.platform.settings import Setting


def notify(queue: Setting[str], payload: dict[str, str], *, after_s: int = 0) -> None:
    """Send a wake-up to *queue* (the setting with its URL) with *payload*, such as
    ``{"account_id": …}``; it is delivered *after_s* seconds later, at most 900."""
    from ullgetthejob.platform import aws  # imports TLS, which most cold starts do not need

    url = queue()
    request: dict[str, Any] = {"QueueUrl": url, "MessageBody": json.dumps(payload)}
    if after_s:
        request["DelaySeconds"] = min(after_s, 900)
    with tracing.span("message", url.rpartition("/")[2]):
        if position := tracing.position():
            value = {"DataType": "String", "StringValue": position.traceparent}
            request["MessageAttributes"] = {"traceparent": value}
        try:
            aws.call("sqs", "SendMessage", request)
        except aws.AwsError as error:
            logger.warning("a wake-up was not sent", queue=queue.name, error_type=error.code)
            count("NotificationsLost")


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
