"""The score of a resume and a vacancy: a weighted mean of its parts, each with its reason in words.

Each part is a number from 0 to 1, or unknown; what is unknown does not count. The parts are

* about the work: the title (words and hh.ru's professional roles) and the skills;
* about the conditions: experience, salary, format, city, freshness, the employer's rating.

Conditions are worth little where the work is another: below :data:`ENOUGH` of the work, they count
in proportion. Everything is deterministic, and depends on nothing but the arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ullgetthejob.fit import profile, words
from ullgetthejob.fit.models import Fit, Part, Reason, Weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ullgetthejob.fit.profile import Offer, Profile
    from ullgetthejob.hh.models import Vacancy

DEFAULTS = Weights.model_construct()  # the defaults, without building the validator
WORK: tuple[Part, ...] = ("title", "skills")
ENOUGH = 0.5  # of the work: from here the conditions count in full
# Of a match of a title: by the resume's own title, and by those of places of work.
OWN_TITLE, POSITION = 1.0, 0.8
GENERIC_WORD = 0.35  # the weight of a word that many professions share
SHARE_OF_ROLE = 0.4  # of the title's part, where hh.ru gives roles of both
IN_TEXT, PARTLY = 0.8, 0.5  # a skill that is only mentioned; a skill of which a part is there
SOFT_SKILL = 0.3  # the weight of a skill that nearly everybody claims
FEW_SKILLS = 3  # fewer say too little to be all or nothing
SHOWN_SKILLS = 12
# hh.ru: dictionary "experience", as months from and to.
EXPERIENCE = {
    "noExperience": (0, 12),
    "between1And3": (12, 36),
    "between3And6": (36, 72),
    "moreThan6": (72, None),
}
DAYS_OF_FRESHNESS = 30
NEAR_FORMATS = {("REMOTE", "HYBRID"): 0.5, ("ON_SITE", "HYBRID"): 0.8, ("HYBRID", "REMOTE"): 0.8,
                ("HYBRID", "ON_SITE"): 0.5, ("ON_SITE", "FIELD_WORK"): 0.4}  # fmt: skip
FORMAT_NAMES = {
    "REMOTE": ("удалённо", "remote"),
    "ON_SITE": ("на месте работодателя", "on site"),
    "HYBRID": ("гибрид", "hybrid"),
    "FIELD_WORK": ("разъездной", "field work"),
    "FLY_IN_FLY_OUT": ("вахта", "rotation"),
}


@dataclass(frozen=True)
class Found:
    """A part: how well it fits, 0 to 1 or unknown (``None``), and why."""

    fit: float | None
    ru: str
    en: str


def score(
    resume: Profile | Mapping[str, Any],
    vacancy: Vacancy,
    weights: Weights = DEFAULTS,
    *,
    now: datetime,
) -> Fit:
    """Return how well *resume* fits *vacancy*.

    *resume*: in hh.ru's shape, or its :func:`.profile_of` where many vacancies are scored.
    *vacancy*: best a :class:`VacancyDetail`; of a search's item only the excerpt is known. *now*:
    for the freshness.
    """
    own = resume if isinstance(resume, profile.Profile) else profile.profile_of(resume)
    return _score(own, profile.offer_of(vacancy), weights, now)


def score_best(
    resumes: Mapping[str, Profile],
    vacancy: Vacancy,
    weights: Weights = DEFAULTS,
    *,
    now: datetime,
) -> tuple[str, Fit]:
    """Return the id of the resume that fits best, the first among equals, and its fit. *resumes*:
    at least one, by id."""
    offer = profile.offer_of(vacancy)
    fits = {resume_id: _score(own, offer, weights, now) for resume_id, own in resumes.items()}
    return max(fits.items(), key=lambda item: item[1].score)


def _score(own: Profile, offer: Offer, weights: Weights, now: datetime) -> Fit:
    skills, common, missing = _skills(own, offer)
    parts: dict[Part, Found] = {
        "title": _title(own, offer),
        "skills": skills,
        "experience": _experience(own, offer),
        "salary": _salary(own, offer),
        "format": _format(own, offer),
        "city": _city(own, offer),
        "freshness": _freshness(offer.vacancy, now),
        "employer_rating": _rating(offer.vacancy),
    }
    reasons = _weigh(parts, weights)
    return Fit(
        score=min(100, round(sum(reason.points for reason in reasons))),
        reasons=reasons,
        skills_in_common=common,
        skills_missing=missing,
    )


def compare_skills(resume: Mapping[str, Any], vacancy: Vacancy) -> tuple[list[str], list[str]]:
    """Return the skills in common, and the vacancy's key skills that the resume does not have."""
    _, common, missing = _skills(profile.profile_of(resume), profile.offer_of(vacancy))
    return common, missing


