"""Schedule expressions of EventBridge: ``rate(5 minutes)`` and ``cron(0 10 ? * MON-FRI *)``.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html. AWS's cron is not
Unix's: six fields, the last one the year; Sunday is 1; one of the two day fields is ``?``; ``L``,
``W`` and ``#``. What AWS does not document (``L-3``, ranges that wrap around, such as ``FRI-MON``)
is refused, as are the one-time ``at(...)`` schedules.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNITS = {"minute": "minutes", "hour": "hours", "day": "days"}
_MONTHS = dict(
    zip(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
        range(1, 13),
        strict=True,
    )
)
_WEEKDAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_SATURDAY = 7
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_LONGEST_REPEAT = timedelta(hours=3)  # of wall time, when clocks go back


class Schedule(Protocol):
    """Moments at which something is due; all are aware, in UTC."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first moment after *moment*, which for a rate is the last one before; or none."""

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last moment after *after* and not after *until*, if there is any."""


@dataclass(frozen=True)
class Rate:
    """Every *period*, counted from the moment before, whatever the wall clock says."""

    period: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """See :class:`Schedule`."""
        return moment + self.period

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """See :class:`Schedule`."""
        periods = (until - after) // self.period
        return after + periods * self.period if periods > 0 else None


@dataclass(frozen=True)
class Cron:
    """At *times* of the days that *falls_on* picks, by the wall clock of *zone*.

    A time that the wall clock skips does not come that day; one that it shows twice comes the
    first time only: so EventBridge Scheduler has it.
    """

    times: tuple[time, ...]  # ascending
    falls_on: Callable[[date], bool]
    zone: tzinfo = UTC

    def next_after(self, moment: datetime) -> datetime | None:
        """See :class:`Schedule`."""
        start = moment.astimezone(self.zone).replace(tzinfo=None)
        found = map(self._moment, self._after(start))
        return next((each for each in found if each is not None and each > moment), None)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """See :class:`Schedule`."""
        start = until.astimezone(self.zone).replace(tzinfo=None) + _LONGEST_REPEAT
        for each in map(self._moment, self._up_to(start)):
            if each is not None and each <= until:
                return each if each > after else None
        return None

    def _after(self, wall: datetime) -> Iterator[datetime]:
        for day in self._days(wall.date(), 1):
            first = bisect_right(self.times, wall.time()) if day == wall.date() else 0
            for each in self.times[first:]:
                yield datetime.combine(day, each)

    def _up_to(self, wall: datetime) -> Iterator[datetime]:
        for day in self._days(wall.date(), -1):
            end = bisect_right(self.times, wall.time()) if day == wall.date() else None
            for each in reversed(self.times[:end]):
                yield datetime.combine(day, each)

    def _days(self, day: date, step: int) -> Iterator[date]:
        while _FIRST_YEAR <= day.year <= _LAST_YEAR:
            if self.falls_on(day):
                yield day
            day += timedelta(days=step)

    def _moment(self, wall: datetime) -> datetime | None:
        moment = wall.replace(tzinfo=self.zone).astimezone(UTC)
        return moment if moment.astimezone(self.zone).replace(tzinfo=None) == wall else None


def parse(expression: str, time_zone: str = "UTC") -> Schedule:
    """The schedule that *expression* describes. Raises ``ValueError`` with what is wrong."""
    match re.fullmatch(r"(\w+)\((.*)\)", expression.strip()):
        case re.Match() as call if call[1] == "rate":
            return _rate(call[2])
        case re.Match() as call if call[1] == "cron":
            return _cron(call[2].upper(), _zone(time_zone))
    raise ValueError(f"{expression!r} is neither rate(...) nor cron(...)")


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Etc/UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None


def _rate(text: str) -> Rate:
    match = re.fullmatch(r"([1-9]\d{0,5}) +(minute|hour|day)s?", text.strip())
    if match is None:
        raise ValueError(f"rate({text}) is not a positive number of minutes, hours or days")
    return Rate(timedelta(**{_UNITS[match[2]]: int(match[1])}))


# ── cron ─────────────────────────────────────────────────────────────────────────────────────────


def _cron(text: str, zone: tzinfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise ValueError(f"cron({text}) has not six fields")
    minute, hour, day_of_month, month, day_of_week, year = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError(f"cron({text}): one of day-of-month and day-of-week must be ?")
    hours, minutes = _numbers("hours", hour, 0, 23), _numbers("minutes", minute, 0, 59)
    months = _numbers("month", month, 1, 12, _MONTHS)
    years = _numbers("year", year, _FIRST_YEAR, _LAST_YEAR)
    on_day = _by_weekday(day_of_week) if day_of_month == "?" else _by_date(day_of_month)
    return Cron(
        tuple(time(h, m) for h in sorted(hours) for m in sorted(minutes)),
        lambda day: day.year in years and day.month in months and on_day(day),
        zone,
    )


def _numbers(
    field: str, text: str, low: int, high: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    """The numbers that a list of ``*``, ``n``, ``n-m``, and each of these ``/step``, stands for."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            if span == "*":
                start, end = low, high
            else:
                start = _number(first, names)
                end = _number(last, names) if dash else high if slash else start
            by = int(step) if slash else 1
        except ValueError:
            raise ValueError(f"{part!r} cannot be read as {field}") from None
        if not low <= start <= end <= high or by < 1:
            raise ValueError(f"{part!r} is not within the {field} {low}-{high}")
        found.update(range(start, end + 1, by))
    return frozenset(found)


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def _by_date(text: str) -> Callable[[date], bool]:
    if text == "L":
        return lambda day: day.day == _last_day(day)
    if text == "LW":
        return lambda day: day.day == _nearest_weekday(day, _last_day(day))
    if match := re.fullmatch(r"(\d+)W", text):
        (wanted,) = _numbers("day-of-month", match[1], 1, 31)
        return lambda day: day.day == _nearest_weekday(day, wanted)
    days = _numbers("day-of-month", text, 1, 31)
    return lambda day: day.day in days


def _by_weekday(text: str) -> Callable[[date], bool]:
    if text == "L":
        return lambda day: _weekday(day) == _SATURDAY
    if match := re.fullmatch(r"(\w+)L", text):
        (last,) = _numbers("day-of-week", match[1], 1, 7, _WEEKDAYS)
        return lambda day: _weekday(day) == last and day.day + 7 > _last_day(day)
    if match := re.fullmatch(r"(\w+)#([1-5])", text):
        (wanted,) = _numbers("day-of-week", match[1], 1, 7, _WEEKDAYS)
        week = int(match[2])
        return lambda day: _weekday(day) == wanted and (day.day - 1) // 7 + 1 == week
    if "/" in text:
        raise ValueError(f"{text!r}: day-of-week has no increments")
    weekdays = _numbers("day-of-week", text, 1, 7, _WEEKDAYS)
    return lambda day: _weekday(day) in weekdays


def _weekday(day: date) -> int:
    """1 is Sunday, 7 Saturday."""
    return day.isoweekday() % 7 + 1


def _last_day(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(month: date, wanted: int) -> int | None:
    """The working day of *month* nearest to the day *wanted*; none if the month has no such day."""
    last = _last_day(month)
    if wanted > last:
        return None
    match month.replace(day=wanted).isoweekday():
        case 6:
            return wanted - 1 if wanted > 1 else wanted + 2
        case 7:
            return wanted + 1 if wanted < last else wanted - 2
    return wanted
