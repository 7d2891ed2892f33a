"""hh.ru's conditions for the fields of a resume, and how complete a resume is.

``data/resume_conditions.json`` is hh.ru's ``/resume_conditions`` without dates and years, which
depend on the clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from local.sandbox.dictionaries.geography import DATA

YOUNGEST_YEARS = 14
YEARS_AHEAD = 10
# In the order of hh.ru's form.
NAMES = {
    "title": "Желаемая должность",
    "first_name": "Имя",
    "last_name": "Фамилия",
    "gender": "Пол",
    "area": "Город проживания",
    "citizenship": "Гражданство",
    "contact": "Контакты",
    "professional_roles": "Специализация",
    "skill_set": "Ключевые навыки",
    "education": "Образование",
    "language": "Язык",
    "employments": "Занятость",
    "schedules": "График работы",
    "access": "Видимость резюме",
    "resume_locale": "Язык резюме",
    "travel_time": "Желательное время в пути до работы",
    "business_trip_readiness": "Готовность к командировкам",
}
RECOMMENDED = {
    "photo": "Фото",
    "salary": "Заработная плата",
    "experience": "Опыт работы",
    "skills": "О себе",
    "birth_date": "Дата рождения",
}


@cache
def _template() -> str:
    return (DATA / "resume_conditions.json").read_text(encoding="utf-8")


def _years_ago(now: datetime, years: int) -> str:
    return (now - timedelta(days=years * 365.25)).strftime("%Y-%m-%d")


def conditions(now: float) -> dict[str, Any]:
    """Return the conditions by field at *now*: lengths, counts, values and dates."""
    body: dict[str, Any] = json.loads(_template())
    today = datetime.fromtimestamp(now, UTC)
    body["birth_date"]["max_date"] = _years_ago(today, YOUNGEST_YEARS)
    for name in ("start", "end"):
        body["experience"]["fields"][name]["max_date"] = _years_ago(today, 0)
    for part in ("additional", "attestation", "elementary", "primary"):
        year = body["education"]["fields"][part]["fields"]["year"]
        year["max_value"] = today.year + YEARS_AHEAD
    return body


def missing(body: dict[str, Any]) -> list[str]:
    """Return the mandatory fields that a resume lacks and needs before it can be published."""
    lacks = [name for name in NAMES if not body.get(name)]
    if "contact" not in lacks:
        kinds = {contact["type"]["id"] for contact in body["contact"]}
        if "email" not in kinds or kinds == {"email"}:
            lacks.append("contact")
    education = body.get("education") or {}
    if "education" not in lacks and not (education.get("level") and education.get("primary")):
        lacks.append("education")
    return [name for name in NAMES if name in lacks]


def progress(body: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"percentage", "mandatory": [{id, name}], "recommended": [{id, name}]}``."""
    mandatory = missing(body)
    recommended = [name for name in RECOMMENDED if not body.get(name)]
    total = len(NAMES) + len(RECOMMENDED)
    return {
        "percentage": round(100 * (total - len(mandatory) - len(recommended)) / total),
        "mandatory": [{"id": name, "name": NAMES[name]} for name in mandatory],
        "recommended": [{"id": name, "name": RECOMMENDED[name]} for name in recommended],
    }
