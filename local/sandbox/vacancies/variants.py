"""Vacancies that repeat another of their employer's: reposts, other cities, other grades.

A variant has the employer and title of its original. The relation is a pure function of the seed,
the number and the interval between publications. An original is never a variant itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import geography
from local.sandbox.seeded_random import SeededRandom
from local.sandbox.vacancies import employers, vacancy_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.vacancies.vacancy import Salary, Vacancy, Variant

DAY = 86_400
# The rate of each kind, which hh.ru does not document. In a sample of 400 real items, a twentieth
# were one title of one employer in many cities, with the same text and salary.
RATES: dict[Variant, float] = {"repost": 0.03, "other_city": 0.04, "other_grade": 0.03}
# The longest time in days after the original. Another grade is published while the original is
# open, which is three days at least.
LATEST_DAYS: dict[Variant, float] = {"repost": 25.0, "other_city": 7.0, "other_grade": 2.0}
EXPERIENCE = tuple(vacancy_maker.EXPERIENCE)
# A repost may pay up to a tenth more.
MOST_RAISE = 1.1
# Another grade pays at least this much more: it differs from the original, and from any repost of
# the original, by a fifth of the larger salary.
STEP = 1.4


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of a vacancy to its *original*, given by number."""

    kind: Variant
    original: int


def relation_of(seed: int, number: int, interval: float) -> Relation | None:
    """Return the relation of vacancy *number*, ``None`` for most; *interval* is in seconds."""
    drawn = _draw(seed, number, interval)
    if drawn is None or drawn.original < 0 or _draw(seed, drawn.original, interval) is not None:
        return None
    return drawn


def _draw(seed: int, number: int, interval: float) -> Relation | None:
    rng = SeededRandom(seed, "variant", number)
    kind = rng.weighted({None: 1 - sum(RATES.values()), **RATES})
    if kind is None:
        return None
    late = rng.between(0, LATEST_DAYS[kind]) * DAY
    return Relation(kind, number - max(1, math.floor(late / interval)))


def derive(kind: Variant, original: Vacancy, own: Vacancy, rng: SeededRandom) -> Vacancy:
    """Return the variant of *original* in place of *own*, whose id, times and billing it keeps."""
    url = original.response_url
    repeated = replace(
        original,
        id=own.id,
        published=own.published,
        closes=own.closes,
        first_created=own.published,
        premium=own.premium,
        billing=own.billing,
        responses=own.responses,
        response_url=None if url is None else url.replace(original.id, own.id),
        variant=kind,
        original_id=original.id,
    )
    if kind == "other_grade":
        return _regrade(repeated, rng)
    if kind == "other_city" or rng.happens(0.4):
        repeated = _move(repeated, rng)
    return reword(repeated, rng) if kind == "repost" else repeated


# ── another city ─────────────────────────────────────────────────────────────────────────────────


def _move(vacancy: Vacancy, rng: SeededRandom) -> Vacancy:
    """Return the vacancy in another city of the country, with the same salary."""
    country = geography.country(vacancy.area_id)
    cities = {
        area: weight
        for area, weight in vacancy_maker.cities().items()
        if area != vacancy.area_id and geography.country(area) == country
    }
    if not cities:
        return vacancy
    area_id = rng.weighted(cities)
    address = vacancy.address and vacancy_maker.make_address(rng, area_id)
    return replace(vacancy, area_id=area_id, address=address)


# ── another wording ──────────────────────────────────────────────────────────────────────────────


def reword(vacancy: Vacancy, rng: SeededRandom) -> Vacancy:
    """Return the vacancy with one or two requirements or duties in other words.

    At times the conditions, the headings, the closing and the salary change too.
    """
    texts = employers.vocabulary()["texts"]
    changes: dict[str, Any] = {}
    lines = [*vacancy.requirements, *vacancy.duties]
    can_change = [place for place, line in enumerate(lines) if _rephrase(line) != line]
    for place in rng.some(can_change, rng.integer(1, 2)):
        lines[place] = _rephrase(lines[place])
    wanted = len(vacancy.requirements)
    changes |= {"requirements": tuple(lines[:wanted]), "duties": tuple(lines[wanted:])}
    if not can_change or rng.happens(0.5):
        closings = [closing for closing in texts["closings"] if closing != vacancy.closing]
        changes["closing"] = rng.pick(closings)
    if rng.happens(0.4):
        changes["conditions"] = _change_one(rng, vacancy.conditions, texts["conditions"])
    if rng.happens(0.2):
        changes["heads"] = tuple(rng.pick(texts["heads"]))
    if vacancy.salary is not None and rng.happens(0.3):
        changes["salary"] = _scale(vacancy.salary, lambda amount: _raise_little(amount, rng))
    return replace(vacancy, **changes)


