"""The employers of the sandbox: number *n* of a seed is always the same company."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from local.sandbox.dictionaries import catalogue
from local.sandbox.dictionaries.geography import DATA
from local.sandbox.seeded_random import SeededRandom

COUNT = 1_500  # as many companies as the profile of real answers has for 3,000 vacancies
FIRST_ID = 1_200_017
ID_STEP = 2_731

# Names by industry group.
_NAMES_BY_INDUSTRY = {
    "7": "it",
    "9": "it",
    "41": "trade",
    "42": "trade",
    "5": "trade",
    "50": "trade",
    "34": "plant",
    "13": "plant",
    "19": "plant",
    "24": "plant",
    "45": "plant",
}


@dataclass(frozen=True, slots=True)
class Employer:
    """A company. *industries*: a group and one industry of it; *agency*: hires for others."""

    id: str
    name: str
    industries: tuple[str, ...]
    agency: bool
    trusted: bool
    accredited_it: bool
    logo: int | None
    branded: bool
    interview: str | None
    department: str | None


@cache
def vocabulary() -> dict[str, Any]:
    """Return ``data/professions.toml``: professions, texts, parts of names."""
    with (DATA / "professions.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _groups() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for row in catalogue.table("industries"):
        if row["parent_id"]:
            groups.setdefault(row["parent_id"], []).append(row["id"])
    return groups


@lru_cache(maxsize=4 * COUNT)
def employer(seed: int, number: int) -> Employer:
    """Return company *number* (from 0 to ``COUNT - 1``)."""
    rng = SeededRandom(seed, "employer", number)
    words = vocabulary()["employers"]
    groups = list(_groups())
    # Every third company is in IT, the others are spread over all groups.
    group = "7" if number % 3 == 0 else groups[number // 3 % len(groups)]
    kind = _NAMES_BY_INDUSTRY.get(group, "office")
    name = rng.pick(words["forms"]).format(a=rng.pick(words["first"]), b=rng.pick(words[kind]))
    employer_id = str(FIRST_ID + number * ID_STEP + rng.integer(0, ID_STEP - 1))
    return Employer(
        id=employer_id,
        name=name,
        industries=(group, rng.pick(_groups()[group])),
        agency=rng.happens(0.9 if group == "44" else 0.03),
        trusted=rng.happens(0.99),
        accredited_it=group == "7" and rng.happens(0.75),
        logo=None if rng.happens(0.09) else rng.integer(1_000_000, 7_000_000),
        branded=rng.happens(0.3),
        interview=str(rng.integer(20_000, 60_000)) if rng.happens(0.03) else None,
        department=(rng.pick(vocabulary()["texts"]["departments"]) if rng.happens(0.35) else None),
    )


@lru_cache(maxsize=8)
def by_group(seed: int) -> dict[str, list[int]]:
    """Return the numbers of the companies by industry group."""
    numbers: dict[str, list[int]] = {}
    for number in range(COUNT):
        numbers.setdefault(employer(seed, number).industries[0], []).append(number)
    return numbers
