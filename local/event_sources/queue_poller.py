"""Lambda's event source mapping for SQS: polls a queue, and invokes a function with batches.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html. As in the cloud: messages are received
only while an invocation could begin, deleted when the function succeeded (or did not name them in
``batchItemFailures``), and left to their visibility timeout otherwise; after ``maxReceiveCount``
receives SQS moves them to the dead-letter queue. A throttled batch is retried until its messages
become visible. Unlike in the cloud: without ``MaximumConcurrency``, no more batches run at once
than Lambda starts with, and polling does not slow down when the function fails.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import TYPE_CHECKING, Any

from local.event_sources.sqs import LONGEST_WAIT_S, SqsUnavailable
from local.functions.service import PayloadTooLarge, Throttled
from local.template.cloudformation import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.event_sources.sqs import Sqs
    from local.functions.service import LambdaService
    from local.template.resources import Queue, QueueSource

FIRST_CONCURRENCY = 5
_ENOUGH_BYTES = 2_000_000  # of bodies in a batch: an event is 6 MB at most
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

_Message = dict[str, Any]


class QueuePoller:
    """Invokes the function of *source* with messages of *queue*; *log* is called with the outcome
    of each batch."""

    def __init__(
        self,
        source: QueueSource,
        queue: Queue,
        service: LambdaService,
        sqs: Sqs,
        log: Callable[[str], None],
    ) -> None:
        self._source = source
        self._queue = queue
        self._service = service
        self._sqs = sqs
        self._log = log
        self._places = asyncio.Semaphore(source.maximum_concurrency or FIRST_CONCURRENCY)
        self._batches: set[asyncio.Task[None]] = set()
        self.done = self.failed = 0  # messages

    async def run(self) -> None:
        """Poll and invoke until cancelled; running batches are abandoned then."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                await self._places.acquire()
                try:
                    received_at, messages = await self._gather()
                    pause_s = _FIRST_PAUSE_S
                except SqsUnavailable as error:
                    self._log(f"cannot be read: {error}")
                    messages = []
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                if messages:
                    batch = asyncio.create_task(self._process(messages, received_at))
                    self._batches.add(batch)
                    batch.add_done_callback(self._batches.discard)
                else:
                    self._places.release()
        finally:
            batches = list(self._batches)
            for batch in batches:
                batch.cancel()
            await asyncio.gather(*batches, return_exceptions=True)

    async def _gather(self) -> tuple[float, list[_Message]]:
        """Return a batch, and when (``time.monotonic()``) its first messages were received.

        Without a window it is what one receive returns; with one, the messages that arrive until
        the batch is full or the window ends. A receive that has begun is always awaited: its
        messages would be invisible until their visibility timeout.
        """
        wanted, url = self._source.batch_size, self._queue.url
        messages = await self._sqs.receive(url, wanted, LONGEST_WAIT_S)
        received_at = time.monotonic()
        end = received_at + self._source.window_s
        while messages and len(messages) < wanted and _bytes_of(messages) < _ENOUGH_BYTES:
            left_s = end - time.monotonic()
            if left_s <= 0:
                break
            wait_s = math.floor(min(left_s, LONGEST_WAIT_S))
            if wait_s == 0:
                await asyncio.sleep(left_s)
            messages += await self._sqs.receive(url, wanted - len(messages), wait_s)
        return received_at, messages

    async def _process(self, messages: list[_Message], received_at: float) -> None:
        begun = time.monotonic()
        try:
            problem, failed = await self._invoke(messages, received_at)
            done = [message for message in messages if message["MessageId"] not in failed]
            if done:
                handles = [message["ReceiptHandle"] for message in done]
                await self._sqs.delete(self._queue.url, handles)
            self.done += len(done)
            self.failed += len(messages) - len(done)
            took_ms = (time.monotonic() - begun) * 1000
            self._log(f"{len(done)} of {len(messages)} messages done in {took_ms:.0f} ms{problem}")
        except SqsUnavailable as error:
            self._log(f"{len(messages)} messages could not be deleted: {error}")
        finally:
            self._places.release()

    async def _invoke(self, messages: list[_Message], received_at: float) -> tuple[str, set[str]]:
        """Return the problem for the log, and the ids of the failed messages."""
        all_ids = {str(message["MessageId"]) for message in messages}
        event = to_event(messages, self._queue)
        trace = messages[0].get("Attributes", {}).get("AWSTraceHeader", "")
        visible_at = received_at + self._queue.visibility_timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                result = await self._service.invoke(self._source.function, event, trace)
                break
            except Throttled:
                if time.monotonic() + pause_s > visible_at:
                    return ": throttled", all_ids
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            except PayloadTooLarge:
                return ": the event is over 6 MB", all_ids
        if result.error is not None:
            return f": {result.error}", all_ids
        if not self._source.reports_item_failures:
            return "", set()
        failed = failures(result.payload, all_ids)
        if failed is None:
            return ": the response is not one of batchItemFailures", all_ids
        return "", failed


def to_event(messages: list[_Message], queue: Queue) -> bytes:
    """Return Lambda's event for a batch of messages of SQS."""
    return json.dumps({"Records": [_record(message, queue.arn) for message in messages]}).encode()


def _record(message: _Message, arn: str) -> dict[str, Any]:
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {
                **{f"{key[0].lower()}{key[1:]}": value for key, value in attribute.items()},
                "stringListValues": [],
                "binaryListValues": [],
            }
            for name, attribute in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def failures(response: bytes, batch: set[str]) -> set[str] | None:
    """Return the ids of *batch* that a function reports as failed; ``None``: an invalid response.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html: no response, an
    empty object and an empty list mean success; an id that is empty, missing or not in the batch
    makes the whole batch fail, as does any other response.
    """
    try:
        content = json.loads(response)
    except ValueError:
        return None
    if content is None:
        return set()
    if not isinstance(content, dict):
        return None
    items = content.get("batchItemFailures")
    if items is None:
        return set()
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    ids = [item.get("itemIdentifier") for item in items]
    is_valid = all(isinstance(item_id, str) and item_id in batch for item_id in ids)
    return set(ids) if is_valid else None


def _bytes_of(messages: list[_Message]) -> int:
    return sum(len(message["Body"]) for message in messages)