def _weigh(parts: Mapping[Part, Found], weights: Weights) -> list[Reason]:
    """Return the reasons with their points, which are out of 100 together."""
    known = {part: getattr(weights, part) for part, found in parts.items() if found.fit is not None}
    total = sum(known.values()) or 1
    of_work = sum(known.get(part, 0) for part in WORK)
    share = 1.0
    if of_work:
        work = sum(known.get(part, 0) * (parts[part].fit or 0) for part in WORK) / of_work
        share = min(1.0, work / ENOUGH)
    return [
        Reason(
            part=part,
            fit=None if found.fit is None else round(found.fit, 3),
            points=round(
                100
                / total
                * known.get(part, 0)
                * (found.fit or 0)
                * (1 if part in WORK else share),
                1,
            ),
            of=round(100 / total * known.get(part, 0), 1),
            ru=found.ru,
            en=found.en,
        )
        for part, found in parts.items()
    ]


# ── the work ─────────────────────────────────────────────────────────────────────────────────────


def _title(own: Profile, offer: Offer) -> Found:
    best, name = _similarity(own.title_words, offer.title_words) * OWN_TITLE, own.title
    for position, position_words in own.positions:
        similarity = _similarity(position_words, offer.title_words) * POSITION
        if similarity > best:
            best, name = similarity, position
    has_roles = bool(own.roles and offer.roles)
    same_role = bool(own.roles & offer.roles)
    if not offer.title_words or not (own.title_words or own.positions or has_roles):
        return Found(None, "Должности не с чем сравнить", "There is no title to compare")
    fit = best
    if has_roles:
        fit = (1 - SHARE_OF_ROLE) * best + SHARE_OF_ROLE * same_role
    ru_role = (
        ", роль на hh.ru та же" if same_role else ", роль на hh.ru другая" if has_roles else ""
    )
    en_role = (
        ", the same role at hh.ru" if same_role else ", another role at hh.ru" if has_roles else ""
    )
    if best >= 0.6:
        ru, en = f"Должность похожа на «{name}»", f"The title is like “{name}”"
    elif best >= 0.25:
        ru, en = f"Должность отчасти похожа на «{name}»", f"The title is partly like “{name}”"
    else:
        ru, en = "Должность другая", "The title is another"
    return Found(fit, ru + ru_role, en + en_role)


def _similarity(own: frozenset[str], offered: frozenset[str]) -> float:
    """Return how similar two titles are, 0 to 1: the weight of their common words in relation to
    that of both (Dice's coefficient), the vacancy's extra words counting half."""
    if not own or not offered:
        return 0.0
    common = _weight(own & offered)
    return min(1.0, 1.5 * common / (_weight(own) + 0.5 * _weight(offered)))


@lru_cache(maxsize=16_384)
def _weight(title: frozenset[str]) -> float:
    return sum(GENERIC_WORD if words.is_generic(word) else 1.0 for word in title)


def _skills(own: Profile, offer: Offer) -> tuple[Found, list[str], list[str]]:
    """Return the part, the common skills and the missing ones."""
    degrees = {key: _degree(key, own) for key in offer.skills}
    common = [name for key, name in offer.skills.items() if degrees[key] >= PARTLY]
    missing = [name for key, name in offer.skills.items() if degrees[key] < PARTLY]
    mentioned = [
        key for key in own.skills if key not in degrees and not words.is_soft(key)
        and offer.text.has(key)
    ]  # fmt: skip
    shown = [set(key.split()) for key in degrees if degrees[key] >= PARTLY]
    names = common + [
        own.skills[key]
        for key in mentioned
        if not any(set(key.split()) <= wider for wider in shown)
    ]
    if not offer.skills and not own.skills:
        return Found(None, "Навыки не указаны", "No skills are given"), names, missing
    if offer.skills:
        weight = {key: SOFT_SKILL if words.is_soft(key) else 1.0 for key in degrees}
        total = sum(weight.values())
        extra = max(0.0, FEW_SKILLS - total)
        covered = sum(weight[key] * degree for key, degree in degrees.items())
        hard = [key for key in degrees if degrees[key] >= PARTLY and not words.is_soft(key)]
        depth = min(1.0, (len(mentioned) + len(hard)) / 5)
        fit = 0.75 * (covered + 0.4 * extra) / (total + extra) + 0.25 * depth
    else:
        expected = min(5, sum(not words.is_soft(key) for key in own.skills)) or 1
        fit = min(1.0, len(mentioned) / expected)
    return Found(fit, *_skill_words(names, missing)), names, missing


def _degree(key: str, own: Profile) -> float:
    """Return how far the resume has a skill, 0 to 1."""
    if key in own.skills:
        return 1.0
    if own.text.has(key):
        return IN_TEXT
    parts = key.split()
    for held in own.skills:
        shared = set(parts) & set(held.split())
        if shared and (len(shared) == len(parts) or shared == set(held.split())):
            return PARTLY
    if len(parts) > 1 and all(part in own.text.words for part in parts):
        return PARTLY
    return 0.0


