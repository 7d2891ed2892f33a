"""The filters of the sandbox's search, compared with a check of every vacancy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from multidict import MultiDict

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.vacancies import search, search_params, vacancy_shape
from local.sandbox.vacancies.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.vacancies.vacancy import Vacancy

NOW = 1_795_000_000.0
DAY = 86_400


@pytest.fixture(scope="module")
def vacancies() -> list[Vacancy]:
    """Return a small world in which each vacancy has both generations of keys."""
    world = World(seed=5, size=1_500).at(NOW)
    return [dataclasses.replace(vacancy, shape="both") for vacancy in world.values()]


def ask(vacancies: list[Vacancy], *pairs: tuple[str, str]) -> list[Vacancy]:
    return search.find(search_params.parse(MultiDict(pairs), NOW), vacancies)


def named(item: dict[str, Any], key: str) -> set[str]:
    """Return the ids that an item has under a key, which holds an object or a list."""
    value = item[key]
    return {entry["id"] for entry in (value if isinstance(value, list) else [value])}


def shows(key: str, *wanted: str) -> Callable[[Vacancy], bool]:
    return lambda vacancy: bool(named(vacancy_shape.item(vacancy), key) & set(wanted))


def monthly_roubles(vacancy: Vacancy) -> float | None:
    pay = vacancy_shape.item(vacancy)["salary_range"]
    if pay is None or pay["mode"]["id"] == "SERVICE":
        return None
    months = {"MONTH": 1, "FLY_IN_FLY_OUT": 1, "SHIFT": 15, "HOUR": 165}[pay["mode"]["id"]]
    amount = pay["to"] if pay["to"] is not None else pay["from"]
    return float(amount * months / catalogue.rates()[pay["currency"]])


def coordinates(vacancy: Vacancy) -> tuple[float, float] | None:
    address = vacancy_shape.item(vacancy)["address"]
    return (address["lat"], address["lng"]) if address and address["lat"] is not None else None


def inside(vacancy: Vacancy) -> bool:
    point = coordinates(vacancy)
    return point is not None and 55.7 <= point[0] <= 55.8 and 37.5 <= point[1] <= 37.7


def part_time(vacancy: Vacancy) -> bool:
    item = vacancy_shape.item(vacancy)
    return bool(item["working_days"]) or named(item, "employment") == {"project"}


def near_metro(*wanted: str) -> Callable[[Vacancy], bool]:
    def matches(vacancy: Vacancy) -> bool:
        address = vacancy_shape.item(vacancy)["address"]
        stations = address["metro_stations"] if address else []
        return any(
            station["station_id"] in wanted or station["line_id"] in wanted for station in stations
        )

    return matches


CASES: dict[str, tuple[list[tuple[str, str]], Callable[[Vacancy], bool]]] = {
    "experience": (
        [("experience", "noExperience"), ("experience", "moreThan6")],
        shows("experience", "noExperience", "moreThan6"),
    ),
    "employment": (
        [("employment", "part"), ("employment", "probation")],
        shows("employment", "part", "probation"),
    ),
    "employment_form": ([("employment_form", "PROJECT")], shows("employment_form", "PROJECT")),
    "schedule": ([("schedule", "remote")], shows("schedule", "remote")),
    "several schedules": (
        [("schedule", "shift"), ("schedule", "flyInFlyOut")],
        shows("schedule", "shift", "flyInFlyOut"),
    ),
    "work_format": ([("work_format", "HYBRID")], shows("work_format", "HYBRID")),
    "work_schedule_by_days": (
        [("work_schedule_by_days", "TWO_ON_TWO_OFF")],
        shows("work_schedule_by_days", "TWO_ON_TWO_OFF"),
    ),
    "working_hours": ([("working_hours", "HOURS_12")], shows("working_hours", "HOURS_12")),
    "education": ([("education", "higher")], lambda vacancy: vacancy.education == "higher"),
    "area of a city": ([("area", "2")], lambda vacancy: vacancy.area_id == "2"),
    "area of a region": (
        [("area", "2019")],
        lambda vacancy: geography.areas()[vacancy.area_id].parent_id == "2019",
    ),
    "area of a country": (
        [("area", "16")],
        lambda vacancy: geography.country(vacancy.area_id) == "16",
    ),
    "metro station": ([("metro", "2.101")], near_metro("2.101")),
    "metro line": ([("metro", "15"), ("metro", "2.12")], near_metro("15", "2.12")),
    "professional_role": (
        [("professional_role", "96"), ("professional_role", "160")],
        shows("professional_roles", "96", "160"),
    ),
    "industry group": (
        [("industry", "43")],
        lambda vacancy: vacancy.employer.industries[0] == "43",
    ),
    "industry": (
        [("industry", "7.540")],
        lambda vacancy: vacancy.employer.industries[1] == "7.540",
    ),
    "salary": (
        [("salary", "200000")],
        lambda vacancy: vacancy.salary is None or (monthly_roubles(vacancy) or 0) >= 200_000,
    ),
    "salary in dollars": (
        [("salary", "3000"), ("currency", "USD"), ("only_with_salary", "true")],
        lambda vacancy: (monthly_roubles(vacancy) or 0) >= 3_000 / catalogue.rates()["USD"],
    ),
    "only_with_salary": (
        [("only_with_salary", "true")],
        lambda vacancy: vacancy.salary is not None,
    ),
    "salary_mode": (
        [("salary_mode", "HOUR")],
        lambda vacancy: vacancy.salary is not None and vacancy.salary.mode == "HOUR",
    ),
    "salary_frequency": (
        [("salary_frequency", "TWICE_PER_MONTH")],
        lambda vacancy: (
            vacancy.salary is not None and vacancy.salary.frequency == "TWICE_PER_MONTH"
        ),
    ),
    "driver_license_types": (
        [("driver_license_types", "B")],
        lambda vacancy: (
            {"id": "B"} in vacancy_shape.detail(vacancy, archived=False)["driver_license_types"]
        ),
    ),
    "period": ([("period", "3")], lambda vacancy: vacancy.published >= NOW - 3 * DAY),
    "date_from": (
        [("date_from", "2026-11-10")],
        lambda vacancy: vacancy_shape.moment(vacancy.published) >= "2026-11-10",
    ),
    "date_from and date_to": (
        [("date_from", "2026-11-05"), ("date_to", "2026-11-09")],
        lambda vacancy: "2026-11-05" <= vacancy_shape.moment(vacancy.published) < "2026-11-10",
    ),
    "date_from with a time": (
        [("date_from", "2026-11-10T12:03:00+0300")],
        lambda vacancy: vacancy_shape.moment(vacancy.published) >= "2026-11-10T12:00:00",
    ),
    "bbox": (
        [("bottom_lat", "55.7"), ("top_lat", "55.8"), ("left_lng", "37.5"), ("right_lng", "37.7")],
        inside,
    ),
    "part_time": (
        [("part_time", "only_saturday_and_sunday"), ("part_time", "project")],
        part_time,
    ),
    "accept_temporary": (
        [("accept_temporary", "true")],
        lambda vacancy: vacancy_shape.item(vacancy)["accept_temporary"],
    ),
    "excluded_text": (
        [("excluded_text", "python, опыт")],
        lambda vacancy: (
            not any({"python", "опыт"} & set(stems) for stems in vacancy.stems.values())
        ),
    ),
    "text": (
        [("text", "python")],
        lambda vacancy: any("python" in stems for stems in vacancy.stems.values()),
    ),
    "text in a field": (
        [("text", "python"), ("search_field", "name")],
        lambda vacancy: "python" in vacancy.name.lower(),
    ),
    "all at once": (
        [("text", "разработчик"), ("area", "113"), ("schedule", "remote"), ("employment", "full")],
        lambda vacancy: (
            any("разработчик" in stems for stems in vacancy.stems.values())
            and geography.country(vacancy.area_id) == "113"
            and shows("schedule", "remote")(vacancy)
            and shows("employment", "full")(vacancy)
        ),
    ),
    "label with_address": (
        [("label", "with_address")],
        lambda vacancy: vacancy_shape.item(vacancy)["address"] is not None,
    ),
    "label accredited_it": (
        [("label", "accredited_it")],
        lambda vacancy: vacancy_shape.item(vacancy)["employer"].get(
            "accredited_it_employer", False
        ),
    ),
    "label internship": (
        [("label", "internship")],
        lambda vacancy: vacancy_shape.item(vacancy)["internship"],
    ),
    "label night_shifts": (
        [("label", "night_shifts")],
        lambda vacancy: vacancy_shape.item(vacancy)["night_shifts"],
    ),
    "label low_performance": (
        [("label", "low_performance")],
        lambda vacancy: vacancy.responses < 10,
    ),
    "label not_from_agency": (
        [("label", "not_from_agency")],
        lambda vacancy: not vacancy.employer.agency,
    ),
    "label accept_handicapped": (
        [("label", "accept_handicapped")],
        lambda vacancy: vacancy_shape.detail(vacancy, archived=False)["accept_handicapped"],
    ),
    "label accept_kids": (
        [("label", "accept_kids")],
        lambda vacancy: vacancy_shape.detail(vacancy, archived=False)["accept_kids"],
    ),
    "label accept_teens": (
        [("label", "accept_teens")],
        lambda vacancy: (
            vacancy_shape.detail(vacancy, archived=False)["age_restriction"] is not None
        ),
    ),
    "two labels": (
        [("label", "with_salary"), ("label", "with_address")],
        lambda vacancy: vacancy.salary is not None and vacancy.address is not None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_filter_finds_exactly_the_matching_vacancies(vacancies: list[Vacancy], case: str) -> None:
    pairs, matches = CASES[case]
    expected = {vacancy.id for vacancy in vacancies if matches(vacancy)}
    assert {vacancy.id for vacancy in ask(vacancies, *pairs)} == expected
    assert 0 < len(expected) < len(vacancies), "the world must have both kinds"


def test_employer_filters_include_and_exclude(vacancies: list[Vacancy]) -> None:
    employer_id = next(vacancy.employer.id for vacancy in vacancies if vacancy.kind == "open")
    theirs = {v.id for v in vacancies if v.employer_id == employer_id}
    assert {v.id for v in ask(vacancies, ("employer_id", employer_id))} == theirs
    rest = ask(vacancies, ("excluded_employer_id", employer_id))
    assert {v.id for v in rest} == {v.id for v in vacancies} - theirs


def test_anonymous_vacancy_is_not_found_by_its_employer(vacancies: list[Vacancy]) -> None:
    anonymous = next(vacancy for vacancy in vacancies if vacancy.kind == "anonymous")
    found = ask(vacancies, ("employer_id", anonymous.employer.id))
    assert anonymous.id not in {vacancy.id for vacancy in found}


def test_premium_parameter_orders_and_does_not_filter(vacancies: list[Vacancy]) -> None:
    newest = ask(vacancies, ("order_by", "publication_time"))
    found = ask(vacancies, ("order_by", "publication_time"), ("premium", "true"))
    assert [v.id for v in found] == [v.id for v in newest if v.premium] + [
        v.id for v in newest if not v.premium
    ]
    assert found[0].premium
    assert not found[-1].premium


def test_period_is_capped_at_a_month(vacancies: list[Vacancy]) -> None:
    assert len(ask(vacancies, ("period", "365"))) == len(ask(vacancies, ("period", "31")))


@pytest.mark.parametrize("flag", ["no_magic", "clusters", "describe_arguments"])
def test_ignored_flags_do_not_change_the_result(vacancies: list[Vacancy], flag: str) -> None:
    assert len(ask(vacancies, (flag, "true"))) == len(vacancies)


def test_order_by_publication_time_is_newest_first(vacancies: list[Vacancy]) -> None:
    times = [vacancy.published for vacancy in ask(vacancies, ("order_by", "publication_time"))]
    assert times == sorted(times, reverse=True)


def test_order_by_salary_spans_currencies_and_modes(vacancies: list[Vacancy]) -> None:
    found = ask(vacancies, ("order_by", "salary_desc"), ("only_with_salary", "true"))
    amounts = [monthly_roubles(vacancy) for vacancy in found]
    known = [amount for amount in amounts if amount is not None]
    assert known == sorted(known, reverse=True)
    assert amounts[: len(known)] == known, "those that cannot be compared come last"
    assert len({vacancy.salary.currency for vacancy in found if vacancy.salary}) > 4
    cheapest = ask(vacancies, ("order_by", "salary_asc"))
    assert cheapest[-1].salary is None or monthly_roubles(cheapest[-1]) is None


def test_order_by_distance_shows_the_distance(vacancies: list[Vacancy]) -> None:
    pairs = [("order_by", "distance"), ("sort_point_lat", "55.75"), ("sort_point_lng", "37.6")]
    query = MultiDict(pairs)
    body = search.page_of(search_params.parse(query, NOW), vacancies, query.items())
    metres = [item["sort_point_distance"] for item in body["items"]]
    assert metres == sorted(metres)
    assert 0 < metres[0] < 5_000


def test_pages_contain_each_vacancy_once(vacancies: list[Vacancy]) -> None:
    seen: list[str] = []
    page = 0
    while True:
        query = MultiDict([("per_page", "100"), ("page", str(page)), ("text", "опыт")])
        body = search.page_of(search_params.parse(query, NOW), vacancies, query.items())
        seen += [item["id"] for item in body["items"]]
        page += 1
        if page >= body["pages"]:
            break
    assert len(seen) == len(set(seen)) == body["found"] > 100


def test_pages_end_at_the_search_depth() -> None:
    many = list(World(seed=5, size=2_500).at(NOW).values())
    query = MultiDict([("per_page", "100")])
    body = search.page_of(search_params.parse(query, NOW), many, query.items())
    assert body["found"] == len(many) > 2_000
    assert body["pages"] == 20


def test_per_page_zero_returns_only_counts(vacancies: list[Vacancy]) -> None:
    query = MultiDict([("per_page", "0")])
    body = search.page_of(search_params.parse(query, NOW), vacancies, query.items())
    assert (body["items"], body["found"], body["pages"]) == ([], len(vacancies), 0)


def test_response_counters_need_their_parameter(vacancies: list[Vacancy]) -> None:
    def first(*pairs: tuple[str, str]) -> dict[str, Any]:
        query = MultiDict(pairs)
        body = search.page_of(search_params.parse(query, NOW), vacancies, query.items())
        item: dict[str, Any] = body["items"][0]
        return item

    assert "counters" not in first()
    assert first(("responses_count_enabled", "true"))["counters"]["responses"] >= 0
