"""The two limits on applying, and hh.ru's own word: when the account may apply next."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.rate_limits import daily_limit, token_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.access import Access

    Connection = psycopg.Connection[dict[str, Any]]


def next_allowed_at(
    account_id: UUID,
    access: Access,
    *,
    connection: Connection,
    now: datetime,
    has_token: bool = False,
) -> datetime | None:
    """When the account may apply, ``None``: at once. Nothing is spent or reserved. *has_token*: for
    one that has its token already.

    Raises :class:`Unavailable`.
    """
    moments = [daily_limit.next_slot_in_24h(account_id, connection=connection, now=now)]
    held = access.at(now)
    if held.state == "limited_until" and held.until is not None:
        moments.append(held.until)
    if not has_token:
        level = token_bucket.read_level("submit", account_id, now=now)
        if level.tokens < 1 and level.next_refill is not None:
            moments.append(level.next_refill)
    return max(moments) if max(moments) > now else None


def forecast_account(
    account_id: UUID, access: Access, count: int, *, connection: Connection, now: datetime
) -> list[datetime]:
    """When the account's next *count* applications may go out, if nothing else uses its quota.

    Raises :class:`Unavailable`.
    """
    held = access.at(now)
    start = held.until if held.state == "limited_until" and held.until is not None else now
    level = token_bucket.read_level("submit", account_id, now=now)
    counted = daily_limit.list_counted(account_id, connection=connection, now=now)
    return forecast_slots(count, level, counted, start=start)


def forecast_slots(
    count: int,
    level: token_bucket.BucketLevel,
    counted: Iterable[datetime],
    *,
    start: datetime,
    limit: int | None = None,
    window: timedelta = daily_limit.DAY,
) -> list[datetime]:
    """The earliest moments from *start* on at which *count* applications pass both limits, each as
    soon as it can. *level*: the bucket; *counted*: when those went out that still count among the
    *limit* (hh.ru's 200) that any *window* may hold."""
    limit = daily_limit.DAY_LIMIT if limit is None else limit
    every = timedelta(milliseconds=level.rule.interval_ms)
    span = level.rule.capacity * every
    # The one number that a bucket is: when it will be full again.
    full_at = start
    if level.next_refill is not None:
        full_at = level.next_refill + span - (level.tokens + 1) * every
    latest = deque(sorted(counted), maxlen=limit)
    moments: list[datetime] = []
    moment = start
    for _ in range(count):
        moment = max(moment, full_at - span + every)
        if len(latest) == limit:
            moment = max(moment, latest[0] + window)
        full_at = max(full_at, moment) + every
        latest.append(moment)
        moments.append(moment)
    return moments


def token_interval() -> timedelta:
    """Between two tokens."""
    return timedelta(milliseconds=token_bucket.rule("submit").interval_ms)