def _skill_words(common: list[str], missing: list[str]) -> tuple[str, str]:
    has = ", ".join(common[:SHOWN_SKILLS])
    lacks = ", ".join(missing[:SHOWN_SKILLS])
    ru = f"Общие навыки: {has}" if has else "Общих навыков нет"
    en = f"Skills in common: {has}" if has else "No skills in common"
    if lacks:
        ru, en = f"{ru}; не хватает: {lacks}", f"{en}; missing: {lacks}"
    return ru, en


# ── the conditions ───────────────────────────────────────────────────────────────────────────────


def _experience(own: Profile, offer: Offer) -> Found:
    wanted = offer.vacancy.experience
    if wanted is None or wanted.id not in EXPERIENCE:
        return Found(None, "Опыт не указан в вакансии", "The vacancy names no experience")
    months = own.months
    if months is None:
        if wanted.id == "noExperience":
            return Found(1.0, "Опыт не нужен", "No experience is needed")
        return Found(None, "Опыт не указан в резюме", "The resume names no experience")
    least, most = EXPERIENCE[wanted.id]
    years = round(months / 12, 1)
    text = (wanted.name or wanted.id).lower()
    has_ru, has_en = f"опыт {years:g} г., нужно: {text}", f"experience {years:g} y., wanted: {text}"
    if months < least:
        return Found(months / least, f"Опыта мало: {has_ru}", f"Too little: {has_en}")
    if most is not None and months > most + 12:
        beyond = (months - most - 12) / 12
        fit = max(0.2, 0.8 - 0.15 * beyond)
        return Found(fit, f"Опыта больше, чем нужно: {has_ru}", f"More than wanted: {has_en}")
    return Found(1.0, f"Опыт подходит: {has_ru}", f"Right: {has_en}")


def _salary(own: Profile, offer: Offer) -> Found:
    if own.salary is None or own.salary <= 0:
        return Found(None, "Желаемая зарплата не указана", "The resume names no salary")
    salary = offer.vacancy.salary
    if salary is None or offer.salary is None:
        return Found(None, "Зарплата за месяц не указана", "The vacancy names no monthly salary")
    if salary.currency != own.currency:
        return Found(None, "Зарплата в другой валюте", "The salary is in another currency")
    ratio = offer.salary / own.salary
    offered, wish = f"{offer.salary:,}".replace(",", " "), f"{own.salary:,}".replace(",", " ")
    ru, en = f"до {offered} на руки, желаемая {wish}", f"up to {offered} net, wanted {wish}"
    if ratio >= 1:
        return Found(1.0, f"Зарплата не ниже желаемой: {ru}", f"The salary is enough: {en}")
    fit = max(0.0, 1 - (1 - ratio) / 0.5)  # half of the wish is worth nothing
    return Found(fit, f"Зарплата ниже желаемой: {ru}", f"The salary is less than wanted: {en}")


def _format(own: Profile, offer: Offer) -> Found:
    if not own.formats or not offer.formats:
        return Found(None, "Формат работы не указан", "The work format is not given")
    fit = max(
        1.0 if wanted == offered else NEAR_FORMATS.get((wanted, offered), 0.0)
        for wanted in own.formats
        for offered in offer.formats
    )
    names = [FORMAT_NAMES.get(found, (found, found)) for found in sorted(offer.formats)]
    ru, en = (", ".join(name[language] for name in names) for language in (0, 1))
    if fit == 1:
        return Found(fit, f"Формат подходит: {ru}", f"The format fits: {en}")
    return Found(fit, f"Формат не тот, что в резюме: {ru}", f"Not the resume's format: {en}")


def _city(own: Profile, offer: Offer) -> Found:
    area, address = offer.vacancy.area, offer.vacancy.address
    name = area.name or area.id
    if "REMOTE" in offer.formats:
        return Found(1.0, "Работать можно из любого города", "The work is remote")
    if own.area_id is None:
        return Found(None, "Город не указан в резюме", "The resume names no city")
    city = address.city if address else None
    if own.area_id == area.id or (own.area is not None and own.area in (city, area.name)):
        return Found(1.0, f"Город подходит: {name}", f"The city fits: {name}")
    if own.moves is not None and (not own.moves or area.id in own.moves):
        return Found(0.7, f"Нужен переезд: {name}", f"It takes moving to {name}")
    return Found(0.0, f"Другой город: {name}", f"Another city: {name}")


def _freshness(vacancy: Vacancy, now: datetime) -> Found:
    days = max(0, (now - vacancy.published_at).days)
    fit = max(0.0, 1 - days / DAYS_OF_FRESHNESS)
    return Found(fit, f"Опубликована дней назад: {days}", f"Published {days} days ago")


def _rating(vacancy: Vacancy) -> Found:
    rating = vacancy.employer.rating
    if rating is None:
        return Found(None, "Оценки работодателя на hh.ru нет", "hh.ru gives no rating")
    fit = max(0.0, min(1.0, (rating - 2) / 3))
    return Found(fit, f"Оценка работодателя: {rating:g}", f"The employer is rated {rating:g}")
