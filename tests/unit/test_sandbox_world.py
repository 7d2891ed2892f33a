"""The sandbox's world: the same for a seed, changing with time, with hh.ru's rates."""

from __future__ import annotations

import asyncio
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


def test_same_seed_gives_the_same_world() -> None:
    first = shown(World(seed=3, size=300), NOW)
    assert shown(World(seed=3, size=300), NOW) == first
    assert shown(World(seed=4, size=300), NOW) != first


def test_restarted_world_equals_the_running_world() -> None:
    ran = World(seed=3, size=300)
    for hour in range(0, 24 * 40, 7):
        ran.at(NOW + hour * 3_600)
    end = NOW + 40 * DAY
    assert set(ran.at(end)) == set(World(seed=3, size=300).at(end))


def test_prepared_jump_lets_calls_in_and_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    later = NOW + 14 * DAY
    expected = set(World(seed=3, size=300).at(later))
    world = World(seed=3, size=300)
    world.at(NOW)

    async def prepare() -> int:
        preparing = asyncio.create_task(world.prepare(later))
        answered = 0
        while not preparing.done():
            answered += len(world.at(NOW)) > 0
            await asyncio.sleep(0)
        return answered

    assert asyncio.run(prepare()) > 50
    monkeypatch.setattr(World, "_make", None)
    assert set(world.at(later)) == expected


def test_time_publishes_and_closes_vacancies() -> None:
    world = World(seed=3, size=4_000)
    before = set(world.at(NOW))
    after = set(world.at(NOW + 3_600))
    assert 4 <= len(after - before) <= 25, "a few every ten minutes"
    assert before - after, "some of the old ones closed"
    assert min(map(int, after - before)) > max(map(int, before)), "ids grow with time"


def test_number_of_open_vacancies_is_stable() -> None:
    world = World(seed=3, size=1_000)
    for days in range(0, 200, 10):
        assert 850 <= len(world.at(NOW + days * DAY)) <= 1_150


def test_vacancy_ids_are_strings_of_nine_digits(items: list[dict[str, Any]]) -> None:
    assert all(re.fullmatch(r"1[0-9]{8}", item["id"]) for item in items)
    assert len({item["id"] for item in items}) == len(items)


def test_closed_vacancy_is_archived_and_not_searchable() -> None:
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
def test_unknown_id_is_not_found(vacancy_id: str) -> None:
    assert World(seed=3, size=300).find(vacancy_id, NOW) is None


def test_future_vacancy_is_not_found() -> None:
    world = World(seed=3, size=300)
    tomorrow = max(world.at(NOW + DAY), key=int)
    assert World(seed=3, size=300).find(tomorrow, NOW) is None


def test_vacancy_made_by_hand_appears_and_can_be_closed() -> None:
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
def test_invalid_vacancy_is_refused_with_its_field(body: Any, message: str) -> None:
    with pytest.raises(InvalidVacancy, match=message):
        handmade.make(1, "130000000", NOW, body)


# ── rates: the profile of 3,000 real search items and 1,150 details ──────────────────────────────


@pytest.mark.parametrize(
    ("name", "per_cent", "tolerance", "holds"),
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
def test_rate_of_a_property_equals_hh_rate(
    items: list[dict[str, Any]], name: str, per_cent: float, tolerance: float, holds: Any
) -> None:
    share = 100 * sum(bool(holds(item)) for item in items) / len(items)
    assert share == pytest.approx(per_cent, abs=tolerance), name


def test_salaries_are_distributed_as_at_hh(items: list[dict[str, Any]]) -> None:
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
def test_shape_option_selects_a_generation_of_keys(shape: Any, absent: set[str]) -> None:
    assert not any(absent & set(item) for item in shown(World(1, 300, shape), NOW))


def test_anonymous_employer_is_never_disclosed(
    items: list[dict[str, Any]], details: list[dict[str, Any]]
) -> None:
    for item in [*items, *details]:
        if item["type"]["id"] == "anonymous":
            assert set(item["employer"]) <= {"name", "trusted", "employer_on_additional_check"}
            assert item["department"] is None


def test_only_direct_vacancies_have_a_response_url(items: list[dict[str, Any]]) -> None:
    for item in items:
        assert (item["type"]["id"] == "direct") == (item["response_url"] is not None)


def test_details_have_long_html_and_branded_pages(details: list[dict[str, Any]]) -> None:
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


def test_detail_says_whether_its_test_is_required(details: list[dict[str, Any]]) -> None:
    for detail in details:
        assert detail["has_test"] == (detail["test"] is not None)
    required = Counter(detail["test"]["required"] for detail in details if detail["test"])
    assert required[True] > required[False] > 0


def test_items_are_json_of_a_realistic_size(items: list[dict[str, Any]]) -> None:
    sizes = sorted(len(json.dumps(item, ensure_ascii=False).encode()) for item in items)
    assert 2_000 < sizes[len(sizes) // 2] < 4_000
