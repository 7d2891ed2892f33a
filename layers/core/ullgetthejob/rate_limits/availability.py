"""When an account may apply next, by the token bucket, hh.ru's daily limit and its access state."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.rate_limits import daily_limit, token_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.access import Access
    from ullgetthejob.platform.postgres import Connection


def next_allowed_at(
    account_id: UUID,
    access: Access,
    *,
    connection: Connection,
    now: datetime,
    has_token: bool = False,
) -> datetime | None:
    """Return when the account may apply, ``None``: at once. Nothing is spent or reserved.
    *has_token*: whether the application has its token already.

    Raises :class:`Unavailable`.
    """
    moments = [daily_limit.next_slot_in_24h(account_id, connection=connection, now=now)]
    current = access.at(now)
    if current.state == "limited_until" and current.until is not None:
        moments.append(current.until)
    if not has_token:
        level = token_bucket.read_level("submit", account_id, now=now)
        if level.tokens < 1 and level.next_refill is not None:
            moments.append(level.next_refill)
    return max(moments) if max(moments) > now else None


def forecast_account(
    account_id: UUID, access: Access, count: int, *, connection: Connection, now: datetime
) -> list[datetime]:
    """Return when the account's next *count* applications may be sent, if nothing else uses its
    quota.

    Raises :class:`Unavailable`.
    """
    current = access.at(now)
    start = now
    if current.state == "limited_until" and current.until is not None:
        start = current.until
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
    """Return the earliest times from *start* on at which *count* applications pass both limits.

    *level*: the bucket. *counted*: when those applications were sent that still count toward
    *limit* (hh.ru's 200), which holds in any *window*.
    """
    limit = daily_limit.DAY_LIMIT if limit is None else limit
    interval = timedelta(milliseconds=level.rule.interval_ms)
    span = level.rule.capacity * interval
    # A bucket's state is one number: when it will be full again.
    full_at = start
    if level.next_refill is not None:
        full_at = level.next_refill + span - (level.tokens + 1) * interval
    latest = deque(sorted(counted), maxlen=limit)
    moments: list[datetime] = []
    moment = start
    for _ in range(count):
        moment = max(moment, full_at - span + interval)
        if len(latest) == limit:
            moment = max(moment, latest[0] + window)
        full_at = max(full_at, moment) + interval
        latest.append(moment)
        moments.append(moment)
    return moments


def token_interval() -> timedelta:
    """Return the time between two tokens."""
    return timedelta(milliseconds=token_bucket.rule("submit").interval_ms)
