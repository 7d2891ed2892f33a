"""Session tokens: JWTs that identify a user, issued and verified only by Core.

HS256 with a key of its own (:mod:`.signing_keys`), which ``kid`` names. Claims: ``iss``, ``sub``
(the user's id), ``iat`` (with microseconds: a token is compared with ``users.tokens_valid_from``),
``exp``. Both ``exp`` and ``iat`` are domain time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from ullgetthejob.accounts import signing_keys
from ullgetthejob.platform.authentication import invalid_token

LIFETIME = timedelta(days=30)  # outlives the BFF's cookie (7 days) and hh.ru's access token (14)
CLOCK_SKEW = timedelta(minutes=1)  # between the environments that issue and verify, at most
MAX_BYTES = 3072
ISSUER = "ullgetthejob-core"
TOKEN_PATTERN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """What a token proves: its user, and when it was issued."""

    user_id: UUID
    issued_at: datetime


def issue(user_id: UUID, *, now: datetime) -> str:
    """Return a token for *user_id*, valid from *now* for :data:`LIFETIME`."""
    import jwt  # brings http.client and ssl along

    key = signing_keys.current("jwt")
    claims = {
        "iss": ISSUER,
        "sub": str(user_id),
        "iat": now.timestamp(),
        "exp": int((now + LIFETIME).timestamp()),
    }
    return jwt.encode(
        claims, key.content, algorithm=signing_keys.ALGORITHM, headers={"kid": key.kid}
    )


def verify(token: str, *, now: datetime) -> Identity:
    """Return the identity of *token*. Raises :class:`Unauthorized` (``invalid_token``).

    Whether it was revoked is in the user's row, not in the token.
    """
    if len(token) > MAX_BYTES or not TOKEN_PATTERN.fullmatch(token) or not _is_canonical(token):
        raise invalid_token()
    claims = signing_keys.decode(token, "jwt", issuer=ISSUER)
    if claims is None:
        raise invalid_token()
    try:
        user_id = UUID(claims["sub"])
        issued_at, expires_at = _read_date(claims["iat"]), _read_date(claims["exp"])
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise invalid_token() from None
    # A token issued in the future would outlive its revocation.
    if not issued_at - CLOCK_SKEW <= now < expires_at <= issued_at + LIFETIME:
        raise invalid_token()
    return Identity(user_id, issued_at)


def _read_date(claim: Any) -> datetime:
    """Return the time of a NumericDate (RFC 7519, §2); Python's JSON also reads NaN, and ``true``
    is an int. Raises ``TypeError``, ``ValueError``, ``OverflowError`` and ``OSError``."""
    if isinstance(claim, bool):
        raise TypeError
    return datetime.fromtimestamp(claim, UTC)


def _is_canonical(token: str) -> bool:
    """Return whether the signature is canonical Base64: spare bits of its last character are 0.

    Otherwise a signature would have several spellings, and an altered token could pass.
    """
    import base64

    signature = token.rpartition(".")[2]
    padded = signature + "=" * (-len(signature) % 4)
    try:
        content = base64.urlsafe_b64decode(padded)
    except ValueError:
        return False
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode() == signature
