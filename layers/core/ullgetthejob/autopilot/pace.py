"""The pace of an autopilot: when its applications may be sent. Pure functions of their arguments.

Three ceilings hold at once: so many applications in any 24 hours, a share of the person's token
bucket (a bucket of its own, as much smaller and slower: GCRA, as the person's is), and the working
hours. They bound what the autopilot sends; the person's own limits hold all the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Literal, get_args

from ullgetthejob.platform import working_hours

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

DAY = timedelta(hours=24)
LOOK_BACK = 2 * DAY  # what was sent earlier has no effect: a bucket is full again after 12.5 hours

Reason = Literal["working_hours", "max_per_day", "bucket_share"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Bucket:
    """The person's token bucket: so many tokens, and one more after each *interval*."""

    capacity: int
    interval: timedelta

    def share(self, percent: int) -> Bucket:
        """Return the bucket of a share: at least one token, refilled as much slower."""
        return Bucket(max(1, self.capacity * percent // 100), self.interval * 100 / percent)


@dataclass(frozen=True)
class Pace:
    """The ceilings of an autopilot. *hours*: ``None`` for always."""

    max_per_day: int
    bucket_share: int
    hours: working_hours.WorkingHours | None
    time_zone: str


@dataclass(frozen=True)
class Slot:
    """When an application may be sent; *reason*: the ceiling that it waits for, if not now."""

    at: datetime
    reason: Reason | None


def forecast(
    pace: Pace, sent: Iterable[datetime], count: int, *, bucket: Bucket, now: datetime
) -> list[Slot]:
    """Return the earliest slots, from *now* on, of the next *count* applications.

    *sent*: when those of the last :data:`LOOK_BACK` were. *bucket*: the person's.
    """
    own = bucket.share(pace.bucket_share)
    span = own.capacity * own.interval
    times = sorted(sent)
    latest = deque(times, maxlen=pace.max_per_day)
    full_at = times[0] if times else now
    for moment in times:
        full_at = max(full_at, moment) + own.interval
    slots: list[Slot] = []
    moment = now.astimezone(UTC)
    for _ in range(count):
        earliest = {"bucket_share": full_at - span + own.interval}
        if len(latest) == pace.max_per_day:
            earliest["max_per_day"] = latest[0] + DAY
        reason: Reason | None = None
        for name in ("bucket_share", "max_per_day"):  # the later of the two, if it waits at all
            at = earliest.get(name)
            if at is not None and at > moment:
                moment, reason = at.astimezone(UTC), name
        opens = working_hours.opening(pace.hours, pace.time_zone, moment)
        if opens > moment:
            moment, reason = opens, "working_hours"
        if reason is None and moment > now:  # the slot of the one before
            reason = slots[-1].reason
        slots.append(Slot(moment, reason))
        full_at = max(full_at, moment) + own.interval
        latest.append(moment)
    return slots
