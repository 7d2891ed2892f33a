"""hh.ru's JSON of resumes for their owner: an item of ``/resumes/mine``, and the whole resume.

Stored resumes hold ids (:mod:`local.sandbox.resumes.resume_store`); here the names are added.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.resumes.resume_conditions import progress
from local.sandbox.vacancies.vacancy_shape import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.sandbox.resumes.resume_store import Resume

API = "https://api.hh.ru"
BUMP_INTERVAL_S = 4 * 3_600
SHARED_STATE = ("blocked", "can_publish_or_update", "finished", "status")  # of status()
LOCALES = {"RU": "Русский", "EN": "Английский"}
# Ids of the old shape and their ids in the new one.
FORMS = {"full": "FULL", "part": "PART_TIME", "project": "PART_TIME", "volunteer": "VOLUNTEER",
         "probation": "INTERNSHIP"}  # fmt: skip
FORMATS = {"remote": "REMOTE", "flyInFlyOut": "FLY_IN_FLY_OUT"}


def _named(dictionary: str, ref: Any) -> dict[str, str] | None:
    return catalogue.names(dictionary)[ref["id"]] if ref else None


def _all_named(dictionary: str, refs: Any) -> list[dict[str, str]]:
    return [catalogue.names(dictionary)[ref["id"]] for ref in refs or ()]


def _area(ref: Any) -> dict[str, str] | None:
    if not ref:
        return None
    area = geography.areas()[ref["id"]]
    return {"id": area.id, "name": area.name, "url": f"{API}/areas/{area.id}"}


def _areas(refs: Any) -> list[dict[str, str]]:
    return [area for ref in refs or () if (area := _area(ref))]


@cache
def _industry(id_: str) -> dict[str, str]:
    return next(
        {"id": row["id"], "name": row["name"]}
        for row in catalogue.table("industries")
        if row["id"] == id_
    )


def _job(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "start": job["start"],
        "end": job.get("end"),
        "company": job.get("company"),
        "company_id": job.get("company_id"),
        "company_url": job.get("company_url"),
        "industry": None,
        "industries": [_industry(ref["id"]) for ref in job.get("industries") or ()],
        "area": _area(job.get("area")),
        "employer": None,
        "position": job.get("position"),
    }


def _months(jobs: Iterable[dict[str, Any]], today: date) -> int | None:
    """Return months of experience, overlapping jobs counted once; ``None`` without jobs."""
    worked: set[int] = set()
    for job in jobs:
        start = date.fromisoformat(job["start"])
        end = date.fromisoformat(job["end"]) if job.get("end") else today
        worked |= set(range(start.year * 12 + start.month, end.year * 12 + end.month + 1))
    return len(worked) or None


def phone_value(value: Any) -> dict[str, str]:
    """Return a phone with its parts and ``formatted``; if both are given, the parts win."""
    if not all(value.get(part) for part in ("country", "city", "number")):
        digits = "".join(letter for letter in value["formatted"] if letter.isdigit())
        value = {"country": digits[:-10], "city": digits[-10:-7], "number": digits[-7:]}
    country, city, number = value["country"], value["city"], value["number"]
    written = f"{number[:-4]}-{number[-4:-2]}-{number[-2:]}"
    return {
        "country": country,
        "city": city,
        "number": number,
        "formatted": f"+{country} ({city}) {written}",
    }


def _contact(contact: dict[str, Any]) -> dict[str, Any]:
    type_ = catalogue.names("preferred_contact_type")[contact["type"]["id"]]
    common = {"type": type_, "preferred": bool(contact.get("preferred"))}
    if type_["id"] == "email":
        return {
            "kind": "email",
            "contact_value": contact["value"],
            "value": contact["value"],
            **common,
        }
    value = phone_value(contact["value"])
    return {
        "kind": "phone",
        "contact_value": value["formatted"],
        "value": value,
        **common,
        "comment": contact.get("comment"),
        "need_verification": False,
        "verified": True,
    }


def _school(number: int, school: dict[str, Any], level: dict[str, str] | None) -> dict[str, Any]:
    return {
        "id": str(number + 1),
        "name": school["name"],
        "name_id": school.get("name_id"),
        "organization": school.get("organization"),
        "organization_id": school.get("organization_id"),
        "result": school.get("result"),
        "result_id": school.get("result_id"),
        "university_acronym": None,
        "year": school["year"],
        "education_level": level,
    }


def _education(body: dict[str, Any]) -> dict[str, Any]:
    education = body.get("education") or {}
    level = _named("education_level", education.get("level"))
    return {
        "level": level,
        "primary": [
            _school(number, school, level)
            for number, school in enumerate(education.get("primary") or ())
        ],
        **{part: education.get(part) or [] for part in ("additional", "attestation", "elementary")},
    }


def _languages(refs: Any) -> list[dict[str, Any]]:
    names = {row["id"]: row["name"] for row in catalogue.languages()}
    return [
        {"id": ref["id"], "name": names[ref["id"]], "level": _named("language_level", ref["level"])}
        for ref in refs or ()
    ]


def _age(birth_date: str | None, today: date) -> int | None:
    if birth_date is None:
        return None
    born = date.fromisoformat(birth_date)
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def new_views(resume: Resume) -> int:
    """Return how many of its views the owner has not seen yet."""
    return resume.views % 7


def next_publish_at(resume: Resume) -> float | None:
    """Return when it may be moved to the top again; ``None`` before its first publication."""
    return None if resume.published_at is None else resume.published_at + BUMP_INTERVAL_S


def status(resume: Resume, now: float) -> dict[str, Any]:
    """Return the fields of a resume about its publication and progress."""
    done = progress(resume.body)
    due = next_publish_at(resume)
    finished = not done["mandatory"]
    notes = catalogue.names("resume_moderation_note")
    may_be_published = finished and resume.moderation is None
    return {
        "status": catalogue.names("resume_status")[resume.status],
        "blocked": resume.status == "blocked",
        "finished": finished,
        "can_publish_or_update": may_be_published and (due is None or due <= now),
        "moderation_note": [notes[id_] for id_ in resume.notes],
        "publish_url": f"{API}/resumes/{resume.id}/publish",
        "progress": done,
    }


def _owner(body: dict[str, Any], today: date) -> dict[str, Any]:
    return {
        "first_name": body.get("first_name"),
        "last_name": body.get("last_name"),
        "middle_name": body.get("middle_name"),
        "age": _age(body.get("birth_date"), today),
        "area": _area(body.get("area")),
        "gender": _named("gender", body.get("gender")),
        "photo": None,
    }


def _common(resume: Resume, now: float) -> dict[str, Any]:
    """Return the fields that items and whole resumes share."""
    body, url = resume.body, f"{API}/resumes/{resume.id}"
    today = datetime.fromtimestamp(now, UTC).date()
    state, due = status(resume, now), next_publish_at(resume)
    files = {kind: {"url": f"{url}/download/resume.{kind}?type={kind}"} for kind in ("pdf", "rtf")}
    months = _months(body.get("experience") or (), today)
    salary = body.get("salary")
    employments = [ref["id"] for ref in body.get("employments") or ()]
    schedules = [ref["id"] for ref in body.get("schedules") or ()]
    forms = dict.fromkeys(FORMS[id_] for id_ in employments)
    formats = dict.fromkeys(FORMATS.get(id_, "ON_SITE") for id_ in schedules)
    return {
        "id": resume.id,
        "title": body.get("title"),
        "url": url,
        "alternate_url": f"https://hh.ru/resume/{resume.id}",
        **_owner(body, today),
        "salary": salary and {"amount": salary["amount"], "currency": salary["currency"]},
        "total_experience": months and {"months": months},
        "certificate": [],
        "hidden_fields": _all_named("resume_hidden_fields", body.get("hidden_fields")),
        "education": _education(body),
        "experience": [_job(job) for job in body.get("experience") or ()],
        "marked": False,
        "platform": {"id": "headhunter"},
        "real_id": str(200_000_000 + resume.number),
        "created_at": moment(resume.created_at),
        "updated_at": moment(resume.updated_at),
        "actions": {"download": files},
        "download": files,
        "access": {"type": _named("resume_access_type", (body.get("access") or {}).get("type"))},
        **{name: state[name] for name in SHARED_STATE},
        "can_view_full_info": True,
        "next_publish_at": None if due is None else moment(due),
        "new_views": new_views(resume),
        "total_views": resume.views,
        "views_url": f"{url}/views",
        "paid_services": [{"id": "resume_marked", "name": "Яркое резюме", "active": False}],
        "contact": [_contact(contact) for contact in body.get("contact") or ()],
        "tags": [],
        "employment_form": [catalogue.names("resume_employment_form")[id_] for id_ in forms],
        "work_format": [catalogue.names("resume_work_format")[id_] for id_ in formats],
    }


def item(resume: Resume, now: float, similar: int) -> dict[str, Any]:
    """Return a resume as in ``/resumes/mine``; *similar*: how many vacancies fit it."""
    shared = _common(resume, now)
    return shared | {
        "created": shared["created_at"],
        "updated": shared["updated_at"],
        "auto_hide_time": None,
        "similar_vacancies": {
            "url": f"{API}/resumes/{resume.id}/similar_vacancies",
            "counters": {"total": similar},
        },
        "visible": resume.status == "published",
    }


def _relocation(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    return stored and {
        "type": _named("relocation_type", stored["type"]),
        "area": _areas(stored.get("area")),
        "district": [],
    }


def whole(resume: Resume, now: float) -> dict[str, Any]:
    """Return a whole resume as its owner sees it."""
    body, shared, state = resume.body, _common(resume, now), status(resume, now)
    jobs = body.get("experience") or ()
    for shown, stored in zip(shared["experience"], jobs, strict=True):
        shown["description"] = stored.get("description")
    employments = _all_named("employment", body.get("employments"))
    schedules = _all_named("schedule", body.get("schedules"))
    locale = (body.get("resume_locale") or {}).get("id")
    return shared | {
        "birth_date": body.get("birth_date"),
        "business_trip_readiness": _named(
            "business_trip_readiness", body.get("business_trip_readiness")
        ),
        "citizenship": _areas(body.get("citizenship")),
        "work_ticket": _areas(body.get("work_ticket")),
        "driver_license_types": body.get("driver_license_types") or [],
        "has_vehicle": body.get("has_vehicle"),
        "employment": employments[0] if employments else None,
        "employments": employments,
        "schedule": schedules[0] if schedules else None,
        "schedules": schedules,
        "language": _languages(body.get("language")),
        "metro": None,
        "portfolio": [],
        "professional_roles": [
            catalogue.roles()[ref["id"]] for ref in body.get("professional_roles") or ()
        ],
        "recommendation": body.get("recommendation") or [],
        "relocation": _relocation(body.get("relocation")),
        "resume_locale": locale and {"id": locale, "name": LOCALES[locale]},
        "site": body.get("site") or [],
        "skill_set": body.get("skill_set") or [],
        "skills": body.get("skills"),
        "travel_time": _named("travel_time", body.get("travel_time")),
        "moderation_note": state["moderation_note"],
        "progress": state["progress"],
        "_progress": {
            "percentage": state["progress"]["percentage"],
            "mandatory": [field["id"] for field in state["progress"]["mandatory"]],
            "recommended": [field["id"] for field in state["progress"]["recommended"]],
        },
        "publish_url": state["publish_url"],
    }
