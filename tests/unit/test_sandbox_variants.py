"""Vacancies of the sandbox that repeat another: reposts, other cities, other grades."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from local.sandbox.dictionaries import geography
from local.sandbox.vacancies import vacancy_shape, vacancy_text, variants
from local.sandbox.vacancies.world import World

if TYPE_CHECKING:
    from local.sandbox.vacancies.vacancy import Salary, Vacancy, Variant

    Pairs = dict[Variant, list[tuple[Vacancy, Vacancy]]]

NOW = 1_795_000_000.0
DAY = 86_400
INVISIBLE = re.compile("[\xad\u200b]")
# Letters may look alike, and nothing else of a word of one alphabet may change.
LOOK_ALIKE = str.maketrans("СсОоАаЕеРрХх", "CcOoAaEePpXx")


def read_letters(text: str) -> str:
    """A text without the differences that a reader does not see."""
    return INVISIBLE.sub("", text.translate(LOOK_ALIKE)).replace("\xa0", " ")


@pytest.fixture(scope="module")
def world() -> World:
    world = World(seed=1, size=4_000)
    world.at(NOW)
    return world


@pytest.fixture(scope="module")
def pairs(world: World) -> Pairs:
    """By kind: each open variant, and its original."""
    found: Pairs = {kind: [] for kind in variants.RATES}
    for vacancy in world.at(NOW).values():
        if vacancy.variant is not None:
            assert vacancy.original_id is not None
            original = world.find(vacancy.original_id, NOW)
            assert original is not None
            found[vacancy.variant].append((vacancy, original[0]))
    return found


def test_each_kind_of_variant_is_in_the_world_as_often_as_its_rate_says(
    world: World, pairs: Pairs
) -> None:
    for kind, rate in variants.RATES.items():
        share = len(pairs[kind]) / len(world.at(NOW))
        assert share == pytest.approx(rate, abs=0.01), kind


def test_a_variant_has_the_employer_and_the_title_of_its_original(
    pairs: Pairs,
) -> None:
    for variant, original in [pair for kind in pairs.values() for pair in kind]:
        assert variant.id != original.id
        assert variant.employer == original.employer
        assert read_letters(variant.name) == read_letters(original.name)
        assert original.variant is None, "an original is itself"
        assert original.kind != "anonymous"


def test_a_variant_is_younger_than_its_original_and_within_sixty_days(
    pairs: Pairs,
) -> None:
    for kind, found in pairs.items():
        for variant, original in found:
            days = (variant.published - original.published) / DAY
            assert 0 < days <= variants.LATEST_DAYS[kind] + 0.1


def test_a_repost_says_the_same_in_other_words(
    pairs: Pairs,
) -> None:
    cities = Counter(variant.area_id == original.area_id for variant, original in pairs["repost"])
    assert min(cities[True], cities[False]) > 10, "in the same city or in another"
    for variant, original in pairs["repost"]:
        said, before = vacancy_text.description(variant), vacancy_text.description(original)
        assert read_letters(said) != read_letters(before)
        assert len(variant.requirements) == len(original.requirements)
        assert len(variant.duties) == len(original.duties)
        words = difflib.SequenceMatcher(
            None, read_letters(said).split(), read_letters(before).split(), autojunk=False
        )
        assert words.ratio() > 0.75
        assert (variant.experience, variant.employment_form, variant.work_format) == (
            original.experience,
            original.employment_form,
            original.work_format,
        )


def test_a_salary_of_a_repost_is_raised_by_less_than_a_fifth(
    pairs: Pairs,
) -> None:
    raised = 0
    for variant, original in pairs["repost"]:
        assert (variant.salary is None) == (original.salary is None)
        if variant.salary is not None and original.salary is not None:
            assert not differ_by_a_fifth(variant.salary, original.salary)
            raised += variant.salary != original.salary
    assert raised > 3


def test_a_job_in_another_city_is_described_in_the_same_text_and_paid_the_same(
    pairs: Pairs,
) -> None:
    moved = 0
    for variant, original in pairs["other_city"]:
        assert variant.name == original.name
        assert vacancy_text.description(variant) == vacancy_text.description(original)
        assert vacancy_text.snippet(variant, None) == vacancy_text.snippet(original, None)
        assert variant.salary == original.salary
        assert geography.country(variant.area_id) == geography.country(original.area_id)
        moved += variant.area_id != original.area_id
        if variant.address is not None:
            assert variant.address.city == geography.areas()[variant.area_id].name
    # The world has a single city of some countries.
    assert moved >= 0.95 * len(pairs["other_city"])


def differ_by_a_fifth(one: Salary, other: Salary) -> bool:
    ends = ((one.low, other.low), (one.high, other.high))
    return any(a and b and abs(a - b) >= 0.2 * max(a, b) for a, b in ends)


def grade_differences(variant: dict[str, Any], original: dict[str, Any]) -> set[str]:
    """In what two items of a search differ, as hh.ru shows it."""
    found = {
        name
        for name in ("experience", "employment", "employment_form", "work_format")
        if variant.get(name) != original.get(name)
    }
    if variant["salary"] != original["salary"]:
        found.add("salary")
    return found


def test_an_opening_of_another_grade_has_one_text_and_differs_in_what_hh_ru_shows(
    pairs: Pairs,
) -> None:
    kinds: Counter[str] = Counter()
    for variant, original in pairs["other_grade"]:
        assert vacancy_text.description(variant) == vacancy_text.description(original)
        shown = grade_differences(vacancy_shape.item(variant), vacancy_shape.item(original))
        assert shown, variant
        kinds.update(shown)
        if variant.salary != original.salary:
            assert variant.salary is not None
            assert original.salary is not None
            assert differ_by_a_fifth(variant.salary, original.salary)
    assert min(kinds[name] for name in ("experience", "salary", "work_format")) > 10
    assert kinds["employment"] + kinds["employment_form"] > 10


def test_openings_of_two_grades_are_open_at_once(
    pairs: Pairs,
) -> None:
    assert len(pairs["other_grade"]) > 50
    for variant, original in pairs["other_grade"]:
        assert original.closes > variant.published


@pytest.mark.parametrize("size", [5, 300])
def test_a_variant_is_the_same_whatever_was_made_before_it(size: int) -> None:
    ran = World(seed=3, size=size)
    for day in range(0, 40, 2):
        ran.at(NOW + day * DAY)
    end = NOW + 40 * DAY
    fresh = World(seed=3, size=size)
    assert ran.at(end) == fresh.at(end)
    later = World(seed=3, size=size)
    for vacancy_id, vacancy in fresh.open.items():
        assert later.find(vacancy_id, end + 90 * DAY) == (vacancy, True)


def test_in_a_small_world_other_grades_are_still_open_at_once() -> None:
    world = World(seed=2, size=4)
    found = 0
    for day in range(0, 1_500, 10):
        now = NOW + day * DAY
        for vacancy in world.at(now).values():
            if vacancy.variant == "other_grade":
                assert vacancy.original_id is not None
                original = world.find(vacancy.original_id, now)
                assert original is not None
                assert original[0].closes > vacancy.published
                found += 1
    assert found
