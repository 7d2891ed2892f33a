"""The sandbox's vacancies in hh.ru's shapes: no unknown key or type, and no missing one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from local.sandbox.vacancies import vacancy_shape
from local.sandbox.vacancies.world import World
from tests.fixtures import hh_answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOW = 1_795_000_000.0

# In hh.ru's documentation or in newer search items, and in none of the collected details.
DOCUMENTED = {
    ".video_vacancy": {"NoneType"},
    ".age_restriction": {"dict", "NoneType"},
    ".age_restriction.id": {"str"},
    ".age_restriction.name": {"str"},
    ".response_url": {"str"},
    ".salary_range.frequency": {"NoneType"},
    ".salary_range.from": {"NoneType"},
}
NAMED_LISTS = ("working_days", "working_time_modes", "fly_in_fly_out_duration")
for _list in NAMED_LISTS:
    DOCUMENTED |= {
        f".{_list}[]": {"dict"}, f".{_list}[].id": {"str"}, f".{_list}[].name": {"str"},
    }  # fmt: skip
# hh.ru: absent from answers to application tokens since May 2026.
OLD_KEYS = {
    "schedule", "employment", "working_days", "working_time_intervals", "working_time_modes",
}  # fmt: skip


def walk(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every path of a JSON value with the name of its type."""
    yield path, type(value).__name__
    if isinstance(value, dict):
        for key, child in value.items():
            yield from walk(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from walk(child, f"{path}[]")


def types_by_path(rows: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        for path, type_name in walk(row):
            found.setdefault(path, set()).add(type_name)
    return found


@pytest.fixture(scope="module", params=["item", "detail"])
def answers(request: pytest.FixtureRequest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return hh.ru's answers and the sandbox's."""
    vacancies = World(seed=1, size=4_000).at(NOW).values()
    if request.param == "item":
        return hh_answers.search_items(), [vacancy_shape.item(vacancy) for vacancy in vacancies]
    ours = [vacancy_shape.detail(vacancy, archived=False) for vacancy in vacancies]
    return hh_answers.vacancy_details(), ours


def test_sandbox_has_no_key_or_type_unknown_to_hh(answers: Any) -> None:
    theirs, ours = (types_by_path(rows) for rows in answers)
    unknown = {
        path: extra
        for path, types in ours.items()
        if (extra := types - theirs.get(path, set()) - DOCUMENTED.get(path, set()))
    }
    assert unknown == {}


def test_sandbox_always_has_the_keys_hh_always_has(answers: Any) -> None:
    theirs, ours = answers
    counts = Counter(key for row in theirs for key in row)
    always = {key for key, count in counts.items() if count == len(theirs)}
    missing = [always - set(row) - OLD_KEYS for row in ours]
    assert not any(missing)


def test_sandbox_has_the_keys_hh_often_has(answers: Any) -> None:
    theirs, ours = answers
    counts = Counter(path for row in theirs for path, _ in set(walk(row)))
    often = {path for path, count in counts.items() if count > len(theirs) / 5}
    assert often - set(types_by_path(ours)) == set()


@pytest.mark.parametrize(
    "key",
    ["type", "experience", "employment", "schedule", "employment_form", "work_format",
     "work_schedule_by_days"],
)  # fmt: skip
def test_dictionary_entries_have_hh_names(answers: Any, key: str) -> None:
    def names_by_id(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in rows:
            value = row.get(key)
            for entry in value if isinstance(value, list) else [value] if value else []:
                found.setdefault(entry["id"], set()).add(entry["name"])
        return found

    theirs, ours = (names_by_id(rows) for rows in answers)
    for entry_id in theirs.keys() & ours.keys():
        assert ours[entry_id] <= theirs[entry_id], entry_id
