"""Secrets and signatures of webhooks, as Standard Webhooks describes them."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = 32  # the specification: 24 to 64


def new_secret() -> str:
    """Return a new secret of a webhook, ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature_of(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """Return the signature under one secret, ``v1,`` and base64."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret of a webhook is not base64") from None
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
