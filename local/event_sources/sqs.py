"""The SQS client of the event sources: its JSON protocol over kept connections."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from local.template.cloudformation import REGION

LONGEST_WAIT_S = 20
BATCH_LIMIT = 10  # messages that one request can receive or delete
_REPLY_TIMEOUT_S = 10  # beyond the requested wait
# The local AWS verifies no signature, but reads the service's name from it.
_AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/sqs/aws4_request, "
    "SignedHeaders=host, Signature=none"
)


class SqsUnavailable(Exception):
    """SQS does not answer, or refuses; the message says why."""


class Sqs:
    """A client of SQS at *endpoint*; call :meth:`close` at the end."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def receive(self, queue_url: str, count: int, wait_s: int) -> list[dict[str, Any]]:
        """Receive at most *count* messages; wait up to *wait_s* for the first."""
        request = {
            "QueueUrl": queue_url,
            "MaxNumberOfMessages": min(count, BATCH_LIMIT),
            "WaitTimeSeconds": wait_s,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        response = await self._call("ReceiveMessage", request, wait_s)
        return list(response.get("Messages", []))

    async def delete(self, queue_url: str, receipt_handles: list[str]) -> None:
        """Delete received messages."""
        for start in range(0, len(receipt_handles), BATCH_LIMIT):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle}
                for number, handle in enumerate(receipt_handles[start : start + BATCH_LIMIT])
            ]
            await self._call("DeleteMessageBatch", {"QueueUrl": queue_url, "Entries": entries})

    async def send(self, queue_url: str, body: str, attributes: dict[str, Any]) -> None:
        """Send a message. *attributes*: its message attributes, as :meth:`receive` returns them."""
        request: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": body}
        if attributes:
            request["MessageAttributes"] = attributes
        await self._call("SendMessage", request)

    async def release(self, queue_url: str, receipt_handles: list[str]) -> None:
        """Make received messages visible again."""
        for handle in receipt_handles:
            request = {"QueueUrl": queue_url, "ReceiptHandle": handle, "VisibilityTimeout": 0}
            await self._call("ChangeMessageVisibility", request)

    async def counts(self, queue_url: str) -> dict[str, int]:
        """Return how many messages are ``visible``, ``in_flight`` and ``delayed``."""
        names = {
            "ApproximateNumberOfMessages": "visible",
            "ApproximateNumberOfMessagesNotVisible": "in_flight",
            "ApproximateNumberOfMessagesDelayed": "delayed",
        }
        request = {"QueueUrl": queue_url, "AttributeNames": list(names)}
        attributes = (await self._call("GetQueueAttributes", request))["Attributes"]
        return {names[name]: int(value) for name, value in attributes.items()}

    async def _call(
        self, operation: str, request: dict[str, Any], wait_s: float = 0
    ) -> dict[str, Any]:
        headers = {
            "Authorization": _AUTHORIZATION,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{operation}",
        }
        try:
            async with self._session.post(
                self._endpoint,
                data=json.dumps(request),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=wait_s + _REPLY_TIMEOUT_S),
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SqsUnavailable(type(error).__name__) from error
        if response.status != 200:
            raise SqsUnavailable(f"{operation}: {response.status} {text[:200]}")
        return dict(json.loads(text)) if text else {}
