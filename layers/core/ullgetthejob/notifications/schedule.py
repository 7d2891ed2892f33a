"""When a notification is due: bursts, quiet hours and digests.

Hours are those of the person's clock on the wall: across a change to or from daylight saving time
a digest at nine comes at nine, and quiet hours until eight end at eight. A time that a change skips
is taken as the time an hour later; of one that comes twice, the first is meant.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ullgetthejob.notifications.messages import Kind
    from ullgetthejob.notifications.preferences import ChannelKind, Digest, Preferences

# What happens within this time of the first event is one message.
BURST = timedelta(minutes=1)
IMMEDIATE: frozenset[str] = frozenset({"link", "test", "confirmation"})  # were just asked for
# Which the person waits for, or which a program receives: quiet hours are not theirs.
WAKES: frozenset[str] = IMMEDIATE


def due_at(
    kind: Kind, channel: ChannelKind, preferences: Preferences, *, now: datetime
) -> datetime:
    """Return when what happens at *now* is told in a channel, at the earliest."""
    if kind == "digest":
        return after_quiet(
            next_digest(preferences.digest, preferences.zone, now=now),
            kind,
            channel,
            preferences,
        )
    is_daily = preferences.route(kind).when == "daily" and channel != "webhook"
    if is_daily:
        due = next_time(preferences.zone, time(preferences.digest.hour), now=now)
    else:
        due = now if kind in IMMEDIATE else now + BURST
    return after_quiet(due, kind, channel, preferences)


def next_digest(digest: Digest, zone: ZoneInfo, *, now: datetime) -> datetime:
    """Return when the next digest is due."""
    weekday = digest.weekday if digest.every == "weekly" else None
    return next_time(zone, time(digest.hour), now=now, weekday=weekday)


def after_quiet(
    moment: datetime, kind: str, channel: ChannelKind, preferences: Preferences
) -> datetime:
    """Return *moment*, or the end of the quiet hours that it lies in."""
    quiet = preferences.quiet_hours
    if quiet is None or kind in WAKES or channel == "webhook":
        return moment
    local = moment.astimezone(preferences.zone).time()
    begins, ends = quiet.begins, quiet.ends
    is_quiet = begins <= local < ends if begins <= ends else local >= begins or local < ends
    return next_time(preferences.zone, ends, now=moment) if is_quiet else moment


def next_time(zone: ZoneInfo, at: time, *, now: datetime, weekday: int | None = None) -> datetime:
    """Return the next moment after *now* at which a clock in *zone* shows *at*, on a *weekday* (1
    is Monday) if one is given."""
    today = now.astimezone(zone).date()
    for days in range(9):
        day = today + timedelta(days=days)
        moment = datetime.combine(day, at, zone).astimezone(UTC)
        if moment > now and weekday in (None, day.isoweekday()):
            return moment
    raise AssertionError("each weekday comes within eight days")
