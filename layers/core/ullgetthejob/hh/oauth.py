"""hh.ru's OAuth: the URL of the login page, PKCE, and pairs of tokens.

hh.ru: an authorisation code works once, and expires soon. A pair is valid for 14 days; its refresh
token gives the next pair once, and only after the access token has expired. The calls are made by
:class:`~ullgetthejob.hh.client.HHClient`, the errors are in
:data:`~ullgetthejob.hh.error_rules.TOKEN_RULES`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

PAIR_LIFE_S = 1_209_600
_LONGEST_LIFE_S = 366 * 86_400
_TOKEN = re.compile(r"[\x21-\x7e]+")  # it goes into a header


@dataclass(frozen=True)
class TokenPair:
    """A person's tokens as hh.ru gave them. *expires_in*: lifetime of the access token in seconds.
    The ``repr`` shows no token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


def authorize_url(
    base: str, *, client_id: str, redirect_uri: str, state: str, challenge: str | None = None
) -> str:
    """Return the URL where a person logs in and consents; *base* is ``https://hh.ru/oauth``.

    With a *challenge* (of :func:`challenge_of`) hh.ru requires its verifier together with the code.
    """
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    if challenge is not None:
        query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{base.rstrip('/')}/authorize?{urlencode(query)}"


def new_verifier() -> str:
    """Return a new code verifier: 43 characters, 256 random bits (RFC 7636, §4.1)."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Return the challenge of *verifier* by method S256 (RFC 7636, §4.2), without padding:
    ``BASE64URL(SHA256(ASCII(verifier)))``."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def token_pair(content: Any) -> TokenPair:
    """Return the pair in the response of ``POST /token`` to a code or a refresh token.

    A missing or absurd lifetime is replaced by hh.ru's 14 days: the pair is given only once, and
    hh.ru itself reports when it has expired. Raises ``KeyError`` or ``TypeError`` without two
    tokens.
    """
    expires_in = content.get("expires_in")
    is_plausible = type(expires_in) is int and 0 < expires_in <= _LONGEST_LIFE_S
    return TokenPair(
        access_token=_check_token(content["access_token"]),
        refresh_token=_check_token(content["refresh_token"]),
        expires_in=expires_in if is_plausible else PAIR_LIFE_S,
    )


def application_token(content: Any) -> str:
    """Return the token, which does not expire, in the response of ``POST /token`` to the
    application's credentials. Raises ``KeyError`` or ``TypeError`` without one."""
    return _check_token(content["access_token"])


def _check_token(value: Any) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise TypeError("not a token")
    return value
