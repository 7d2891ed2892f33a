"""hh.ru's OAuth as its wire wants it: the login page's address, PKCE, and pairs of tokens.

hh.ru: an authorisation code works once and soon. A pair lives 14 days; its refresh token gives the
next pair once, and only after the access token has expired. The calls themselves are
:class:`~ullgetthejob.hh.client.HHClient`'s, the errors
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
    """A person's tokens as hh.ru gave them. *expires_in*: seconds that the access token lives.
    Its ``repr`` shows no token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


def authorize_url(
    base: str, *, client_id: str, redirect_uri: str, state: str, challenge: str | None = None
) -> str:
    """Where a person logs in and consents; *base* is ``https://hh.ru/oauth``.

    With a *challenge* (of :func:`challenge_of`) hh.ru wants its verifier beside the code.
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
    """A code verifier: 43 characters, 256 bits of chance (RFC 7636, §4.1)."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """``BASE64URL(SHA256(ASCII(verifier)))`` without padding: method S256 (RFC 7636, §4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def token_pair(answer: Any) -> TokenPair:
    """The answer of ``POST /token`` to a code or a refresh token.

    A lifetime that is missing or absurd is taken for hh.ru's 14 days: the pair is given once, and
    hh.ru itself says when it has expired. Raises ``KeyError`` or ``TypeError`` without two tokens.
    """
    expires_in = answer.get("expires_in")
    sane = type(expires_in) is int and 0 < expires_in <= _LONGEST_LIFE_S
    return TokenPair(
        access_token=_token(answer["access_token"]),
        refresh_token=_token(answer["refresh_token"]),
        expires_in=expires_in if sane else PAIR_LIFE_S,
    )


def application_token(answer: Any) -> str:
    """The answer of ``POST /token`` to an application's own credentials: a token without an end.
    Raises ``KeyError`` or ``TypeError`` without one."""
    return _token(answer["access_token"])


def _token(given: Any) -> str:
    if not isinstance(given, str) or not _TOKEN.fullmatch(given):
        raise TypeError("not a token")
    return given
