"""The parameters of ``GET /vacancies``, parsed as hh.ru does.

Repeated keys make a list; a value that is not in hh.ru's dictionaries is refused with
``bad_argument`` (also several values joined by commas); unknown names are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local.sandbox import errors
from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.vacancies.vacancy_shape import MOSCOW

if TYPE_CHECKING:
    from collections.abc import Collection

    from multidict import MultiMapping

DEPTH = 2_000
PER_PAGE = 20
PER_PAGE_MAX = 100
LONGEST_TEXT = 3_000
LONGEST_PERIOD_DAYS = 31
DATE_STEP_S = 300

EDUCATION = frozenset({"not_required_or_not_specified", "special_secondary", "higher"})
PART_TIME = frozenset(
    {
        "only_saturday_and_sunday",
        "from_four_to_six_hours_in_a_day",
        "start_after_sixteen",
        "part",
        "project",
        "accept_temporary",
    }
)
# hh.ru, 1.54.0: south, west, north, east.
BOX = ("bottom_lat", "left_lng", "top_lat", "right_lng")

# Names that GET /vacancies ignores, and the version of hh.ru's documents since when.
IGNORED_SINCE = {"premium": "1.50.1", "excluded_employer_id": "1.54.0"}

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Search:
    """The parameters of a search. Empty collections and ``None`` filter nothing.

    Times are seconds since the epoch; *box* is south, west, north, east in degrees.
    """

    text: str = ""
    search_field: tuple[str, ...] = ()
    excluded_text: tuple[str, ...] = ()
    one_of: dict[str, frozenset[str]] = field(default_factory=dict)
    salary: float | None = None
    currency: str = "RUR"
    only_with_salary: bool = False
    label: frozenset[str] = frozenset()
    published_from: float | None = None
    published_to: float | None = None
    box: tuple[float, float, float, float] | None = None
    sort_point: tuple[float, float] | None = None
    order_by: str = "relevance"
    part_time: frozenset[str] = frozenset()
    accept_temporary: bool = False
    premium: bool = False
    responses_count: bool = False
    page: int = 0
    per_page: int = PER_PAGE


class _Reader:
    def __init__(self, query: MultiMapping[str]) -> None:
        self.query = query

    def many(self, name: str, known: Collection[str]) -> frozenset[str]:
        """Return all values of a repeatable parameter; an empty value counts as absent."""
        values = [value for value in self.query.getall(name, []) if value]
        if any(value not in known for value in values):
            raise errors.bad_argument(name)
        return frozenset(values)

    def ids(self, name: str) -> frozenset[str]:
        """Return ids of employers: any numbers, known or not."""
        values = [value for value in self.query.getall(name, []) if value]
        if not all(_NUMBER.fullmatch(value) for value in values):
            raise errors.bad_argument(name)
        return frozenset(values)

    def flag(self, name: str) -> bool:
        value = self.query.get(name) or "false"
        if value.lower() not in {"true", "false"}:
            raise errors.bad_argument(name)
        return value.lower() == "true"

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.query.get(name)
        if not value:
            return default
        if not _NUMBER.fullmatch(value) or not low <= int(value) <= high:
            raise errors.bad_argument(name)
        return int(value)

    def number(self, name: str) -> float | None:
        value = self.query.get(name)
        if not value:
            return None
        if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value):
            raise errors.bad_argument(name)
        return float(value)

    def date(self, name: str) -> float | None:
        """Return a day (Moscow's midnight) or a time, rounded down to five minutes."""
        value = self.query.get(name)
        if not value:
            return None
        try:
            # In a query string "+" is a space: clients that forget to escape it are common.
            moment = datetime.fromisoformat(re.sub(r" (?=\d{2}:?\d{2}$)", "+", value))
        except ValueError:
            raise errors.bad_argument(name) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=MOSCOW)
        seconds = moment.astimezone(UTC).timestamp()
        return seconds - seconds % DATE_STEP_S


def _dates(reader: _Reader, now: float) -> tuple[float | None, float | None]:
    start, end = reader.date("date_from"), reader.date("date_to")
    if reader.query.get("period"):
        if start is not None or end is not None:
            raise errors.bad_argument("period")
        days = min(reader.whole("period", 0, 1, 100_000), LONGEST_PERIOD_DAYS)
        return now - timedelta(days=days).total_seconds(), None
    if end is not None and start is None:
        raise errors.bad_argument("date_to")
    if end is not None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", reader.query["date_to"]):
        end += timedelta(days=1).total_seconds()  # a day means all of it
    return start, end


