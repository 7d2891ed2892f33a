"""Doorbells: an SQS message says who has work, never what the work is.

The row was committed before; a message that is lost, doubled or late changes nothing, because the
sweeper rings again for whatever waits. So ringing never fails a request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import settings
from ullgetthejob.platform.telemetry import count, flush, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def notify(queue: str, who: dict[str, str], *, after_s: int = 0) -> None:
    """Ring the bell of *queue* (the variable that holds its URL) for *who*, such as
    ``{"account_id": …}``; *after_s*: at most 900 seconds later."""
    from ullgetthejob.platform import aws  # brings TLS along: not for who never rings

    request: dict[str, Any] = {
        "QueueUrl": settings.text(queue),
        "MessageBody": json.dumps(who),
    }
    if after_s:
        request["DelaySeconds"] = min(after_s, 900)
    try:
        aws.call("sqs", "SendMessage", request)
    except aws.AwsError as error:
        logger.warning("a bell did not ring", queue=queue, error_type=error.code)
        count("NotificationsLost")


def process_batch(
    event: dict[str, Any], context: Any, work: Callable[[dict[str, str], str], None]
) -> dict[str, Any]:
    """Do *work* for each message of an SQS event; the answer names those that failed, which come
    again. *work* is given who rang and the invocation's id.

    A message that nobody can read is dropped: it would never become one.
    """
    request_id = str(getattr(context, "aws_request_id", ""))
    logger.append_keys(request_id=request_id)
    failed = []
    for record in event["Records"]:
        who = _content(record["body"])
        if who is None:
            logger.error("a message that nobody can read was dropped")
            continue
        try:
            work(who, request_id)
        except Exception as error:
            logger.error("work failed", **trace(error))
            count("WorkFailed")
            failed.append({"itemIdentifier": record["messageId"]})
    logger.remove_keys(["request_id"])
    flush()
    return {"batchItemFailures": failed}


def process_batch_grouped(
    event: dict[str, Any],
    context: Any,
    key: str,
    work: Callable[[list[str], str], Collection[str]],
) -> dict[str, Any]:
    """The same, for all messages at once: *work* is given what they say under *key*, each once, and
    names those that failed. If it fails itself, all did."""
    request_id = str(getattr(context, "aws_request_id", ""))
    logger.append_keys(request_id=request_id)
    rung: dict[str, list[str]] = {}  # who, and the ids of their messages
    for record in event["Records"]:
        who = (_content(record["body"]) or {}).get(key)
        if who is None:
            logger.error("a message that nobody can read was dropped")
            continue
        rung.setdefault(who, []).append(record["messageId"])
    try:
        failed = set(work(list(rung), request_id))
    except Exception as error:
        logger.error("work failed", **trace(error))
        failed = set(rung)
    if failed:
        count("WorkFailed", len(failed))
    logger.remove_keys(["request_id"])
    flush()
    again = [message for who in rung if who in failed for message in rung[who]]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}


def _content(body: str) -> dict[str, str] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
