"""The two limits on applying, and hh.ru's own word: when the account may apply next."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import rate_limit
from ullgetthejob.applications import ledger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.access import Access

    Connection = psycopg.Connection[dict[str, Any]]


def opens_at(
    account_id: UUID, access: Access, *, connection: Connection, now: datetime
) -> datetime | None:
    """When the account may apply, ``None``: at once. Nothing is spent or reserved.

    Raises :class:`Unavailable`.
    """
    moments = [ledger.room_at(account_id, connection=connection, now=now)]
    held = access.at(now)
    if held.state == "limited_until" and held.until is not None:
        moments.append(held.until)
    level = rate_limit.read("submit", account_id, now=now)
    if level.tokens < 1 and level.next_refill is not None:
        moments.append(level.next_refill)
    return max(moments) if max(moments) > now else None


def interval() -> timedelta:
    """Between two tokens."""
    return timedelta(milliseconds=rate_limit.rule("submit").interval_ms)
