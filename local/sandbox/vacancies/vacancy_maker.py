"""The generator of vacancy *k* of a seed, with the frequencies of each field's values at hh.ru.

The rates stand in the lines that use them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.seeded_random import SeededRandom
from local.sandbox.vacancies import employers
from local.sandbox.vacancies.vacancy import Address, Salary, Shape, Vacancy

if TYPE_CHECKING:
    from local.sandbox.vacancies.employers import Employer

EXPERIENCE = {"noExperience": 0.13, "between1And3": 0.43, "between3And6": 0.35, "moreThan6": 0.09}
YEARS = {
    "noExperience": "полугода",
    "between1And3": "1 года",
    "between3And6": "3 лет",
    "moreThan6": "6 лет",
}
PAY_FACTOR = {"noExperience": 0.6, "between1And3": 1.0, "between3And6": 1.45, "moreThan6": 1.9}
LEVELS = {
    "noExperience": ("Junior ", "Младший ", "Стажёр: ", ""),
    "between1And3": ("Middle ", "", "", ""),
    "between3And6": ("Senior ", "Старший ", "Ведущий ", "", ""),
    "moreThan6": ("Lead ", "Ведущий ", "Главный ", ""),
}
LEVELLED_ROLES = {"96", "160", "124", "156", "165", "34"}
# Currencies by country, in per cent.
CURRENCIES = {
    "113": {"RUR": 96, "USD": 3, "EUR": 1},
    "16": {"BYR": 72, "USD": 22, "EUR": 6},
    "40": {"KZT": 85, "USD": 10, "RUR": 5},
    "97": {"UZS": 70, "USD": 30},
    "48": {"KGS": 75, "USD": 25},
    "28": {"GEL": 50, "USD": 50},
    "9": {"AZN": 80, "USD": 20},
    "1001": {"EUR": 60, "USD": 40},
}
OFFICE_HOURS = {"HOURS_8": 88, "FLEXIBLE": 5, "HOURS_9": 3, "HOURS_7": 2, "OTHER": 2}
SHIFT_HOURS = {"HOURS_12": 40, "HOURS_8": 30, "HOURS_11": 15, "HOURS_10": 6, "HOURS_24": 3}
PART_HOURS = {"HOURS_4": 40, "HOURS_6": 25, "HOURS_5": 15, "HOURS_3": 8, "HOURS_2": 12}
OFFICE_DAYS = {"FIVE_ON_TWO_OFF": 94, "FLEXIBLE": 3, "OTHER": 2, "SIX_ON_ONE_OFF": 1}
SHIFT_DAYS = {
    "FIVE_ON_TWO_OFF": 42,
    "TWO_ON_TWO_OFF": 28,
    "FLEXIBLE": 6,
    "OTHER": 6,
    "WEEKEND": 5,
    "SIX_ON_ONE_OFF": 3,
    "THREE_ON_THREE_OFF": 2,
    "FOUR_ON_THREE_OFF": 2,
    "THREE_ON_TWO_OFF": 1,
    "FOUR_ON_TWO_OFF": 1,
    "TWO_ON_ONE_OFF": 1,
    "ONE_ON_TWO_OFF": 1,
    "ONE_ON_THREE_OFF": 1,
    "FOUR_ON_FOUR_OFF": 1,
}
EDUCATION = ("not_required_or_not_specified", "special_secondary", "higher")
LANGUAGE_LEVELS = {"a1": 15, "a2": 12, "b1": 35, "b2": 25, "c1": 12, "c2": 1}
BILLING = {"standard": 68, "standard_plus": 17, "free": 14}


@cache
def _professions() -> dict[int, float]:
    return {n: p["weight"] for n, p in enumerate(employers.vocabulary()["profession"])}


@cache
def cities() -> dict[str, float]:
    """Return the weights of the cities that have vacancies, by area id."""
    return {area.id: area.weight for area in geography.areas().values() if area.weight}


def round_amount(amount: float) -> int:
    """Return an amount rounded as people write it, to two or three significant digits."""
    step = 1
    while amount / step >= 200:
        step *= 10
    step = step // 2 if step >= 10 and amount / step < 50 else step
    return max(step, round(amount / step) * step)


def _salary(rng: SeededRandom, profession: dict[str, Any], experience: str, area_id: str) -> Salary:
    low, high = profession["pay"]
    place = 1.0 if area_id in {"1", "2"} else 0.72
    month = rng.between(low, high) * 1_000 * PAY_FACTOR[experience] * place
    currency = rng.weighted(CURRENCIES[geography.country(area_id)])
    mode = rng.weighted({"MONTH": 974, "HOUR": 10, "SHIFT": 6, "FLY_IN_FLY_OUT": 6, "SERVICE": 4})
    share = {"HOUR": 1 / 165, "SHIFT": 1 / 15, "SERVICE": 1 / 60}.get(mode, 1.0)
    start = round_amount(month * share * catalogue.rates()[currency])
    ends = rng.weighted({"both": 49, "equal": 4, "from": 38, "to": 9})
    end = start if ends == "equal" else round_amount(start * rng.between(1.15, 1.8))
    frequency = {None: 47, "TWICE_PER_MONTH": 45, "MONTHLY": 6, "WEEKLY": 1, "DAILY": 1}
    return Salary(
        low=None if ends == "to" else start,
        high=None if ends == "from" else end,
        currency=currency,
        gross=rng.happens(0.54),
        mode=mode,
        frequency="PER_PROJECT" if mode == "SERVICE" else rng.weighted(frequency),
    )


def make_address(rng: SeededRandom, area_id: str) -> Address:
    """Return an address in a city."""
    area = geography.areas()[area_id]
    street = rng.pick(employers.vocabulary()["texts"]["streets"])
    building = str(rng.integer(1, 120)) + rng.pick(["", "", "", "к1", "с2", "А"])
    lat, lng = area.lat, area.lng
    stations: tuple[geography.Station, ...] = ()
    around = geography.stations_of(area_id)
    if around and rng.happens(0.9):
        station = rng.pick(around)
        lat, lng = station.lat, station.lng
        stations = geography.near(station.id)
    if lat is None or lng is None or rng.happens(0.032):
        lat = lng = None
    else:
        spread = 0.006 if stations else 0.05
        lat = round(lat + rng.between(-spread, spread), 6)
        lng = round(lng + rng.between(-spread, spread), 6)
    known = None if rng.happens(0.1) else street
    built = building if known and rng.happens(0.93) else None
    raw = ", ".join(part for part in (area.name, known, built) if part)
    return Address(
        id=str(rng.integer(1_000_000, 27_000_000)),
        city=area.name,
        street=known,
        building=built,
        lat=lat,
        lng=lng,
        stations=stations,
        raw=None if rng.happens(0.033) else raw,
    )


def _employer(seed: int, rng: SeededRandom, groups: list[str]) -> Employer:
    """Return a company of one of the industries; a few of them publish most of the vacancies."""
    numbers = employers.by_group(seed)[rng.pick(groups)]
    return employers.employer(seed, numbers[int(len(numbers) * rng.uniform() ** 1.7)])


def _work_format(rng: SeededRandom, place: list[float], form: str) -> tuple[str, ...]:
    kinds = zip(("REMOTE", "HYBRID", "ON_SITE", "FIELD_WORK"), place, strict=True)
    chosen = [kind for kind, rate in kinds if rng.happens(rate)]
    if not chosen and rng.happens(0.5):
        chosen = ["FIELD_WORK" if place[3] > place[2] else "ON_SITE"]
    return ("ON_SITE",) if form == "FLY_IN_FLY_OUT" else tuple(chosen[:3])


def _employment_form(rng: SeededRandom, profession: dict[str, Any]) -> str:
    if profession["role"] in {"100", "21", "144"} and rng.happens(0.12):
        return "FLY_IN_FLY_OUT"
    return rng.weighted({"FULL": 920, "PART": 42, "PROJECT": 22, "SIDE_JOB": 11})


def _texts(
    rng: SeededRandom, profession: dict[str, Any], stack: str, experience: str
) -> dict[str, Any]:
    fill = {
        "x": stack,
        "n": YEARS[experience],
        "s": rng.pick(profession["skills"]),
        "t": rng.pick(profession["skills"]),
    }
    texts = employers.vocabulary()["texts"]
    requirements = rng.some(profession["requirements"], rng.integer(4, 8))
    duties = rng.some(profession["duties"], rng.integer(4, 8))
    skills: list[str] = []
    if not rng.happens(0.31):
        skills = rng.some(profession["skills"], rng.integer(2, 11))
        if profession["role"] in {"96", "160", "156", "165"} and stack not in skills:
            skills.insert(0, stack)
    return {
        "requirements": tuple(line.format_map(fill) for line in requirements),
        "duties": tuple(line.format_map(fill) for line in duties),
        "plus": tuple(rng.some(texts["plus"], rng.integer(0, 6))),
        "conditions": tuple(rng.some(texts["conditions"], rng.integer(4, 12))),
        "closing": rng.pick(texts["closings"]),
        "heads": tuple(rng.pick(texts["heads"])),
        "skills": tuple(skills),
    }


def _title(rng: SeededRandom, profession: dict[str, Any], stack: str, experience: str) -> str:
    title = str(rng.pick(profession["titles"])).replace("{x}", stack)
    level = rng.pick(LEVELS[experience]) if profession["role"] in LEVELLED_ROLES else ""
    if not level or level.isascii() or not re.match("[А-Я][а-я]", title):
        return level + title
    return level + title[0].lower() + title[1:]


def _shape(rng: SeededRandom, wanted: Shape) -> Shape:
    """Return a generation of keys.

    hh.ru: answers of 2026 carry both generations or the new one alone, older ones the old one.
    """
    if wanted != "both":
        return wanted
    return rng.weighted({"both": 50, "new": 30, "old": 20})


def _hours(rng: SeededRandom, form: str, *, shifts: bool) -> str:
    hours = rng.weighted(SHIFT_HOURS if shifts else OFFICE_HOURS)
    return rng.weighted(PART_HOURS) if form in {"PART", "SIDE_JOB"} else hours


def _intro(rng: SeededRandom, employer: Employer, name: str, kind: str) -> str:
    text: str = rng.pick(employers.vocabulary()["texts"]["intros"])
    return text.format(
        e=employer.name if kind != "anonymous" else "Компания",
        v=name,
        y=rng.integer(3, 25),
        c=rng.integer(3, 60),
    )


def make(
    seed: int, number: int, vacancy_id: str, published: float, closes: float, shape: Shape
) -> Vacancy:
    """Return vacancy *number* of the seed; it is the same at every call, in any order.

    The order of the choices below is part of the seed: another one would make other vacancies.
    """
    rng = SeededRandom(seed, "vacancy", number)
    vocabulary = employers.vocabulary()
    profession = vocabulary["profession"][rng.weighted(_professions())]
    stack = rng.pick(profession["stack"])
    experience = rng.weighted(EXPERIENCE)
    area_id = rng.weighted(cities())
    employer = _employer(seed, rng, profession["industry"])
    name = _title(rng, profession, stack, experience)
    shifts = profession["form"] == "shift"
    form = _employment_form(rng, profession)
    salary = _salary(rng, profession, experience, area_id) if not rng.happens(0.48) else None
    days = rng.weighted(SHIFT_DAYS if shifts else OFFICE_DAYS)
    hours = _hours(rng, form, shifts=shifts)
    kind = rng.weighted({"open": 978, "direct": 12, "anonymous": 10})
    has_test = rng.happens(0.057)
    intro = _intro(rng, employer, name, kind)
    work_format = _work_format(rng, profession["place"], form)
    premium = rng.happens(0.015)
    civil = rng.some(("SELF_EMPLOYED", "INDIVIDUAL_ENTREPRENEUR", "INDIVIDUAL_PERSON"), 3)
    return Vacancy(
        id=vacancy_id,
        published=published,
        closes=closes,
        name=name[:100],
        role=profession["role"],
        employer=employer,
        kind=kind,
        area_id=area_id,
        salary=salary,
        experience=experience,
        employment_form=form,
        work_format=work_format,
        **_place(rng, profession, area_id, days, hours, at_home=work_format[:1] == ("REMOTE",)),
        intro=(intro, *rng.some(vocabulary["texts"]["about"], rng.integer(1, 6))),
        shape=_shape(rng, shape),
        **_hiring(rng, experience, form, days, hours, shifts=shifts),
        civil_law_contracts=(tuple(civil[: rng.integer(1, 3)]) if rng.happens(0.1) else ()),
        driver_license_types=_licences(rng, profession, stack),
        **_publication(rng, employer, kind, vacancy_id, premium=premium, has_test=has_test),
        first_created=published - rng.pick([0, 0, 9, 21, 30]) * 86_400,
        **_texts(rng, profession, stack, experience),
    )


def _place(
    rng: SeededRandom,
    profession: dict[str, Any],
    area_id: str,
    days: str,
    hours: str,
    *,
    at_home: bool,
) -> dict[str, Any]:
    """Return the fields about days, hours, education and address."""
    return {
        "work_schedule_by_days": (days,) if not rng.happens(0.016) else (),
        "working_hours": (
            (hours, "FLEXIBLE") if hours != "FLEXIBLE" and rng.happens(0.03) else (hours,)
        ),
        "education": rng.weighted(dict(zip(EDUCATION, profession["education"], strict=True))),
        "address": None if rng.happens(0.75 if at_home else 0.31) else make_address(rng, area_id),
    }


def _hiring(
    rng: SeededRandom, experience: str, form: str, days: str, hours: str, *, shifts: bool
) -> dict[str, Any]:
    """Return the fields about who is hired and on which terms."""
    beginner = experience == "noExperience"
    fly_in = form == "FLY_IN_FLY_OUT"
    ages = ["AGE_14_PLUS", "AGE_16_PLUS"]
    return {
        "fly_in_fly_out_duration": (
            (rng.weighted({"DAYS_30": 7, "DAYS_15": 1, "OTHER": 1}),) if fly_in else ()
        ),
        "internship": beginner and rng.happens(0.22),
        "night_shifts": shifts and rng.happens(0.08),
        "accept_temporary": rng.happens(0.074),
        "weekends_only": days == "WEEKEND" or rng.happens(0.008),
        "short_shifts": hours in {"HOURS_4", "HOURS_5", "HOURS_6"} or rng.happens(0.01),
        "after_sixteen": rng.happens(0.022),
        "accept_handicapped": rng.happens(0.027),
        "accept_kids": beginner and rng.happens(0.02),
        "age_restriction": rng.pick(ages) if beginner and rng.happens(0.05) else None,
        "accept_incomplete_resumes": rng.happens(0.2),
        "accept_labor_contract": rng.happens(0.54),
    }


def _languages(rng: SeededRandom) -> tuple[tuple[str, str], ...]:
    if not rng.happens(0.08):
        return ()
    return ((rng.weighted({"eng": 94, "zho": 3, "deu": 3}), rng.weighted(LANGUAGE_LEVELS)),)


def _publication(
    rng: SeededRandom,
    employer: Employer,
    kind: str,
    vacancy_id: str,
    *,
    premium: bool,
    has_test: bool,
) -> dict[str, Any]:
    """Return the fields about languages, billing, applying and the employer's page."""
    return {
        "languages": _languages(rng),
        "premium": premium,
        "billing": "premium" if premium else rng.weighted(BILLING),
        "has_test": has_test,
        "test_required": has_test and rng.happens(0.8),
        "response_letter_required": rng.happens(0.044),
        "response_url": (
            f"https://career{rng.integer(100, 999)}.example.com/jobs/{vacancy_id}"
            if kind == "direct"
            else None
        ),
        "show_contacts": rng.happens(0.33),
        "branded": kind != "anonymous" and (rng.happens(0.5) if employer.branded else False),
        "with_department": employer.department is not None and rng.happens(0.5),
        "allow_messages": rng.happens(0.955),
        "code": f"HR-{rng.integer(100, 99999)}" if rng.happens(0.023) else None,
        "responses": int(400 * rng.uniform() ** 3),
    }


def _licences(rng: SeededRandom, profession: dict[str, Any], stack: str) -> tuple[str, ...]:
    if profession["role"] == "21":
        return (stack,)
    return ("B",) if rng.happens(0.02) else ()
