"""Makes vacancy *k* of a seed, shaped by how often each field takes each value at hh.ru.

The rates stand beside the lines that use them; tests compare the whole with the profile of real
answers.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from local.sandbox.chance import Chance
from local.sandbox.dictionaries import catalogue, geography
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
# What is paid in where, per cent.
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
    """Return the cities that have vacancies, by area id, with how often."""
    return {area.id: area.weight for area in geography.areas().values() if area.weight}


def round_amount(amount: float) -> int:
    """An amount as people write it: two meaning digits, or three when it is long."""
    step = 1
    while amount / step >= 200:
        step *= 10
    step = step // 2 if step >= 10 and amount / step < 50 else step
    return max(step, round(amount / step) * step)


def _salary(chance: Chance, profession: dict[str, Any], experience: str, area_id: str) -> Salary:
    low, high = profession["pay"]
    place = 1.0 if area_id in {"1", "2"} else 0.72
    month = chance.between(low, high) * 1_000 * PAY_FACTOR[experience] * place
    currency = chance.weighted(CURRENCIES[geography.country(area_id)])
    mode = chance.weighted(
        {"MONTH": 974, "HOUR": 10, "SHIFT": 6, "FLY_IN_FLY_OUT": 6, "SERVICE": 4}
    )
    share = {"HOUR": 1 / 165, "SHIFT": 1 / 15, "SERVICE": 1 / 60}.get(mode, 1.0)
    start = round_amount(month * share * catalogue.rates()[currency])
    ends = chance.weighted({"both": 49, "equal": 4, "from": 38, "to": 9})
    end = start if ends == "equal" else round_amount(start * chance.between(1.15, 1.8))
    frequency = {None: 47, "TWICE_PER_MONTH": 45, "MONTHLY": 6, "WEEKLY": 1, "DAILY": 1}
    return Salary(
        low=None if ends == "to" else start,
        high=None if ends == "from" else end,
        currency=currency,
        gross=chance.happens(0.54),
        mode=mode,
        frequency="PER_PROJECT" if mode == "SERVICE" else chance.weighted(frequency),
    )


def make_address(chance: Chance, area_id: str) -> Address:
    """Return an address in a city."""
    area = geography.areas()[area_id]
    street = chance.pick(employers.vocabulary()["texts"]["streets"])
    building = str(chance.integer(1, 120)) + chance.pick(["", "", "", "к1", "с2", "А"])
    lat, lng = area.lat, area.lng
    stations: tuple[geography.Station, ...] = ()
    around = geography.stations_of(area_id)
    if around and chance.happens(0.9):
        station = chance.pick(around)
        lat, lng = station.lat, station.lng
        stations = geography.near(station.id)
    if lat is None or lng is None or chance.happens(0.032):
        lat = lng = None
    else:
        spread = 0.006 if stations else 0.05
        lat = round(lat + chance.between(-spread, spread), 6)
        lng = round(lng + chance.between(-spread, spread), 6)
    known = None if chance.happens(0.1) else street
    built = building if known and chance.happens(0.93) else None
    raw = ", ".join(part for part in (area.name, known, built) if part)
    return Address(
        id=str(chance.integer(1_000_000, 27_000_000)),
        city=area.name,
        street=known,
        building=built,
        lat=lat,
        lng=lng,
        stations=stations,
        raw=None if chance.happens(0.033) else raw,
    )


def _employer(seed: int, chance: Chance, groups: list[str]) -> Employer:
    """A company of a fitting industry; a few of them publish most of the vacancies."""
    numbers = employers.by_group(seed)[chance.pick(groups)]
    return employers.employer(seed, numbers[int(len(numbers) * chance.uniform() ** 1.7)])


def _work_format(chance: Chance, place: list[float]) -> tuple[str, ...]:
    kinds = zip(("REMOTE", "HYBRID", "ON_SITE", "FIELD_WORK"), place, strict=True)
    chosen = [kind for kind, often in kinds if chance.happens(often)]
    if not chosen and chance.happens(0.5):
        chosen = ["FIELD_WORK" if place[3] > place[2] else "ON_SITE"]
    return tuple(chosen[:3])


def _employment_form(chance: Chance, profession: dict[str, Any]) -> str:
    if profession["role"] in {"100", "21", "144"} and chance.happens(0.12):
        return "FLY_IN_FLY_OUT"
    return chance.weighted({"FULL": 920, "PART": 42, "PROJECT": 22, "SIDE_JOB": 11})


def _texts(
    chance: Chance, profession: dict[str, Any], stack: str, experience: str
) -> dict[str, Any]:
    fill = {
        "x": stack,
        "n": YEARS[experience],
        "s": chance.pick(profession["skills"]),
        "t": chance.pick(profession["skills"]),
    }
    texts = employers.vocabulary()["texts"]
    requirements = chance.some(profession["requirements"], chance.integer(4, 8))
    duties = chance.some(profession["duties"], chance.integer(4, 8))
    skills: list[str] = []
    if not chance.happens(0.31):
        skills = chance.some(profession["skills"], chance.integer(2, 11))
        if profession["role"] in {"96", "160", "156", "165"} and stack not in skills:
            skills.insert(0, stack)
    return {
        "requirements": tuple(line.format_map(fill) for line in requirements),
        "duties": tuple(line.format_map(fill) for line in duties),
        "plus": tuple(chance.some(texts["plus"], chance.integer(0, 6))),
        "conditions": tuple(chance.some(texts["conditions"], chance.integer(4, 12))),
        "closing": chance.pick(texts["closings"]),
        "heads": tuple(chance.pick(texts["heads"])),
        "skills": tuple(skills),
    }


def _title(chance: Chance, profession: dict[str, Any], stack: str, experience: str) -> str:
    title = str(chance.pick(profession["titles"])).replace("{x}", stack)
    level = chance.pick(LEVELS[experience]) if profession["role"] in LEVELLED_ROLES else ""
    if not level or level.isascii() or not re.match("[А-Я][а-я]", title):
        return level + title
    return level + title[0].lower() + title[1:]


def _shape(chance: Chance, wanted: Shape) -> Shape:
    """Answers of 2026 carry both generations of keys, or the new alone; older ones the old."""
    if wanted != "both":
        return wanted
    return chance.weighted({"both": 50, "new": 30, "old": 20})


def make(
    seed: int, number: int, vacancy_id: str, published: float, closes: float, shape: Shape
) -> Vacancy:
    """Vacancy *number* of the seed: the same at every call, whatever was made before it."""
    chance = Chance(seed, "vacancy", number)
    vocabulary = employers.vocabulary()
    profession = vocabulary["profession"][chance.weighted(_professions())]
    stack = chance.pick(profession["stack"])
    experience = chance.weighted(EXPERIENCE)
    area_id = chance.weighted(cities())
    employer = _employer(seed, chance, profession["industry"])
    name = _title(chance, profession, stack, experience)
    shifts = profession["form"] == "shift"
    form = _employment_form(chance, profession)
    salary = _salary(chance, profession, experience, area_id) if not chance.happens(0.48) else None
    days = chance.weighted(SHIFT_DAYS if shifts else OFFICE_DAYS)
    hours = chance.weighted(SHIFT_HOURS if shifts else OFFICE_HOURS)
    if form in {"PART", "SIDE_JOB"}:
        hours = chance.weighted(
            {"HOURS_4": 40, "HOURS_6": 25, "HOURS_5": 15, "HOURS_3": 8, "HOURS_2": 12}
        )
    kind = chance.weighted({"open": 978, "direct": 12, "anonymous": 10})
    has_test = chance.happens(0.057)
    texts = vocabulary["texts"]
    intro = chance.pick(texts["intros"]).format(
        e=employer.name if kind != "anonymous" else "Компания",
        v=name,
        y=chance.integer(3, 25),
        c=chance.integer(3, 60),
    )
    work_format = _work_format(chance, profession["place"])
    if form == "FLY_IN_FLY_OUT":
        work_format = ("ON_SITE",)
    at_home = work_format[:1] == ("REMOTE",)
    premium = chance.happens(0.015)
    civil = chance.some(("SELF_EMPLOYED", "INDIVIDUAL_ENTREPRENEUR", "INDIVIDUAL_PERSON"), 3)
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
        work_schedule_by_days=(days,) if not chance.happens(0.016) else (),
        working_hours=(hours, "FLEXIBLE")
        if hours != "FLEXIBLE" and chance.happens(0.03)
        else (hours,),
        education=chance.weighted(dict(zip(EDUCATION, profession["education"], strict=True))),
        address=None
        if chance.happens(0.75 if at_home else 0.31)
        else make_address(chance, area_id),
        intro=(intro, *chance.some(texts["about"], chance.integer(1, 6))),
        shape=_shape(chance, shape),
        fly_in_fly_out_duration=(
            (chance.weighted({"DAYS_30": 7, "DAYS_15": 1, "OTHER": 1}),)
            if form == "FLY_IN_FLY_OUT"
            else ()
        ),
        internship=experience == "noExperience" and chance.happens(0.22),
        night_shifts=shifts and chance.happens(0.08),
        accept_temporary=chance.happens(0.074),
        weekends_only=days == "WEEKEND" or chance.happens(0.008),
        short_shifts=hours in {"HOURS_4", "HOURS_5", "HOURS_6"} or chance.happens(0.01),
        after_sixteen=chance.happens(0.022),
        accept_handicapped=chance.happens(0.027),
        accept_kids=experience == "noExperience" and chance.happens(0.02),
        age_restriction=(
            chance.pick(["AGE_14_PLUS", "AGE_16_PLUS"])
            if experience == "noExperience" and chance.happens(0.05)
            else None
        ),
        accept_incomplete_resumes=chance.happens(0.2),
        accept_labor_contract=chance.happens(0.54),
        civil_law_contracts=(tuple(civil[: chance.integer(1, 3)]) if chance.happens(0.1) else ()),
        driver_license_types=_licences(chance, profession, stack),
        languages=(
            ((chance.weighted({"eng": 94, "zho": 3, "deu": 3}), chance.weighted(LANGUAGE_LEVELS)),)
            if chance.happens(0.08)
            else ()
        ),
        premium=premium,
        billing="premium" if premium else chance.weighted(BILLING),
        has_test=has_test,
        test_required=has_test and chance.happens(0.8),
        response_letter_required=chance.happens(0.044),
        response_url=(
            f"https://career{chance.integer(100, 999)}.example.com/jobs/{vacancy_id}"
            if kind == "direct"
            else None
        ),
        show_contacts=chance.happens(0.33),
        branded=kind != "anonymous" and (chance.happens(0.5) if employer.branded else False),
        with_department=employer.department is not None and chance.happens(0.5),
        allow_messages=chance.happens(0.955),
        code=f"HR-{chance.integer(100, 99999)}" if chance.happens(0.023) else None,
        responses=int(400 * chance.uniform() ** 3),
        first_created=published - chance.pick([0, 0, 9, 21, 30]) * 86_400,
        **_texts(chance, profession, stack, experience),
    )


def _licences(chance: Chance, profession: dict[str, Any], stack: str) -> tuple[str, ...]:
    if profession["role"] == "21":
        return (stack,)
    return ("B",) if chance.happens(0.02) else ()
