"""The keys that Core signs with, derived from ``SECRET_KEY_BASE`` for each purpose.

What is signed for one purpose is not valid for another. ``kid`` names a key, so that what the
previous one (``SECRET_KEY_BASE_PREVIOUS``) signed stays valid while a secret rotates. After a
rotation, the previous key signs until every environment knows the new one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.platform import secrets, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Purpose = Literal["jwt", "handoff"]

ALGORITHM = "HS256"
MIN_SECRET_CHARS = 32
SECRETS = (settings.SECRET_KEY_BASE, settings.SECRET_KEY_BASE_PREVIOUS)


@dataclass(frozen=True)
class Key:
    """A key and its name."""

    kid: str
    content: bytes

    @classmethod
    def of(cls, secret: str, purpose: Purpose) -> Key:
        """Return the key of *secret* for *purpose*. Raises ``ValueError`` for a short secret."""
        if len(secret) < MIN_SECRET_CHARS:
            raise ValueError(f"SECRET_KEY_BASE must have at least {MIN_SECRET_CHARS} characters")

        def derived(part: str) -> bytes:
            return hmac.digest(secret.encode(), f"ullgetthejob {purpose} {part}".encode(), "sha256")

        return cls(derived("kid").hex()[:16], derived("key"))


def current(purpose: Purpose) -> Key:
    """Return the key that signs. Raises ``ValueError`` without ``SECRET_KEY_BASE``."""
    known = _known(purpose)
    return known[-1] if secrets.is_spreading(settings.SECRET_KEY_BASE) else known[0]


def candidates(purpose: Purpose) -> Iterator[Key]:
    """Yield the keys that something may be signed with: the known ones, then those of the secrets
    read again, as these may have been rotated."""
    yield from _known(purpose)
    if [secrets.refresh(secret) for secret in SECRETS] != [False, False]:
        yield from _known(purpose)


def decode(token: str, purpose: Purpose, *, issuer: str, audience: str | None = None) -> Any:
    """Return the claims of a JWT with a valid signature, ``None`` without. Its times are for the
    caller to check, against domain time."""
    import jwt  # brings http.client and ssl along

    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = next(key for key in candidates(purpose) if key.kid == kid)
        return jwt.decode(
            token,
            key.content,
            algorithms=[ALGORITHM],
            issuer=issuer,
            audience=audience,
            options={"require": ["sub", "iat", "exp"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.InvalidTokenError, StopIteration):
        return None


def _known(purpose: Purpose) -> list[Key]:
    """Return the current key, and the previous one if there is one."""
    signing = secrets.read(settings.SECRET_KEY_BASE)
    if not signing:
        raise ValueError("SECRET_KEY_BASE is not set: Core can neither issue nor verify tokens")
    previous = secrets.read(settings.SECRET_KEY_BASE_PREVIOUS)
    return [Key.of(secret, purpose) for secret in (signing, previous) if secret]
