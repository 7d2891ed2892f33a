"""The receiver of webhooks: it records deliveries and verifies them as Standard Webhooks says.

A receiver of the name *name* is at ``/hooks/<name>``; its secret is set through the control route.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from aiohttp import web

from local.receivers.state import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "whsec_"
TOLERANCE_S = 300
SHOWN = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature")


def verdict(secret: str | None, headers: Mapping[str, str], body: bytes, *, now: int) -> str:
    """Return ``verified``, or why a delivery is not. *headers*: names must match in any case."""
    if secret is None:
        return "no secret is known"
    sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split()
    if not sent_id or not sent_at or not signatures:
        return "not signed"
    if not sent_at.isdecimal() or abs(int(sent_at) - now) > TOLERANCE_S:
        return "too old or too new"
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return "the secret is not whsec_ and base64"
    signed = b".".join((sent_id.encode(), sent_at.encode(), body))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if any(hmac.compare_digest(expected.encode(), sent.encode()) for sent in signatures):
        return "verified"
    return "wrong signature"


async def receive(request: web.Request) -> web.Response:
    """``POST /hooks/<name>``: 204, or 401 for a delivery that is not verified."""
    receivers = request.app[RECEIVERS]
    name, body = request.match_info["name"], await request.read()
    found = verdict(receivers.store.hook_secret(name), request.headers, body, now=receivers.now())
    headers = {key: request.headers[key] for key in SHOWN if key in request.headers}
    text = body.decode("utf-8", "replace")
    receivers.store.add_delivery(name, headers, text, found, receivers.now())
    fault = receivers.take_fault("webhook_500", "webhook_410")
    if fault is not None:
        return web.Response(status=int(fault.kind.removeprefix("webhook_")))
    return web.Response(status=204 if found in ("verified", "no secret is known") else 401)
