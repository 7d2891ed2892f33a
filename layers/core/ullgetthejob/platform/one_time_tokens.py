"""One-time tokens: random texts that are presented once, such as OAuth's ``state``.

They are stored in DynamoDB under their hash, never in plain text. Item: ``pk`` (kind and SHA-256),
``content`` (a map of texts), ``until`` (ms; compared in the condition), ``burnt_by`` (the
consumer), ``expires_at`` (s; TTL, only for cleanup).

A token is consumed *by* a consumer, such as the request that presents it: the same consumer may
consume it again, so that a lost response can be requested once more; no other consumer can.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.platform import dynamodb, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime, timedelta

IS_VALID = "#until > :now AND (attribute_not_exists(burnt_by) OR burnt_by = :by)"


class InvalidToken(Exception):
    """The token is not valid; *reason*: ``unknown``, ``used`` or ``expired``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def issue(kind: str, content: dict[str, str], *, life: timedelta, now: datetime) -> str:
    """Return a new token, which gives *content* back once, within *life*.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    token = secrets.token_urlsafe(32)
    until = now + life
    item = {
        "pk": _pk(kind, token),
        "content": content,
        "until": _ms(until),
        "expires_at": int(until.timestamp()) + 86_400,
    }
    dynamodb.put_item(_table(), item, _unavailable)
    return token


def consume(kind: str, token: str, *, by: str, now: datetime) -> dict[str, str]:
    """Return the content of *token*, which cannot be used again except *by* the same consumer.

    Raises :class:`InvalidToken`, :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    key, values = {"pk": _pk(kind, token)}, {":by": by, ":now": _ms(now)}
    is_consumed, item = dynamodb.update_item(
        _table(), key, "SET burnt_by = :by", values, _unavailable, condition=IS_VALID
    )
    if not is_consumed:
        raise InvalidToken(_reason(item, by))
    return dict(item["content"])


@dataclass(frozen=True)
class Found:
    """What is stored of a token: its content, the consumer that it was consumed by (``None`` for
    none yet), and whether its life is over."""

    content: dict[str, str]
    consumed_by: str | None
    is_expired: bool


def look_up(kind: str, token: str, *, now: datetime) -> Found | None:
    """Return what is stored of *token*, without consuming it; ``None`` for an unknown one, and for
    one that was cleaned up, a day after its life.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    item = dynamodb.get_item(_table(), {"pk": _pk(kind, token)}, _unavailable)
    if not item:
        return None
    return Found(dict(item["content"]), item.get("burnt_by"), item["until"] <= _ms(now))


def _reason(item: dynamodb.Item, by: str) -> str:
    if not item:
        return "unknown"
    return "used" if item.get("burnt_by", by) != by else "expired"


def _pk(kind: str, token: str) -> str:
    return f"{kind}#{hashlib.sha256(token.encode()).hexdigest()}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _table() -> str:
    return settings.ONE_TIME_TABLE()


def _unavailable() -> Unavailable:
    return Unavailable(
        "one-time keys are not available at the moment", code="one_time_keys_unavailable"
    )
