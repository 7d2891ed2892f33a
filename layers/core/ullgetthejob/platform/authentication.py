"""Who is calling: the service (the BFF, our CLI) proves itself by a shared secret.

``X-Core-Secret`` (or its alias ``X-Orchestrator-Secret``) is compared in constant time with the
current and the previous secret; a secret that is unset or empty never matches. ``X-Signature``, the
lower-case hex HMAC-SHA256 of the raw body under that secret, is verified whenever it is sent and
demanded when ``REQUIRE_SIGNATURE`` is ``true``.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from ullgetthejob.platform import secrets, settings
from ullgetthejob.platform.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping


def require_service(headers: Mapping[str, str], body: bytes) -> None:
    """Raise :class:`Unauthorized` unless the caller knows the service's secret.

    *headers*: lower-case names. *body*: the raw bytes that a signature is of.
    """
    sent = headers.get("x-core-secret") or headers.get("x-orchestrator-secret")
    if not sent:
        raise Unauthorized("the header X-Core-Secret is missing")
    known = [
        secrets.read("ORCHESTRATOR_SECRET"),
        secrets.read("ORCHESTRATOR_SECRET_PREVIOUS"),
    ]
    matching = [secret for secret in known if secret and _same(secret, sent)]
    if not matching:
        raise Unauthorized("the header X-Core-Secret is wrong")
    _require_signature(headers.get("x-signature"), body, matching[0])


def refuse_bearer(headers: Mapping[str, str]) -> None:
    """A JWT that is present always binds: one that cannot be verified is refused, also beside a
    good secret. Core issues none yet, so that every one is refused."""
    if headers.get("authorization"):
        raise Unauthorized("the bearer token is not valid here", code="invalid_token")


def _require_signature(sent: str | None, body: bytes, secret: str) -> None:
    if sent is None:
        if settings.flag("REQUIRE_SIGNATURE"):
            raise Unauthorized("the header X-Signature is missing", code="invalid_signature")
        return
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not _same(expected, sent):
        raise Unauthorized("the header X-Signature does not fit", code="invalid_signature")


def _same(expected: str, sent: str) -> bool:
    return hmac.compare_digest(expected.encode(), sent.encode())
