"""The sandbox's world: the same for a seed, moving with time, and believable."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from local.sandbox.vacancies import handmade, vacancy_shape
from local.sandbox.vacancies.handmade import InvalidVacancy
from local.sandbox.vacancies.world import World

NOW = 1_795_000_000.0
DAY = 86_400


def shown(world: World, now: float) -> list[dict[str, Any]]:
    return [vacancy_shape.item(vacancy) for vacancy in world.at(now).values()]


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    return shown(World(seed=1, size=4_000), NOW)


@pytest.fixture(scope="module")
def details() -> list[dict[str, Any]]:
    vacancies = World(seed=1, size=4_000).at(NOW).values()
    return [vacancy_shape.detail(vacancy, archived=False) for vacancy in vacancies]


def test_a_seed_gives_the_same_world_every_time() -> None:
    first = shown(World(seed=3, size=300), NOW)
    assert shown(World(seed=3, size=300), NOW) == first
    assert shown(World(seed=4, size=300), NOW) != first


def test_a_world_that_ran_is_the_one_that_starts_there() -> None:
    ran = World(seed=3, size=300)
    for hour in range(0, 24 * 40, 7):
        ran.at(NOW + hour * 3_600)
    end = NOW + 40 * DAY
    assert set(ran.at(end)) == set(World(seed=3, size=300).at(end))


def test_time_publishes_and_closes() -> None:
    world = World(seed=3, size=4_000)
    before = set(world.at(NOW))
    after = set(world.at(NOW + 3_600))
    assert 4 <= len(after - before) <= 25, "a few every ten minutes"
    assert before - after, "some of the old ones closed"
    assert min(map(int, after - before)) > max(map(int, before)), "ids grow with time"


def test_the_number_of_open_vacancies_stays_about_the_same() -> None:
    world = World(seed=3, size=1_000)
    for days in range(0, 200, 10):
        assert 850 <= len(world.at(NOW + days * DAY)) <= 1_150


def test_ids_are_hh_rus_strings_of_nine_digits(items: list[dict[str, Any]]) -> None:
    assert all(re.fullmatch(r"1[0-9]{8}", item["id"]) for item in items)
    assert len({item["id"] for item in items}) == len(items)


def test_a_closed_vacancy_is_archived_and_not_found_by_search() -> None:
    world = World(seed=3, size=300)
    vacancy_id, vacancy = next(iter(world.at(NOW).items()))
    assert world.find(vacancy_id, NOW) == (vacancy, False)
    later = vacancy.closes + 1
    assert vacancy_id not in world.at(later)
    found = world.find(vacancy_id, later)
    assert found is not None
    assert found[1]
    assert vacancy_shape.detail(found[0], archived=True)["archived"] is True


@pytest.mark.parametrize("vacancy_id", ["1", "99999999999999", "000000000000000000"])
def test_an_id_that_nobody_bears_is_not_found(vacancy_id: str) -> None:
    assert World(seed=3, size=300).find(vacancy_id, NOW) is None


def test_a_vacancy_of_tomorrow_is_not_found_today() -> None:
    world = World(seed=3, size=300)
    tomorrow = max(world.at(NOW + DAY), key=int)
    assert World(seed=3, size=300).find(tomorrow, NOW) is None


def test_a_vacancy_made_by_hand_appears_and_can_be_closed() -> None:
    world = World(seed=3, size=300)
    world.at(NOW)
    body = {"title": "Проверяющий песочницу", "area": "2", "salary": {"from": 7}, "type": "open"}
    vacancy_id = world.free_id(NOW)
    world.publish(handmade.make(3, vacancy_id, NOW, body))
    item = vacancy_shape.item(world.at(NOW)[vacancy_id])
    assert (item["name"], item["area"]["id"]) == ("Проверяющий песочницу", "2")
    assert item["salary"] == {"from": 7, "to": None, "currency": "RUR", "gross": False}
    assert world.free_id(NOW) != vacancy_id
    assert world.close(vacancy_id, NOW + 1)
    assert vacancy_id not in world.at(NOW + 1)
    assert world.find(vacancy_id, NOW + 1) is not None
    assert not world.close(vacancy_id, NOW + 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "title"),
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "a", "area": "nowhere"}, "area"),
        ({"title": "a", "salary": {}}, "salary"),
        ({"title": "a", "salary": {"from": 1.5}}, "salary"),
        ({"title": "a", "salary": {"from": 1, "currency": "RUB"}}, "currency"),
        ({"title": "a", "work_format": "REMOTE"}, "work_format"),
        ({"title": "a", "has_test": "yes"}, "has_test: wrong value"),
        ({"title": "a", "wage": 1}, "wage: unknown field"),
        ({"title": "a", "employer": {"id": "x", "name": "a"}}, "employer.id"),
    ],
)
def test_a_body_that_is_no_vacancy_is_refused_by_field(body: Any, message: str) -> None:
    with pytest.raises(InvalidVacancy, match=message):
        handmade.make(1, "130000000", NOW, body)


# ── how often: the profile of 3,000 real search items and 1,150 details ──────────────────────────


@pytest.mark.parametrize(
    ("what", "per_cent", "tolerance", "holds"),
    [
        ("no salary", 48.0, 5, lambda item: item["salary"] is None),
        ("a test", 5.7, 2, lambda item: item["has_test"]),
        ("a letter is required", 4.4, 2, lambda item: item["response_letter_required"]),
        ("anonymous", 1.0, 0.7, lambda item: item["type"]["id"] == "anonymous"),
        ("direct", 1.2, 0.7, lambda item: item["type"]["id"] == "direct"),
        ("premium", 1.5, 1, lambda item: item["premium"]),
        ("no address", 44.5, 5, lambda item: item["address"] is None),
        ("accepts temporary work", 7.4, 2, lambda item: item["accept_temporary"]),
        ("no logo", 9.0, 3, lambda item: item["employer"].get("logo_urls", "") is None),
        ("a department", 17.6, 5, lambda item: item["department"] is not None),
        ("no requirement", 1.0, 0.7, lambda item: item["snippet"]["requirement"] is None),
        ("no responsibility", 1.5, 0.8, lambda item: item["snippet"]["responsibility"] is None),
    ],
)
def test_happens_as_often_as_at_hh_ru(
    items: list[dict[str, Any]], what: str, per_cent: float, tolerance: float, holds: Any
) -> None:
    share = 100 * sum(bool(holds(item)) for item in items) / len(items)
    assert share == pytest.approx(per_cent, abs=tolerance), what


def test_salaries_are_spread_as_at_hh_ru(items: list[dict[str, Any]]) -> None:
    paid = [item["salary"] for item in items if item["salary"]]
    share = {
        "both": sum(s["from"] is not None and s["to"] is not None for s in paid) / len(paid),
        "from": sum(s["to"] is None for s in paid) / len(paid),
        "to": sum(s["from"] is None for s in paid) / len(paid),
    }
    assert share == pytest.approx({"both": 0.53, "from": 0.386, "to": 0.088}, abs=0.05)
    currencies = Counter(salary["currency"] for salary in paid)
    assert set(currencies) >= {"RUR", "USD", "EUR", "BYR", "KZT", "UZS", "KGS"}
    assert currencies["RUR"] / len(paid) == pytest.approx(0.867, abs=0.04)
    modes = {item["salary_range"]["mode"]["id"] for item in items if item.get("salary_range")}
    assert modes == {"MONTH", "HOUR", "SHIFT", "FLY_IN_FLY_OUT", "SERVICE"}


def test_both_generations_of_keys_occur(items: list[dict[str, Any]]) -> None:
    kinds = Counter(("schedule" in item, "work_format" in item) for item in items)
    assert set(kinds) == {(True, True), (True, False), (False, True)}
    assert all(number > len(items) / 10 for number in kinds.values())
    assert any(item.get("schedule", "") is None for item in items)


@pytest.mark.parametrize(
    ("shape", "absent"),
    [("new", {"schedule", "employment"}), ("old", {"work_format", "salary_range"})],
)
def test_one_generation_of_keys_can_be_asked_for(shape: Any, absent: set[str]) -> None:
    assert not any(absent & set(item) for item in shown(World(1, 300, shape), NOW))


def test_an_anonymous_employer_is_never_told(
    items: list[dict[str, Any]], details: list[dict[str, Any]]
) -> None:
    for item in [*items, *details]:
        if item["type"]["id"] == "anonymous":
            assert set(item["employer"]) <= {"name", "trusted", "employer_on_additional_check"}
            assert item["department"] is None


def test_direct_vacancies_and_only_they_lead_to_another_site(items: list[dict[str, Any]]) -> None:
    for item in items:
        assert (item["type"]["id"] == "direct") == (item["response_url"] is not None)


def test_details_have_long_html_and_some_a_branded_page(details: list[dict[str, Any]]) -> None:
    lengths = sorted(len(detail["description"]) for detail in details)
    assert lengths[0] >= 200
    assert 1_400 <= lengths[len(lengths) // 2] <= 2_400
    pages = [detail["branded_description"] for detail in details if detail["branded_description"]]
    assert len(pages) / len(details) == pytest.approx(0.14, abs=0.04)
    assert all("<style>" in page for page in pages)
    assert any("<script>" in page for page in pages)
    assert max(map(len, pages)) > 50_000
    without_skills = sum(not detail["key_skills"] for detail in details) / len(details)
    assert without_skills == pytest.approx(0.31, abs=0.04)


def test_tests_are_told_in_the_detail(details: list[dict[str, Any]]) -> None:
    for detail in details:
        assert detail["has_test"] == (detail["test"] is not None)
    required = Counter(detail["test"]["required"] for detail in details if detail["test"])
    assert required[True] > required[False] > 0


def test_answers_are_json_of_a_believable_size(items: list[dict[str, Any]]) -> None:
    sizes = sorted(len(json.dumps(item, ensure_ascii=False).encode()) for item in items)
    assert 2_000 < sizes[len(sizes) // 2] < 4_000
