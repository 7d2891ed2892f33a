"""Authentication: the service and the administrator by a secret, a user by Core's own token.

The service is the BFF, or our CLI.
``X-Core-Secret`` (or its alias ``X-Orchestrator-Secret``) is compared in constant time with the
current and the previous secret; a secret that is unset or empty never matches. ``X-Signature``, the
lower-case hex HMAC-SHA256 of the raw body under that secret, is verified whenever it is sent.
``REQUIRE_SIGNATURE`` demands it of every request that has a body, on every route of the service; a
request without one has nothing to sign. ``X-Admin-Secret`` is a separate secret, of which the
previous one is accepted, too. Telegram sends the secret of its webhook as
``X-Telegram-Bot-Api-Secret-Token``.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ullgetthejob.platform import secrets, settings
from ullgetthejob.platform.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ullgetthejob.platform.settings import Setting


@dataclass(frozen=True)
class Caller:
    """The caller of one request. *user_id* is the subject of the token, if one was sent, and
    *idempotency_key* the header ``Idempotency-Key``: a repeated request has the same key."""

    kind: Literal["user", "service", "admin", "core", "telegram"]
    request_id: str
    user_id: UUID | None = None
    idempotency_key: str | None = None


class People(Protocol):
    """A repository of the persons that requests are about; each has the attribute *user_id*."""

    def find_by_token(self, token: str) -> Any:
        """Return the person that a token was issued to. Raises :class:`Unauthorized`."""

    def find_by_id(self, user_id: UUID) -> Any:
        """Return the person that the service names. Raises :class:`NotFound`."""

    def find_or_unknown(self, user_id: UUID) -> Any:
        """Return the person that the service names; a placeholder for an unknown user."""


def require_service(headers: Mapping[str, str], body: bytes) -> None:
    """Raise :class:`Unauthorized` unless the caller knows the service's secret.

    *headers*: lower-case names. *body*: the raw bytes that were signed.
    """
    sent = headers.get("x-core-secret") or headers.get("x-orchestrator-secret")
    if not sent:
        raise Unauthorized("the header X-Core-Secret is missing")
    matching = _find_secret(
        sent, settings.ORCHESTRATOR_SECRET, settings.ORCHESTRATOR_SECRET_PREVIOUS
    )
    if matching is None:
        raise Unauthorized("the header X-Core-Secret is wrong")
    _require_signature(headers.get("x-signature"), body, matching)


def require_admin(headers: Mapping[str, str]) -> None:
    """Raise :class:`Unauthorized` unless the caller knows the administrator's secret."""
    sent = headers.get("x-admin-secret")
    if not sent:
        raise Unauthorized("the header X-Admin-Secret is missing")
    if _find_secret(sent, settings.ADMIN_SECRET, settings.ADMIN_SECRET_PREVIOUS) is None:
        raise Unauthorized("the header X-Admin-Secret is wrong")


def require_telegram(headers: Mapping[str, str]) -> None:
    """Raise :class:`Unauthorized` unless Telegram sent the request, or one who knows the secret of
    the bot's webhook."""
    sent = headers.get("x-telegram-bot-api-secret-token")
    if not sent or _find_secret(sent, settings.TELEGRAM_WEBHOOK_SECRET) is None:
        raise Unauthorized("the header X-Telegram-Bot-Api-Secret-Token is missing or wrong")


def _find_secret(sent: str, *known: Setting[str]) -> str | None:
    """Return the secret among *known* that equals *sent*, else ``None``. Since it may
    have been rotated, each is read again once; the previous secret is read only when needed."""
    for is_retry in (False, True):
        for setting in known:
            if is_retry and not secrets.refresh(setting):
                continue
            secret = secrets.read(setting)
            if secret and _is_equal(secret, sent):
                return secret
    return None


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token of ``Authorization: Bearer``; ``None`` without that header.

    Raises :class:`Unauthorized` for any other scheme, and for an empty header: credentials that
    are sent are always checked, and a client that lost its token must not pass as anonymous.
    """
    sent = headers.get("authorization")
    if sent is None:
        return None
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise invalid_token()
    return token.strip()


def invalid_token() -> Unauthorized:
    """Return the error of an invalid token, the same for every cause."""
    return Unauthorized("the bearer token is not valid", code="invalid_token")


def _require_signature(sent: str | None, body: bytes, secret: str) -> None:
    if sent is None:
        if body and settings.REQUIRE_SIGNATURE():
            raise Unauthorized("the header X-Signature is missing", code="invalid_signature")
        return
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not _is_equal(expected, sent):
        raise Unauthorized("the header X-Signature does not fit", code="invalid_signature")


def _is_equal(expected: str, sent: str) -> bool:
    # a header may contain bytes that are not text, which arrive as lone surrogates
    return hmac.compare_digest(expected.encode(), sent.encode(errors="surrogatepass"))
