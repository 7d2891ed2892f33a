"""Sessions of the handoff page: a signed cookie for an hour, and the token of its forms.

A session is a JWT with an audience and a key of its own
(:mod:`ullgetthejob.accounts.signing_keys`): it opens this page and nothing else, and no other token
of Core opens the page. After its hour it proves only whose page it was, for a day, so that the
person can ask for a new link.

Each form has a token that is derived from what its browser holds in a cookie, so that no page of
another site can post it (OWASP: signed double-submit cookie).
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ullgetthejob.accounts import signing_keys
from ullgetthejob.accounts.session_tokens import Identity

LIFETIME = timedelta(hours=1)
REMEMBERED = timedelta(days=1)
COOKIE = "handoff_session"
BROWSER_COOKIE = "handoff_browser"
AUDIENCE = "handoff"
ISSUER = "ullgetthejob-core"
MAX_CHARS = 1_000
BROWSER_CHARS = 43


@dataclass(frozen=True)
class PageSession:
    """A session of the page. *id*: random; *is_over*: its hour has passed."""

    id: str
    user_id: UUID
    account_id: UUID
    started_at: datetime
    is_over: bool = False

    @property
    def identity(self) -> Identity:
        """Return what it proves."""
        return Identity(self.user_id, self.started_at)


def start(user_id: UUID, account_id: UUID, *, now: datetime) -> str:
    """Return the cookie's value of a new session of *user_id* and *account_id*."""
    import jwt  # brings http.client and ssl along

    key = signing_keys.current("handoff")
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "account": str(account_id),
        "jti": secrets.token_urlsafe(16),
        "iat": now.timestamp(),
        "exp": int((now + LIFETIME).timestamp()),
    }
    return jwt.encode(
        claims, key.content, algorithm=signing_keys.ALGORITHM, headers={"kid": key.kid}
    )


def read(value: str | None, *, now: datetime) -> PageSession | None:
    """Return the session of a cookie's *value*; ``None`` for one that is not Core's, or that ended
    more than a day ago."""
    if not value or len(value) > MAX_CHARS:
        return None
    claims = signing_keys.decode(value, "handoff", issuer=ISSUER, audience=AUDIENCE)
    if claims is None:
        return None
    try:
        started_at = datetime.fromtimestamp(claims["iat"], UTC)
        ends_at = datetime.fromtimestamp(claims["exp"], UTC)
        user_id, account_id = UUID(claims["sub"]), UUID(claims["account"])
        session_id = str(claims["jti"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        return None
    if now >= ends_at + REMEMBERED:
        return None
    return PageSession(session_id, user_id, account_id, started_at, is_over=now >= ends_at)


def new_browser() -> str:
    """Return a random value for a browser that has no session yet."""
    return secrets.token_urlsafe(32)


def form_token(holder: str) -> str:
    """Return the token of the forms of *holder*: the id of a session, or a browser's value."""
    return _form_token(signing_keys.current("handoff"), holder)


def is_form_token(sent: str, holder: str) -> bool:
    """Return whether *sent* is the token of the forms of *holder*."""
    return any(
        hmac.compare_digest(_form_token(key, holder).encode(), sent.encode())
        for key in signing_keys.candidates("handoff")
    )


def _form_token(key: signing_keys.Key, holder: str) -> str:
    return hmac.digest(key.content, f"form {holder}".encode(), "sha256").hex()
