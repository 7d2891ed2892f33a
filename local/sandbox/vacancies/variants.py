"""Vacancies that repeat another of their employer's: reposts, other cities, other grades.

A variant has its original's employer and title. Which vacancy is one of which original is a pure
function of the seed, its number and the pace of the world. An original is never a variant itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local.sandbox.chance import Chance
from local.sandbox.dictionaries import geography
from local.sandbox.vacancies import employers, vacancy_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.vacancies.vacancy import Salary, Vacancy, Variant

DAY = 86_400
# How often each kind occurs. hh.ru says nothing of it. In a sample of 400 real items one employer's
# title in many cities, with one text and one salary, made a twentieth.
RATES: dict[Variant, float] = {"repost": 0.03, "other_city": 0.04, "other_grade": 0.03}
# How many days after the original it is published, at most. One of another grade comes while the
# original is open, which it is for three days at least.
LATEST_DAYS: dict[Variant, float] = {"repost": 25.0, "other_city": 7.0, "other_grade": 2.0}
EXPERIENCE = tuple(vacancy_maker.EXPERIENCE)
# A repost may pay a little more, and is the same job.
MOST_RAISE = 1.1
# Another grade pays at least so much more: a fifth of the larger salary lies between it and the
# original, and between it and a repost of the original, too.
STEP = 1.4


@dataclass(frozen=True, slots=True)
class Relation:
    """What a vacancy is to its *original*, given by number."""

    kind: Variant
    original: int


def relation_of(seed: int, number: int, interval: float) -> Relation | None:
    """Return what vacancy *number* repeats, ``None`` for most; *interval* is in seconds."""
    drawn = _draw(seed, number, interval)
    if drawn is None or drawn.original < 0 or _draw(seed, drawn.original, interval) is not None:
        return None
    return drawn


def _draw(seed: int, number: int, interval: float) -> Relation | None:
    chance = Chance(seed, "variant", number)
    kind = chance.weighted({None: 1 - sum(RATES.values()), **RATES})
    if kind is None:
        return None
    late = chance.between(0, LATEST_DAYS[kind]) * DAY
    return Relation(kind, number - max(1, math.floor(late / interval)))


def derive(kind: Variant, original: Vacancy, own: Vacancy, chance: Chance) -> Vacancy:
    """Return the variant of *original* that takes the place of *own*: its id, its moments and what
    was paid for it stay."""
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
        return _regrade(repeated, chance)
    if kind == "other_city" or chance.happens(0.4):
        repeated = _move(repeated, chance)
    return reword(repeated, chance) if kind == "repost" else repeated


# ── another city ─────────────────────────────────────────────────────────────────────────────────


def _move(vacancy: Vacancy, chance: Chance) -> Vacancy:
    """Offer it in another city of the country, for the same money."""
    country = geography.country(vacancy.area_id)
    cities = {
        area: weight
        for area, weight in vacancy_maker.cities().items()
        if area != vacancy.area_id and geography.country(area) == country
    }
    if not cities:
        return vacancy
    area_id = chance.weighted(cities)
    address = vacancy.address and vacancy_maker.make_address(chance, area_id)
    return replace(vacancy, area_id=area_id, address=address)


# ── another wording ──────────────────────────────────────────────────────────────────────────────


def reword(vacancy: Vacancy, chance: Chance) -> Vacancy:
    """Say the same in other words: a line or two of what is wanted and done, and now and then the
    conditions, the headings and the closing."""
    texts = employers.vocabulary()["texts"]
    changes: dict[str, Any] = {}
    lines = [*vacancy.requirements, *vacancy.duties]
    can_change = [place for place, line in enumerate(lines) if _rephrase(line) != line]
    for place in chance.some(can_change, chance.integer(1, 2)):
        lines[place] = _rephrase(lines[place])
    wanted = len(vacancy.requirements)
    changes |= {"requirements": tuple(lines[:wanted]), "duties": tuple(lines[wanted:])}
    if not can_change or chance.happens(0.5):
        others = [closing for closing in texts["closings"] if closing != vacancy.closing]
        changes["closing"] = chance.pick(others)
    if chance.happens(0.4):
        changes["conditions"] = _change_one(chance, vacancy.conditions, texts["conditions"])
    if chance.happens(0.2):
        changes["heads"] = tuple(chance.pick(texts["heads"]))
    if vacancy.salary is not None and chance.happens(0.3):
        changes["salary"] = _scale(vacancy.salary, lambda amount: _raise_little(amount, chance))
    return replace(vacancy, **changes)


def _rephrase(line: str) -> str:
    """Return a line with another beginning that means the same; itself where none is known."""
    for beginning, other in employers.vocabulary()["texts"]["rephrased"]:
        if line.startswith(f"{beginning} "):
            return f"{other}{line[len(beginning) :]}"
    return line


def _change_one(chance: Chance, lines: tuple[str, ...], all_lines: list[str]) -> tuple[str, ...]:
    """Return *lines* with one left out, or with one more of *all_lines*."""
    unused = [line for line in all_lines if line not in lines]
    if unused and chance.happens(0.5):
        return (*lines, chance.pick(unused))
    place = chance.integer(0, len(lines) - 1)
    return lines[:place] + lines[place + 1 :]


def _raise_little(amount: int, chance: Chance) -> int:
    """Return a salary that is raised by less than a tenth."""
    return max(amount, math.floor(amount * chance.between(1.0, MOST_RAISE)))


# ── another grade ────────────────────────────────────────────────────────────────────────────────


def _regrade(vacancy: Vacancy, chance: Chance) -> Vacancy:
    """Make another opening of it, which differs in one or two of what makes a grade."""
    changes: dict[str, Callable[[Vacancy, Chance], Vacancy]] = {
        "experience": _change_experience,
        "employment": _change_employment,
    }
    if vacancy.salary is not None:
        changes["salary"] = _change_salary
    # Answers of the older shape have no work format.
    if vacancy.work_format and vacancy.shape != "old":
        changes["work_format"] = _change_work_format
    if vacancy.employment_form == "FLY_IN_FLY_OUT":
        changes = {name: changes[name] for name in ("experience", "salary") if name in changes}
    for name in chance.some(sorted(changes), 1 if chance.happens(0.6) else 2):
        vacancy = changes[name](vacancy, chance)
    return vacancy


def _change_experience(vacancy: Vacancy, chance: Chance) -> Vacancy:
    place = EXPERIENCE.index(vacancy.experience)
    near = [other for other in (place - 1, place + 1) if 0 <= other < len(EXPERIENCE)]
    return replace(
        vacancy,
        experience=EXPERIENCE[chance.pick(near)],
        internship=False,
        accept_kids=False,
        age_restriction=None,
    )


def _change_salary(vacancy: Vacancy, chance: Chance) -> Vacancy:
    if vacancy.salary is None:
        return vacancy
    factor = chance.between(STEP, 1.9)

    def enlarge(amount: int) -> int:
        return max(vacancy_maker.round_amount(amount * factor), math.ceil(amount * STEP))

    return replace(vacancy, salary=_scale(vacancy.salary, enlarge))


def _change_work_format(vacancy: Vacancy, _chance: Chance) -> Vacancy:
    is_remote = vacancy.work_format[0] == "REMOTE"
    return replace(vacancy, work_format=("ON_SITE",) if is_remote else ("REMOTE",))


def _change_employment(vacancy: Vacancy, _chance: Chance) -> Vacancy:
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