def _rephrase(line: str) -> str:
    """Return a line with a synonymous beginning, or the line itself where none is known."""
    for beginning, synonym in employers.vocabulary()["texts"]["rephrased"]:
        if line.startswith(f"{beginning} "):
            return f"{synonym}{line[len(beginning) :]}"
    return line


def _change_one(rng: SeededRandom, lines: tuple[str, ...], all_lines: list[str]) -> tuple[str, ...]:
    """Return *lines* without one of them, or with one more of *all_lines*."""
    unused = [line for line in all_lines if line not in lines]
    if unused and rng.happens(0.5):
        return (*lines, rng.pick(unused))
    place = rng.integer(0, len(lines) - 1)
    return lines[:place] + lines[place + 1 :]


def _raise_little(amount: int, rng: SeededRandom) -> int:
    """Return a salary raised by less than a tenth."""
    return max(amount, math.floor(amount * rng.between(1.0, MOST_RAISE)))


# ── another grade ────────────────────────────────────────────────────────────────────────────────


def _regrade(vacancy: Vacancy, rng: SeededRandom) -> Vacancy:
    """Return another grade of the vacancy: one or two of its properties differ."""
    changes: dict[str, Callable[[Vacancy, SeededRandom], Vacancy]] = {
        "experience": _change_experience,
        "employment": _change_employment,
    }
    if vacancy.salary is not None:
        changes["salary"] = _change_salary
    # Answers of the old shape have no work format.
    if vacancy.work_format and vacancy.shape != "old":
        changes["work_format"] = _change_work_format
    if vacancy.employment_form == "FLY_IN_FLY_OUT":
        changes = {name: changes[name] for name in ("experience", "salary") if name in changes}
    for name in rng.some(sorted(changes), 1 if rng.happens(0.6) else 2):
        vacancy = changes[name](vacancy, rng)
    return vacancy


def _change_experience(vacancy: Vacancy, rng: SeededRandom) -> Vacancy:
    place = EXPERIENCE.index(vacancy.experience)
    near = [index for index in (place - 1, place + 1) if 0 <= index < len(EXPERIENCE)]
    return replace(
        vacancy,
        experience=EXPERIENCE[rng.pick(near)],
        internship=False,
        accept_kids=False,
        age_restriction=None,
    )


def _change_salary(vacancy: Vacancy, rng: SeededRandom) -> Vacancy:
    if vacancy.salary is None:
        return vacancy
    factor = rng.between(STEP, 1.9)

    def enlarge(amount: int) -> int:
        return max(vacancy_maker.round_amount(amount * factor), math.ceil(amount * STEP))

    return replace(vacancy, salary=_scale(vacancy.salary, enlarge))


def _change_work_format(vacancy: Vacancy, _rng: SeededRandom) -> Vacancy:
    is_remote = vacancy.work_format[0] == "REMOTE"
    return replace(vacancy, work_format=("ON_SITE",) if is_remote else ("REMOTE",))


def _change_employment(vacancy: Vacancy, _rng: SeededRandom) -> Vacancy:
    if vacancy.employment_form == "FULL":
        return replace(
            vacancy,
            employment_form="PART",
            working_hours=("HOURS_4",),
            short_shifts=True,
            internship=False,
        )
    return replace(
        vacancy,
        employment_form="FULL",
        working_hours=("HOURS_8",),
        short_shifts=False,
        internship=False,
    )


def _scale(salary: Salary, change: Callable[[int], int]) -> Salary:
    return replace(
        salary,
        low=None if salary.low is None else change(salary.low),
        high=None if salary.high is None else change(salary.high),
    )
