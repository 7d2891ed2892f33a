"""Links in e-mails: to unsubscribe, which works for ever, and to confirm an address, once.

The link to unsubscribe has the channel's id and a MAC of it, keyed with the secret that signs
Core's tokens, and with the one before its rotation: nothing is stored for it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.platform import one_time_tokens, secrets, settings

if TYPE_CHECKING:
    from datetime import datetime

CONFIRMATION = "notification_email"
CONFIRMATION_LIFE = timedelta(days=1)
CONFIRM_PATH = "/notifications/confirm/"
UNSUBSCRIBE_PATH = "/notifications/unsubscribe/"
PURPOSE = b"ullgetthejob notification unsubscribe "
MAC_BYTES = 16
MAX_CHARS = 100


def unsubscribe_url(channel_id: UUID) -> str:
    """Return the address that unsubscribes a channel."""
    key = secrets.require(settings.SECRET_KEY_BASE)
    token = base64.urlsafe_b64encode(channel_id.bytes + _mac(key, channel_id)).decode()
    return f"{_origin()}{UNSUBSCRIBE_PATH}{token.rstrip('=')}"


def channel_of(token: str) -> UUID | None:
    """Return the channel of a token of :func:`unsubscribe_url`, ``None`` for any other text."""
    if len(token) > MAX_CHARS or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) != len(UUID(int=0).bytes) + MAC_BYTES:
        return None
    channel_id = UUID(bytes=raw[:-MAC_BYTES])
    keys = (
        secrets.require(settings.SECRET_KEY_BASE),
        secrets.read(settings.SECRET_KEY_BASE_PREVIOUS),
    )
    is_ours = any(
        hmac.compare_digest(_mac(key, channel_id), raw[-MAC_BYTES:]) for key in keys if key
    )
    return channel_id if is_ours else None


def confirmation_url(channel_id: UUID, *, now: datetime) -> str:
    """Return an address that confirms a channel, once and within a day. Raises
    :class:`~ullgetthejob.platform.errors.Unavailable`."""
    content = {"channel_id": str(channel_id)}
    token = one_time_tokens.issue(CONFIRMATION, content, life=CONFIRMATION_LIFE, now=now)
    return f"{_origin()}{CONFIRM_PATH}{token}"


def consume_confirmation(token: str, *, by: str, now: datetime) -> UUID:
    """Return the channel that a token confirms. Raises :class:`one_time_tokens.InvalidToken`,
    :class:`~ullgetthejob.platform.errors.Unavailable`."""
    if not 0 < len(token) <= MAX_CHARS or not token.isascii():
        raise one_time_tokens.InvalidToken("unknown")
    content = one_time_tokens.consume(CONFIRMATION, token, by=by, now=now)
    return UUID(content["channel_id"])


def _mac(key: str, channel_id: UUID) -> bytes:
    return hmac.digest(key.encode(), PURPOSE + channel_id.bytes, "sha256")[:MAC_BYTES]


def _origin() -> str:
    return settings.PUBLIC_URL().rstrip("/")
