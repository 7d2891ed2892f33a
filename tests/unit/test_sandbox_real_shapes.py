"""The sandbox's vacancies beside real ones: no key, no type that hh.ru has not, none missing.

The real answers are hh.ru's own and not part of the project; where they are not at hand the
comparison is skipped.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.sandbox.vacancies import vacancy_shape
from local.sandbox.vacancies.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "hh-real"
NOW = 1_795_000_000.0

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real answers are not at hand")

# In hh.ru's documentation, or in newer search items, but in none of the details collected.
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
# Since May 2026 answers to application tokens lack them (details of that time were not collected).
OLDER = {"schedule", "employment", "working_days", "working_time_intervals", "working_time_modes"}


def paths(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every path of a JSON value with the name of its type."""
    yield path, type(value).__name__
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from paths(one, f"{path}[]")


def types(rows: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        for path, type_ in paths(row):
            found.setdefault(path, set()).add(type_)
    return found


def real(name: str) -> list[dict[str, Any]]:
    with (REAL / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module", params=["item", "detail"])
def pair(request: pytest.FixtureRequest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Real ones and the sandbox's."""
    vacancies = World(seed=1, size=4_000).at(NOW).values()
    if request.param == "item":
        return real("search_items.jsonl"), [vacancy_shape.item(one) for one in vacancies]
    ours = [vacancy_shape.detail(one, archived=False) for one in vacancies]
    return real("vacancy_details.jsonl"), ours


def test_has_no_key_and_no_type_that_hh_ru_has_not(pair: Any) -> None:
    theirs, ours = (types(rows) for rows in pair)
    strange = {
        path: extra
        for path, kinds in ours.items()
        if (extra := kinds - theirs.get(path, set()) - DOCUMENTED.get(path, set()))
    }
    assert strange == {}


def test_always_has_what_hh_ru_always_has(pair: Any) -> None:
    theirs, ours = pair
    always = {
        key for key, n in Counter(key for row in theirs for key in row).items() if n == len(theirs)
    }
    missing = [always - set(row) - OLDER for row in ours]
    assert not any(missing)


def test_has_what_hh_ru_often_has(pair: Any) -> None:
    theirs, ours = pair
    often = {
        path
        for path, n in Counter(path for row in theirs for path, _ in set(paths(row))).items()
        if n > len(theirs) / 5
    }
    assert often - set(types(ours)) == set()


@pytest.mark.parametrize(
    "key",
    ["type", "experience", "employment", "schedule", "employment_form", "work_format",
     "work_schedule_by_days"],
)  # fmt: skip
def test_dictionary_entries_have_hh_rus_names(pair: Any, key: str) -> None:
    def named(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in rows:
            value = row.get(key)
            for one in value if isinstance(value, list) else [value] if value else []:
                found.setdefault(one["id"], set()).add(one["name"])
        return found

    theirs, ours = (named(rows) for rows in pair)
    for id_ in theirs.keys() & ours.keys():
        assert ours[id_] <= theirs[id_], id_
