"""What the score needs to know of a resume and of a vacancy, read once from hh.ru's shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.fit import words
from ullgetthejob.hh.models import VacancyDetail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ullgetthejob.hh.models import Vacancy

MAX_POSITIONS = 5  # the latest places of work that count for the title
# hh.ru: the older dictionary "schedule", and the newer "work_format".
FORMATS = {
    "remote": "REMOTE",
    "fullDay": "ON_SITE",
    "shift": "ON_SITE",
    "flexible": "ON_SITE",
    "flyInFlyOut": "FLY_IN_FLY_OUT",
}
OTHER_ROLE = "40"  # hh.ru: professional role "Другое"


@dataclass(frozen=True)
class Profile:
    """A resume. *salary*: wanted, net, a month (hh.ru shows wishes after tax). *months*: of
    experience in all. *moves*: the ids of the areas to which the person would move, empty for any;
    ``None`` if it would not."""

    title: str
    title_words: frozenset[str]
    positions: tuple[tuple[str, frozenset[str]], ...]
    roles: frozenset[str]
    skills: Mapping[str, str]
    text: words.Text
    salary: int | None
    currency: str | None
    months: int | None
    formats: frozenset[str]
    area_id: str | None
    area: str | None
    moves: frozenset[str] | None


@dataclass(frozen=True)
class Offer:
    """A vacancy, with its words. *salary*: the most that it offers, net, a month; see
    :func:`_offered`."""

    vacancy: Vacancy
    title_words: frozenset[str]
    roles: frozenset[str]
    skills: Mapping[str, str]
    text: words.Text
    salary: int | None
    formats: frozenset[str]


def profile_of(resume: Mapping[str, Any]) -> Profile:
    """Return the profile of a resume in hh.ru's shape: of ``GET /resumes/{id}``, or of an item of a
    list, which has no skills. Any field may be missing or null."""
    jobs = [job for job in _list(resume.get("experience")) if isinstance(job, dict)]
    skills = [str(skill) for skill in _list(resume.get("skill_set"))]
    salary = resume.get("salary") or {}
    area = resume.get("area") or {}
    title = str(resume.get("title") or "")
    texts = [title, *skills, str(resume.get("skills") or "")]
    texts += [f"{job.get('position') or ''}\n{job.get('description') or ''}" for job in jobs]
    positions = [str(job.get("position") or "") for job in jobs][:MAX_POSITIONS]
    return Profile(
        title=title,
        title_words=words.title_words(title),
        positions=tuple((name, words.title_words(name)) for name in positions if name),
        roles=frozenset(_ids(resume.get("professional_roles"))) - {OTHER_ROLE},
        skills=words.skill_keys(skills),
        text=words.Text("\n".join(texts)),
        salary=salary.get("amount"),
        currency=salary.get("currency"),
        months=(resume.get("total_experience") or {}).get("months"),
        formats=_resume_formats(resume),
        area_id=area.get("id"),
        area=area.get("name"),
        moves=_moves(resume.get("relocation")),
    )


def offer_of(vacancy: Vacancy) -> Offer:
    """Return a vacancy with its words; of one that was not read in full, those of its excerpt."""
    if isinstance(vacancy, VacancyDetail):
        text, skills = vacancy.description, list(vacancy.key_skills)
    else:
        text, skills = f"{vacancy.snippet.requirement}\n{vacancy.snippet.responsibility}", []
    return Offer(
        vacancy=vacancy,
        title_words=words.title_words(vacancy.name),
        roles=frozenset(role.id for role in vacancy.professional_roles) - {OTHER_ROLE},
        skills=words.skill_keys(skills),
        text=words.Text("\n".join([vacancy.name, *skills, text])),
        salary=_offered(vacancy),
        formats=_vacancy_formats(vacancy),
    )


def _offered(vacancy: Vacancy) -> int | None:
    """Return the most that is offered a month, net: the upper end, or, of "from 100,000", a fifth
    more, since such an offer is open above. Amounts without a word about tax are before it, as
    employers write them; Russia's income tax is 13 %."""
    salary = vacancy.salary
    if salary is None or salary.mode != "MONTH":
        return None
    if salary.upper is not None:
        most = float(salary.upper)
    elif salary.lower is not None:
        most = salary.lower * 1.2
    else:
        return None
    return round(most if salary.gross is False else most * 0.87)


def _vacancy_formats(vacancy: Vacancy) -> frozenset[str]:
    formats = frozenset(entry.id for entry in vacancy.work_format)
    if not formats and vacancy.schedule is not None:
        formats = frozenset([FORMATS.get(vacancy.schedule.id, vacancy.schedule.id)])
    return formats


def _resume_formats(resume: Mapping[str, Any]) -> frozenset[str]:
    formats = list(_ids(resume.get("work_format")))
    schedules = _list(resume.get("schedules")) or [resume.get("schedule")]
    return frozenset(formats or (FORMATS.get(found, found) for found in _ids(schedules)))


def _moves(relocation: Any) -> frozenset[str] | None:
    """Return the areas to which the person would move. hh.ru: types no_relocation,
    relocation_possible and relocation_desirable; without areas the person would move anywhere."""
    if not isinstance(relocation, dict):
        return None
    kind = (relocation.get("type") or {}).get("id") or ""
    if not kind or kind == "no_relocation":
        return None
    return frozenset(_ids(relocation.get("area")))


def _ids(entries: Any) -> Iterable[str]:
    return [
        str(entry["id"])
        for entry in _list(entries)
        if isinstance(entry, dict) and entry.get("id") is not None
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
