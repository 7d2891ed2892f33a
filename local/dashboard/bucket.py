"""The token bucket of a person's applications, read from its item without spending anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.dashboard.system import moment
from ullgetthejob.rate_limits.token_bucket import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Bucket:
    """The state of a bucket. *next_at*: when the next token comes, ``None`` when it is full;
    *share*: how much of the next token has come."""

    tokens: int
    capacity: int
    per_hour: float
    next_at: datetime | None
    share: float

    @classmethod
    def of(cls, item: Mapping[str, Any] | None, limits: tuple[int, float], now: datetime) -> Bucket:
        """Return the bucket of an *item* (``None``: never used) at *now*. *limits*: capacity and
        tokens an hour."""
        rule = Rule(*limits)
        now_ms = int(now.timestamp() * 1000)
        tat = int(item["tat"]) if item else now_ms
        tokens = rule.tokens(tat, now_ms)
        if tat <= now_ms:
            return cls(tokens, rule.capacity, rule.per_hour, None, 0.0)
        next_ms = tat - rule.span_ms + (tokens + 1) * rule.interval_ms
        share = 1 - (next_ms - now_ms) / rule.interval_ms
        return cls(tokens, rule.capacity, rule.per_hour, moment(next_ms), min(1.0, max(0.0, share)))
