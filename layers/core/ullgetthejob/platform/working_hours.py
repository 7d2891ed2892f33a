"""Working hours: when something may begin, in a time zone. Pure functions of their arguments.

Working hours are local wall-clock times. Where the clock is put forward, an hour that does not
exist begins and ends at the moment of the change; where it is put back, hours last from the first
time that the clock shows their beginning to the last time that it shows their end.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
# Working hours of one weekday open within eight days; within fifteen if a zone skips a day (Samoa).
DAYS_AHEAD = 16

# Excludes the folders with copies of all zones (one with leap seconds), and the machine's own zone.
ZONE = re.compile(
    r"(?!(posix|right)/|(localtime|posixrules)$)[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}"
)

Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Weekday = Annotated[int, Field(ge=1, le=7)]


def check_zone(name: str) -> str:
    """Return *name* if it is an IANA time zone. Raises :class:`ValueError`."""
    if ZONE.fullmatch(name):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a folder
            pass
        else:
            return name
    raise ValueError("must be an IANA time zone, such as Europe/Moscow")


def _sorted(days: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(days)))


Zone = Annotated[str, Field(max_length=122), AfterValidator(check_zone)]
Days = Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7), AfterValidator(_sorted)]


class WorkingHours(Model):
    """``{"from": "09:00", "to": "20:00", "days": [1, 2, 3, 4, 5]}``: *from* is included, *to* is
    not.

    An end that does not lie after the beginning is on the next day; the days (1: Monday; by default
    all) are those on which the hours begin.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    opens: Clock = Field(alias="from")
    closes: Clock = Field(alias="to")
    days: Days | None = Field(None, description="1: Monday; null: all")


def opening(working_hours: WorkingHours | None, zone: str, moment: datetime) -> datetime:
    """Return the first moment, from *moment* on, in the working hours; in UTC."""
    moment = moment.astimezone(UTC)
    if working_hours is None:
        return moment
    spans = _spans(working_hours, ZoneInfo(zone), moment)
    return next(max(begins, moment) for begins, ends in spans if ends > max(begins, moment))


def is_open(working_hours: WorkingHours | None, zone: str, moment: datetime) -> bool:
    """Return whether *moment* lies in the working hours."""
    return opening(working_hours, zone, moment) == moment


def _spans(
    hours: WorkingHours, zone: ZoneInfo, moment: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the beginning and end of the working hours around *moment* and after, in order; they
    are empty where a clock change skips all of them."""
    opens, closes = time.fromisoformat(hours.opens), time.fromisoformat(hours.closes)
    # Two days back: for hours of the day before, where a zone has skipped the day between.
    first = moment.astimezone(zone).date() - 2 * DAY
    for number in range(DAYS_AHEAD + 2):
        day = first + number * DAY
        if hours.days is None or day.isoweekday() in hours.days:
            last = day if opens < closes else day + DAY
            begins, ends = _instant(day, opens, zone, fold=0), _instant(last, closes, zone, fold=1)
            yield begins, ends


def _instant(day: date, at: time, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return when the clock in *zone* shows *at*, the first (*fold* 0) or the last time (1); the
    moment of the clock change if it skips *at*."""
    first, last = (
        datetime.combine(day, at, zone).replace(fold=side).astimezone(UTC) for side in (0, 1)
    )
    if first <= last:
        return last if fold else first
    # Python reads a skipped time by the offset before the change (later in UTC) or after (sooner).
    before, after = last, first
    old = before.astimezone(zone).utcoffset()
    while after - before > SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
