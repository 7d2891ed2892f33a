"""The placeholders of letter templates, and their values for a resume and a vacancy.

A value that neither of them has is left out: it is false in a condition, and printing it is an
error, since a letter with a hole is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.fit.scoring import compare_skills

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ullgetthejob.hh.models import Vacancy

MAX_CHARS = 300  # of a value; hh.ru's names are shorter
MAX_ITEMS = 30  # hh.ru: skills of a resume, and of a vacancy

MEANINGS = {
    "vacancy.title": "the vacancy's title",
    "vacancy.city": "its city",
    "vacancy.experience": "the experience that it wants, in hh.ru's words",
    "vacancy.format": "its first work format, in hh.ru's words",
    "employer": "the employer's name; an anonymous vacancy has none",
    "skills.common": "a list: skills that resume and vacancy both have",
    "skills.missing": "a list: key skills of the vacancy that the resume does not have",
    "skills.own": "a list: skills of the resume",
    "resume.title": "the resume's title",
    "resume.city": "its city",
    "resume.years": "years of experience in all, completed ones",
    "resume.position": "the latest position",
    "resume.company": "the company of the latest position",
    "person.first_name": "the person's first name",
    "person.last_name": "the person's last name",
}
LISTS = frozenset({"skills.common", "skills.missing", "skills.own"})


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for path in MEANINGS:
        group, _, name = path.partition(".")
        kind = list if path in LISTS else str
        if name:
            schema.setdefault(group, {})[name] = kind
        else:
            schema[group] = kind
    return schema


# The type of each placeholder; a group of them is a dictionary.
SCHEMA = _schema()


def context_of(resume: Mapping[str, Any], vacancy: Vacancy) -> dict[str, Any]:
    """Return the values of the placeholders, for :func:`.rendering.render`. *resume*: in hh.ru's
    shape, in full."""
    common, missing = compare_skills(resume, vacancy)
    jobs = [job for job in resume.get("experience") or [] if isinstance(job, dict)]
    latest = jobs[0] if jobs else {}
    months = (resume.get("total_experience") or {}).get("months") or 0
    work_format = vacancy.work_format[0] if vacancy.work_format else vacancy.schedule
    values = {
        "vacancy.id": vacancy.id,  # of which a variant is chosen
        "vacancy.title": vacancy.name,
        "vacancy.city": vacancy.area.name,
        "vacancy.experience": vacancy.experience and vacancy.experience.name,
        "vacancy.format": work_format and work_format.name,
        "employer": vacancy.employer.name if vacancy.employer.id is not None else None,
        "skills.common": common,
        "skills.missing": missing,
        "skills.own": [str(skill) for skill in resume.get("skill_set") or []],
        "resume.title": resume.get("title"),
        "resume.city": (resume.get("area") or {}).get("name"),
        "resume.years": months // 12 or None,
        "resume.position": latest.get("position"),
        "resume.company": latest.get("company") or (latest.get("employer") or {}).get("name"),
        "person.first_name": resume.get("first_name"),
        "person.last_name": resume.get("last_name"),
    }
    context: dict[str, Any] = {}
    for path, value in values.items():
        tidy = _tidy(value)
        if not tidy:
            continue
        group, _, name = path.partition(".")
        if name:
            context.setdefault(group, {})[name] = tidy
        else:
            context[group] = tidy
    return context


def _tidy(value: Any) -> Any:
    """Return a value in one line, and of bounded length."""
    if isinstance(value, list):
        return [_tidy(item) for item in value[:MAX_ITEMS]]
    return " ".join(value.split())[:MAX_CHARS] if isinstance(value, str) else value
