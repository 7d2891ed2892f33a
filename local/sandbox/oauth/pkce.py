"""Proof Key for Code Exchange, method S256 (RFC 7636), the one that hh.ru documents."""

from __future__ import annotations

import base64
import hashlib
import re

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def challenge(verifier: str) -> str:
    """Return ``BASE64URL(SHA256(ASCII(verifier)))``; letters outside ASCII count as UTF-8."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def is_challenge(text: str) -> bool:
    """Return whether *text* can be a challenge: a SHA-256 in base64url without padding."""
    return _CHALLENGE.fullmatch(text) is not None
