"""Webhooks, as Standard Webhooks describes them (https://www.standardwebhooks.com, 1.0.0).

A POST with a JSON body ``{"type", "timestamp", "data"}`` and the headers ``webhook-id`` (the same
in each attempt: the receiver's key of idempotency), ``webhook-timestamp`` (seconds since 1970) and
``webhook-signature``: for each secret ``v1,`` and the base64 of HMAC-SHA256 over
``<id>.<timestamp>.<body>``. While a secret is being rotated there are two signatures.

Redirects are not followed, and of the response only the status and ``Retry-After`` are read.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ullgetthejob.notifications import egress
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.notifications.signatures import signature_of
from ullgetthejob.platform import tls

if TYPE_CHECKING:
    from datetime import datetime

    import httpx

    from ullgetthejob.notifications.messages import Message
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.platform.context import Context

TOTAL_TIMEOUT_S = 15
CONNECT_TIMEOUT_S = 5
MAX_ADDRESSES = 3  # that are tried
GONE = 410
MAX_RETRY_AFTER_S = 24 * 3600
USER_AGENT = "UllGetTheJobCore-Webhooks/1.0"


def body_of(message: Message, *, at: datetime) -> bytes:
    """Return the body of a message."""
    content = {
        "type": f"notification.{message.kind}",
        "timestamp": at.isoformat(),
        "data": {"subject": message.subject, "text": message.text, **message.data},
    }
    return json.dumps(content, ensure_ascii=False).encode()


def send(message: Message, address: Recipient, *, context: Context) -> None:
    """Post a message to a webhook.

    Raises :class:`ChannelGone` (410, or an address that is not public any more),
    :class:`ChannelUnavailable`, :class:`OutcomeUnknown`.
    """
    now = context.now()
    body, timestamp = body_of(message, at=now), int(now.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": str(message.id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature_of(str(message.id), timestamp, body, secret) for secret in address.secrets
        ),
    }
    status, retry_after = asyncio.run(_post(address.address, body, headers))
    if 200 <= status < 300:
        return
    if status == GONE:
        raise ChannelGone("webhook_gone")
    raise ChannelUnavailable(_seconds_of(retry_after, now), reason=f"http_{status}")


async def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return status and ``Retry-After`` of the response, within :data:`TOTAL_TIMEOUT_S`."""
    import httpx

    try:
        parts = egress.check_url(url)
        addresses = await egress.resolve(parts)
    except egress.AddressRefused:
        raise ChannelGone("address_refused") from None
    except egress.NameUnknown:
        raise ChannelUnavailable(reason="name_unknown") from None
    headers = {**headers, "host": parts.netloc}
    reason = "unreachable"
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT_S), _client() as client:
            for address in addresses[:MAX_ADDRESSES]:
                # The checked address is connected to; certificate and server see the name.
                request = client.build_request(
                    "POST",
                    httpx.URL(url).copy_with(host=address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": parts.hostname},
                )
                try:
                    response = await client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if _refuses_certificate(error):
                        reason = "certificate_refused"
                    continue
                await response.aclose()
                return response.status_code, response.headers.get("retry-after")
    except (TimeoutError, httpx.HTTPError):  # sent, at least in part
        raise OutcomeUnknown from None
    raise ChannelUnavailable(reason=reason)


def _refuses_certificate(error: BaseException | None) -> bool:
    """Return whether *error* was caused by a certificate that does not verify: an unknown
    authority, another name, expired."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _client() -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(TOTAL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        follow_redirects=False,
        verify=tls.context(),
        trust_env=False,
    )


def _seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """Return how many seconds ``Retry-After`` names, as a number or a date; at most a day."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        seconds = float(retry_after[:9])
    else:
        try:
            seconds = (parsedate_to_datetime(retry_after) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0), MAX_RETRY_AFTER_S)
