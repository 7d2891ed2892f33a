"""Search over the open vacancies: filters, order and pages."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.vacancies import search_params, text_query, vacancy_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.sandbox.vacancies.search_params import Search
    from local.sandbox.vacancies.vacancy import Vacancy

    Filter = Callable[[Vacancy], bool]

# Scores of a word by the field in which it is found.
_WEIGHTS = {"name": 10.0, "company_name": 4.0, "description": 1.0}


def _any_of(values_of: Callable[[Vacancy], Iterable[str]]) -> Callable[[frozenset[str]], Filter]:
    def make_filter(wanted: frozenset[str]) -> Filter:
        return lambda vacancy: not wanted.isdisjoint(values_of(vacancy))

    return make_filter


def _area(wanted: frozenset[str]) -> Filter:
    inside = frozenset().union(*map(geography.within, wanted))
    return lambda vacancy: vacancy.area_id in inside


def _metro(vacancy: Vacancy) -> Iterable[str]:
    stations = vacancy.address.stations if vacancy.address else ()
    return [part for station in stations for part in (station.id, station.line_id)]


def _frequency(vacancy: Vacancy) -> Iterable[str]:
    salary = vacancy.salary
    return [salary.frequency] if salary and salary.frequency else []


def _not_employer(unwanted: frozenset[str]) -> Filter:
    return lambda vacancy: vacancy.employer_id not in unwanted


FILTERS: Mapping[str, Callable[[frozenset[str]], Filter]] = {
    "experience": _any_of(lambda vacancy: [vacancy.experience]),
    "employment": _any_of(lambda vacancy: [vacancy.employment]),
    "employment_form": _any_of(lambda vacancy: [vacancy.employment_form]),
    "schedule": _any_of(lambda vacancy: [vacancy.schedule]),
    "work_format": _any_of(lambda vacancy: vacancy.work_format),
    "work_schedule_by_days": _any_of(lambda vacancy: vacancy.work_schedule_by_days),
    "working_hours": _any_of(lambda vacancy: vacancy.working_hours),
    "education": _any_of(lambda vacancy: [vacancy.education]),
    "area": _area,
    "metro": _any_of(_metro),
    "professional_role": _any_of(lambda vacancy: [vacancy.role]),
    "industry": _any_of(lambda vacancy: vacancy.employer.industries),
    "salary_mode": _any_of(lambda vacancy: [vacancy.salary.mode] if vacancy.salary else []),
    "salary_frequency": _any_of(_frequency),
    "driver_license_types": _any_of(lambda vacancy: vacancy.driver_license_types),
    "employer_id": _any_of(lambda vacancy: [vacancy.employer_id] if vacancy.employer_id else []),
    "excluded_employer_id": _not_employer,
}


def _monthly(vacancy: Vacancy, *, highest: bool) -> float | None:
    """Return the highest (or lowest) pay of a vacancy in roubles a month, ``None`` if unknown."""
    salary = vacancy.salary
    if salary is None:
        return None
    bound, fallback = (salary.high, salary.low) if highest else (salary.low, salary.high)
    return salary.monthly(fallback if bound is None else bound)


def _salary(search: Search) -> Filter:
    """Return a filter for pay at or above the wanted one.

    Without *only_with_salary*, vacancies without a salary match too.
    """
    wanted = (search.salary or 0) / catalogue.rates()[search.currency]

    def pays(vacancy: Vacancy) -> bool:
        if vacancy.salary is None:
            return not search.only_with_salary
        if search.salary is None:
            return True
        best = _monthly(vacancy, highest=True)
        return best is not None and best >= wanted

    return pays


def _inside(box: tuple[float, float, float, float]) -> Filter:
    south, west, north, east = box

    def inside(vacancy: Vacancy) -> bool:
        address = vacancy.address
        if address is None or address.lat is None or address.lng is None:
            return False
        return south <= address.lat <= north and west <= address.lng <= east

    return inside


def _without(words: tuple[str, ...]) -> Filter:
    unwanted = [text_query.parse(f'"{word}"') for word in words]
    return lambda vacancy: not any(query.matches(vacancy) for query in unwanted)


def _published(search: Search) -> Filter:
    start = -math.inf if search.published_from is None else search.published_from
    end = math.inf if search.published_to is None else search.published_to
    return lambda vacancy: start <= vacancy.published <= end


def filters(search: Search, query: text_query.Node) -> list[Filter]:
    """Return the filters of a search, the cheap ones first."""
    by_values = [FILTERS[name](values) for name, values in search.one_of.items()]
    optional: list[tuple[bool, Callable[[], Filter]]] = [
        (search.salary is not None or search.only_with_salary, lambda: _salary(search)),
        (bool(search.label), lambda: lambda vacancy: search.label <= vacancy.labels),
        (
            bool(search.part_time),
            lambda: lambda vacancy: not search.part_time.isdisjoint(vacancy.part_time),
        ),
        (search.accept_temporary, lambda: lambda vacancy: vacancy.accept_temporary),
        (
            search.published_from is not None or search.published_to is not None,
            lambda: _published(search),
        ),
        (search.box is not None, lambda: _inside(search.box or (0, 0, 0, 0))),
        (bool(search.text.strip()), lambda: query.matches),
        (bool(search.excluded_text), lambda: _without(search.excluded_text)),
    ]
    return by_values + [make_filter() for is_set, make_filter in optional if is_set]


def distance_m(vacancy: Vacancy, point: tuple[float, float] | None) -> float | None:
    """Return metres from the sort point, ``None`` without a point or coordinates."""
    address = vacancy.address
    if point is None or address is None or address.lat is None or address.lng is None:
        return None
    return round(geography.distance_m(*point, address.lat, address.lng), 1)


def _order(search: Search, query: text_query.Node) -> Callable[[Vacancy], tuple[float, ...]]:
    """Return the sort key of a search; ties are sorted by publication, the newest first."""
    terms = list(query.terms())

    def newest(vacancy: Vacancy) -> tuple[float, ...]:
        return (-vacancy.published, -int(vacancy.id))

    def richest(vacancy: Vacancy) -> tuple[float, ...]:
        best = _monthly(vacancy, highest=True)
        return (math.inf if best is None else -best, *newest(vacancy))

    def poorest(vacancy: Vacancy) -> tuple[float, ...]:
        least = _monthly(vacancy, highest=False)
        return (math.inf if least is None else least, *newest(vacancy))

    def nearest(vacancy: Vacancy) -> tuple[float, ...]:
        metres = distance_m(vacancy, search.sort_point)
        return (math.inf if metres is None else metres, *newest(vacancy))

    def fitting(vacancy: Vacancy) -> tuple[float, ...]:
        score = sum(
            weight
            for term in terms
            for field, weight in _WEIGHTS.items()
            if field in term.fields and term.found_in(vacancy, field)
        )
        return (-score - 2.0 * vacancy.premium, *newest(vacancy))

    return {
        "publication_time": newest,
        "salary_desc": richest,
        "salary_asc": poorest,
        "distance": nearest,
        "relevance": fitting,
    }[search.order_by]


def find(search: Search, vacancies: Iterable[Vacancy]) -> list[Vacancy]:
    """Return all matching vacancies in the order of the search."""
    query = text_query.parse(search.text, search.search_field or text_query.FIELDS)
    found = list(vacancies)
    for matches in filters(search, query):
        found = [vacancy for vacancy in found if matches(vacancy)]
    found.sort(key=_order(search, query))
    if search.premium:  # no filter (hh.ru: the order of the site)
        found.sort(key=lambda vacancy: not vacancy.premium)
    return found


def page_of(
    search: Search,
    vacancies: Iterable[Vacancy],
    sent: Iterable[tuple[str, str]],
    *,
    overlap: int = 0,
) -> dict[str, Any]:
    """Return the body of ``GET /vacancies``; *sent*: the query's pairs, for the link to the site.

    *overlap*: by how many places the pages after the first are shifted, as if that many vacancies
    had been published, and the oldest closed, since the first page was read: its last items are
    repeated, and the last of all are on no page.
    """
    found = find(search, vacancies)
    terms = list(text_query.parse(search.text, search.search_field or text_query.FIELDS).terms())

    @cache
    def wanted(word: str) -> bool:
        return any("description" in term.fields and term.wants(word) for term in terms)

    shift = overlap if search.page else 0
    start = search.page * search.per_page
    end = min(start + search.per_page, len(found))
    reachable = min(len(found), search_params.DEPTH)
    return {
        "items": [
            vacancy_shape.item(
                vacancy,
                wanted=wanted if terms else None,
                distance_m=distance_m(vacancy, search.sort_point),
                responses_count=search.responses_count,
            )
            for vacancy in found[max(0, start - shift) : max(0, end - shift)]
        ],
        "found": len(found),
        "pages": math.ceil(reachable / search.per_page) if search.per_page else 0,
        "page": search.page,
        "per_page": search.per_page,
        "clusters": None,
        "arguments": None,
        "fixes": None,
        "suggests": None,
        "alternate_url": "https://hh.ru/search/vacancy?" + urlencode(list(sent)),
    }
