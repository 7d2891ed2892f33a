"""The local SQS: moto's queues, with serialized requests and long polls that sleep."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from moto.sqs import models
from moto.sqs.exceptions import InvalidParameterValue
from moto.sqs.models import Message, sqs_backends

from local.template.cloudformation import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from moto.sqs.models import Queue as MotoQueue
    from moto.sqs.models import SQSBackend

    from local.template.resources import Queue

BATCH_LIMIT = 10  # messages in one request


def create_queues(queues: Iterable[Queue]) -> None:
    """Create *queues*, then their redrive policies."""
    backend = sqs_backends[ACCOUNT_ID][REGION]
    all_queues = list(queues)
    for queue in all_queues:
        attributes: dict[str, Any] = dict(queue.attributes)
        backend.create_queue(queue.name, **attributes)
    for queue in all_queues:
        if queue.dead_letter_arn is not None:
            redrive = {
                "deadLetterTargetArn": queue.dead_letter_arn,
                "maxReceiveCount": queue.max_receive_count,
            }
            backend.set_queue_attributes(queue.name, {"RedrivePolicy": json.dumps(redrive)})


def list_messages() -> dict[str, list[dict[str, Any]]]:
    """Return the messages of each queue by its name, the oldest first, without receiving them.

    ``state`` is visible, in_flight or delayed; ``sent_at`` is in ms since the epoch.
    """
    now_ms = _now_ms()
    return {
        name: [_describe(message, now_ms) for message in list(queue._messages)]
        for name, queue in sqs_backends[ACCOUNT_ID][REGION].queues.items()
    }


def _describe(message: Message, now_ms: float) -> dict[str, Any]:
    state = "visible"
    if message.delayed_until > now_ms:
        state = "delayed"
    elif message.visible_at > now_ms:
        state = "in_flight"
    return {
        "id": message.id,
        "body": message.body,
        "sent_at": message.sent_timestamp,
        "received": message.approximate_receive_count,
        "state": state,
    }


_SENT = {"MessageBody", "DelaySeconds", "MessageAttributes"}
_LONGEST_DELAY_S = 900


def send_message(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the response to a plain SendMessage, or ``None`` to leave it to moto, whose router
    takes more CPU than its models."""
    queue_name = str(request.pop("QueueUrl", "")).rpartition("/")[2]
    return _send(queue_name, request) if _is_plain(queue_name, request) else None