def _box(reader: _Reader) -> tuple[float, float, float, float] | None:
    sides = [reader.number(name) for name in BOX]
    if all(side is None for side in sides):
        return None
    missing = [name for name, side in zip(BOX, sides, strict=True) if side is None]
    if missing:
        raise errors.bad_argument(*missing)
    south, west, north, east = (side for side in sides if side is not None)
    return south, west, north, east


def _sort_point(reader: _Reader, order_by: str) -> tuple[float, float] | None:
    lat, lng = reader.number("sort_point_lat"), reader.number("sort_point_lng")
    if lat is None or lng is None:
        if order_by == "distance" or (lat, lng) != (None, None):
            raise errors.bad_argument("sort_point_lat" if lat is None else "sort_point_lng")
        return None
    return lat, lng


def _order(reader: _Reader) -> str:
    order = reader.query.get("order_by") or "relevance"
    if order not in catalogue.ids("vacancy_search_order"):
        raise errors.bad_argument("order_by")
    return order


def _pages(reader: _Reader) -> tuple[int, int]:
    per_page = reader.whole("per_page", PER_PAGE, 0, PER_PAGE_MAX)
    page = reader.whole("page", 0, 0, 10**9)
    if (page + 1) * per_page > DEPTH:
        raise errors.search_depth_exceeded()
    return page, per_page


def _one_of(reader: _Reader) -> dict[str, frozenset[str]]:
    """Return the filters of which a vacancy must match any value."""
    known: dict[str, Collection[str]] = {
        "experience": catalogue.ids("experience"),
        "employment": catalogue.ids("employment"),
        "employment_form": catalogue.ids("vacancy_search_employment_form"),
        "schedule": catalogue.ids("schedule"),
        "work_format": catalogue.ids("work_format"),
        "work_schedule_by_days": catalogue.ids("work_schedule_by_days"),
        "working_hours": catalogue.ids("working_hours"),
        "education": EDUCATION,
        "area": geography.areas(),
        "metro": _metro_ids(),
        "professional_role": catalogue.roles(),
        "industry": catalogue.industry_ids(),
        "salary_mode": catalogue.ids("salary_range_mode"),
        "salary_frequency": catalogue.ids("salary_range_frequency"),
        "driver_license_types": catalogue.ids("driver_license_types"),
    }
    filters = {name: reader.many(name, values) for name, values in known.items()}
    if len(filters["salary_mode"]) > 1:  # hh.ru, 1.54.0: a single value
        raise errors.bad_argument("salary_mode")
    for name in ("employer_id", "excluded_employer_id"):
        filters[name] = reader.ids(name)
    return {name: values for name, values in filters.items() if values}


def _metro_ids() -> set[str]:
    """Return the ids of stations and of lines."""
    stations = geography.stations().values()
    return {station.id for station in stations} | {station.line_id for station in stations}


def parse(query: MultiMapping[str], now: float) -> Search:
    """Return the search that *query* means. Raises :class:`~local.sandbox.errors.ApiError` 400."""
    reader = _Reader(query)
    text = query.get("text", "")
    if len(text) > LONGEST_TEXT:
        raise errors.bad_argument("text", reason="too_long_value")
    page, per_page = _pages(reader)
    currency = query.get("currency") or "RUR"
    if currency not in catalogue.rates():
        raise errors.bad_argument("currency")
    order_by = _order(reader)
    published_from, published_to = _dates(reader, now)
    for name in ("no_magic", "clusters", "describe_arguments"):
        reader.flag(name)  # checked only; the fields that they add are always null here
    return Search(
        text=text,
        search_field=tuple(
            sorted(reader.many("search_field", catalogue.ids("vacancy_search_fields")))
        ),
        excluded_text=tuple(
            word.strip() for word in query.get("excluded_text", "").split(",") if word.strip()
        ),
        one_of=_one_of(reader),
        salary=reader.number("salary"),
        currency=currency,
        only_with_salary=reader.flag("only_with_salary"),
        label=reader.many("label", catalogue.ids("vacancy_label")),
        published_from=published_from,
        published_to=published_to,
        box=_box(reader),
        sort_point=_sort_point(reader, order_by),
        order_by=order_by,
        part_time=reader.many("part_time", PART_TIME),
        accept_temporary=reader.flag("accept_temporary"),
        premium=reader.flag("premium"),
        responses_count=reader.flag("responses_count_enabled"),
        page=page,
        per_page=per_page,
    )
