"""The sandbox's variants of vacancies: reposts, other cities, other grades."""

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
# Look-alike letters may replace each other; nothing else of a word may change.
LOOK_ALIKE = str.maketrans("СсОоАаЕеРрХх", "CcOoAaEePpXx")


def read_letters(text: str) -> str:
    """Return a text without the differences that a reader does not see."""
    return INVISIBLE.sub("", text.translate(LOOK_ALIKE)).replace("\xa0", " ")


@pytest.fixture(scope="module")
def world() -> World:
    world = World(seed=1, size=4_000)
    world.at(NOW)
    return world


@pytest.fixture(scope="module")
def pairs(world: World) -> Pairs:
    """Return the open variants with their originals, by kind."""
    found: Pairs = {kind: [] for kind in variants.RATES}
    for vacancy in world.at(NOW).values():
        if vacancy.variant is not None:
            assert vacancy.original_id is not None
            original = world.find(vacancy.original_id, NOW)
            assert original is not None
            found[vacancy.variant].append((vacancy, original[0]))
    return found


def test_each_kind_of_variant_occurs_at_its_rate(world: World, pairs: Pairs) -> None:
    for kind, rate in variants.RATES.items():
        share = len(pairs[kind]) / len(world.at(NOW))
        assert share == pytest.approx(rate, abs=0.01), kind


def test_variant_has_the_employer_and_title_of_its_original(
    pairs: Pairs,
) -> None:
    for variant, original in [pair for kind in pairs.values() for pair in kind]:
        assert variant.id != original.id
        assert variant.employer == original.employer
        assert read_letters(variant.name) == read_letters(original.name)
        assert original.variant is None, "an original is no variant"
        assert original.kind != "anonymous"


def test_variant_is_published_within_its_days(
    pairs: Pairs,
) -> None:
    for kind, found in pairs.items():
        for variant, original in found:
            days = (variant.published - original.published) / DAY
            assert 0 < days <= variants.LATEST_DAYS[kind] + 0.1


def test_repost_has_similar_text(
    pairs: Pairs,
) -> None:
    cities = Counter(variant.area_id == original.area_id for variant, original in pairs["repost"])
    assert min(cities[True], cities[False]) > 10, "in the same city or in another"
    for variant, original in pairs["repost"]:
        text, before = vacancy_text.description(variant), vacancy_text.description(original)
        assert read_letters(text) != read_letters(before)
        assert len(variant.requirements) == len(original.requirements)
        assert len(variant.duties) == len(original.duties)
        words = difflib.SequenceMatcher(
            None, read_letters(text).split(), read_letters(before).split(), autojunk=False
        )
        assert words.ratio() > 0.75
        assert (variant.experience, variant.employment_form, variant.work_format) == (
            original.experience,
            original.employment_form,
            original.work_format,
        )


def test_salary_of_a_repost_rises_by_less_than_a_fifth(
    pairs: Pairs,
) -> None:
    raised = 0
    for variant, original in pairs["repost"]:
        assert (variant.salary is None) == (original.salary is None)
        if variant.salary is not None and original.salary is not None:
            assert not differ_by_a_fifth(variant.salary, original.salary)
            raised += variant.salary != original.salary
    assert raised > 3


def test_other_city_has_the_same_text_and_salary(
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


def differ_by_a_fifth(first: Salary, second: Salary) -> bool:
    ends = ((first.low, second.low), (first.high, second.high))
    return any(a and b and abs(a - b) >= 0.2 * max(a, b) for a, b in ends)


def grade_differences(variant: dict[str, Any], original: dict[str, Any]) -> set[str]:
    """Return the keys of a grade in which two items of a search differ."""
    found = {
        name
        for name in ("experience", "employment", "employment_form", "work_format")
        if variant.get(name) != original.get(name)
    }
    if variant["salary"] != original["salary"]:
        found.add("salary")
    return found


def test_other_grade_has_the_same_text_and_another_grade(
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


def test_both_grades_are_open_at_the_same_time(
    pairs: Pairs,
) -> None:
    assert len(pairs["other_grade"]) > 50
    for variant, original in pairs["other_grade"]:
        assert original.closes > variant.published


@pytest.mark.parametrize("size", [5, 300])
def test_variant_is_independent_of_earlier_calls(size: int) -> None:
    ran = World(seed=3, size=size)
    for day in range(0, 40, 2):
        ran.at(NOW + day * DAY)
    end = NOW + 40 * DAY
    fresh = World(seed=3, size=size)
    assert ran.at(end) == fresh.at(end)
    later = World(seed=3, size=size)
    for vacancy_id, vacancy in fresh.open.items():
        assert later.find(vacancy_id, end + 90 * DAY) == (vacancy, True)


def test_both_grades_are_open_in_a_small_world() -> None:
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