def send_message_batch(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the response to a plain SendMessageBatch, or ``None`` to leave it to moto."""
    queue_name = str(request.get("QueueUrl", "")).rpartition("/")[2]
    entries = {entry.pop("Id", ""): entry for entry in request.get("Entries", [])}
    if not 0 < len(entries) <= BATCH_LIMIT or len(entries) < len(request["Entries"]):
        return None
    if not all(_is_plain(queue_name, entry) for entry in entries.values()):
        return None
    return {
        "Successful": [{"Id": id_, **_send(queue_name, entry)} for id_, entry in entries.items()],
        "Failed": [],
    }


SENDERS = {  # by the value of X-Amz-Target
    "AmazonSQS.SendMessage": send_message,
    "AmazonSQS.SendMessageBatch": send_message_batch,
}


def _is_plain(queue_name: str, message: dict[str, Any]) -> bool:
    return (
        message.keys() <= _SENT
        and bool(message.get("MessageBody"))
        and 0 <= int(message.get("DelaySeconds", 0)) <= _LONGEST_DELAY_S
        and queue_name in sqs_backends[ACCOUNT_ID][REGION].queues
        and all(
            value.keys() == {"DataType", "StringValue"} and value["DataType"] == "String"
            for value in message.get("MessageAttributes", {}).values()
        )
    )


def _send(queue_name: str, message: dict[str, Any]) -> dict[str, Any]:
    sent = sqs_backends[ACCOUNT_ID][REGION].send_message(
        queue_name,
        message["MessageBody"],
        message_attributes=message.get("MessageAttributes", {}),
        delay_seconds=message.get("DelaySeconds"),
    )
    response = {"MessageId": sent.id, "MD5OfMessageBody": sent.body_md5}
    if sent.message_attributes:
        response["MD5OfMessageAttributes"] = sent.attribute_md5
    return response


_CHANGING_METHODS = (
    *("send_message", "send_message_batch", "purge_queue"),
    *("delete_message", "delete_message_batch"),
    *("change_message_visibility", "change_message_visibility_batch"),
)


def serialize_requests(backend: SQSBackend) -> None:
    """Let requests change the queues one at a time, and long polls sleep until their queue changes.

    In moto two threads could receive the same message, and a message sent while another is deleted
    could be lost; its long polls wake every second.
    """
    lock = threading.RLock()
    changed: defaultdict[str, threading.Condition] = defaultdict(  # by name of a queue
        lambda: threading.Condition(lock)
    )
    receive_now = backend.receive_message

    def serialize(method: Callable[..., Any]) -> Callable[..., Any]:
        def serialized(queue_name: str, *arguments: Any, **keywords: Any) -> Any:
            with lock:
                try:
                    return method(queue_name, *arguments, **keywords)
                finally:
                    changed[queue_name].notify_all()

        return serialized

    for name in _CHANGING_METHODS:
        setattr(backend, name, serialize(getattr(backend, name)))

    def receive(
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        queue = backend.get_queue(queue_name)
        end = time.monotonic() + wait_seconds_timeout
        with lock:
            while True:
                _delete_expired(queue)
                before = len(queue._messages)
                found = receive_now(
                    queue_name, count, 0, visibility_timeout, message_attribute_names
                )
                if len(queue._messages) < before and queue.dead_letter_queue is not None:
                    changed[queue.dead_letter_queue.name].notify_all()
                left_s = end - time.monotonic()
                if found or left_s <= 0:
                    return found
                changed[queue_name].wait(min(left_s, _next_visible_s(queue)))

    backend.receive_message = receive  # type: ignore[method-assign]


def replace_slow_parts(backend: SQSBackend) -> None:
    """Replace what takes moto longer the more messages wait."""
    # moto makes two datetimes for each look at the clock, and looks twice at each message.
    models.unix_time_millis = _now_ms  # type: ignore[attr-defined, assignment]
    backend.send_message = partial(_send_message, backend)  # type: ignore[method-assign]


def _send_message(
    backend: SQSBackend,
    queue_name: str,
    message_body: str,
    message_attributes: dict[str, Any] | None = None,
    delay_seconds: int | None = None,
    **others: Any,
) -> Message:
    """Send a message as moto does, without counting those of the queue each time. The template has
    no FIFO queue: *others* are for those."""
    queue = backend.get_queue(queue_name)
    delay = int(queue.delay_seconds if delay_seconds is None else delay_seconds)  # type: ignore[attr-defined]
    backend._validate_message(queue, message_body, delay)
    if delay > _LONGEST_DELAY_S:
        raise InvalidParameterValue(f"DelaySeconds must be >= 0 and <= {_LONGEST_DELAY_S}.")
    message = Message(str(uuid4()), message_body, others.get("system_attributes"))
    message.message_attributes = message_attributes or {}
    message.mark_sent(delay_seconds=delay)
    queue.add_message(message)
    return message


def _now_ms(_moment: Any = None) -> float:
    return time.time() * 1000


def _delete_expired(queue: MotoQueue) -> None:
    retention_s: int = queue.message_retention_period  # type: ignore[attr-defined]
    oldest_ms = (time.time() - retention_s) * 1000
    queue._messages = [
        message for message in queue._messages if (message.sent_timestamp or 0) >= oldest_ms
    ]


def _next_visible_s(queue: MotoQueue) -> float:
    """Return the seconds until a message that is hidden now becomes visible, or infinity."""
    now_ms = _now_ms()
    moments = (max(message.visible_at, message.delayed_until) for message in queue._messages)
    waits_ms = (moment - now_ms for moment in moments if moment >= now_ms)
    return min(waits_ms, default=float("inf")) / 1000 + 0.001
