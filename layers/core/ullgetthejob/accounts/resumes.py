"""A person's hh.ru resumes, in the shape that the BFF reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from ullgetthejob.accounts import audit, hh_calls, kept_resumes
from ullgetthejob.platform.errors import NotFound
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context


MAX_READ = 5  # each is a call of hh.ru


class ResumeItem(Model):
    """A resume of the person in a list: hh.ru's fields unchanged."""

    model_config = ConfigDict(extra="allow")

    id: str
    title: str | None


class School(Model):
    """A school or course: hh.ru's fields, and two that the BFF's import needs."""

    model_config = ConfigDict(extra="allow")

    school: str
    result: str = Field(description="the speciality")


class Job(Model):
    """A place of work: hh.ru's fields, three of which are always strings."""

    model_config = ConfigDict(extra="allow")

    position: str
    company: str
    description: str


class Resume(Model):
    """A resume in full. The fields of the BFF's import have the shape that it reads; all others are
    hh.ru's unchanged. Where both have the same name, hh.ru's own field is under another name."""

    model_config = ConfigDict(extra="allow")

    id: str
    title: str | None
    email: str | None
    phone: str | None
    summary: str | None
    skills: list[str] = Field(description="hh.ru's skill_set")
    education: list[School]
    experience: list[Job]
    hh_skills: str | None = Field(description="hh.ru's skills: free text, the same as summary")
    hh_education: dict[str, Any] | None = Field(description="hh.ru's education")


class Resumes(Model):
    """All resumes of the person."""

    success: Literal[True] = True
    items: list[ResumeItem]


class ResumeAnswer(Model):
    """One resume."""

    success: Literal[True] = True
    resume: Resume


def list_resumes(person: Person, context: Context) -> Resumes:
    """Return every resume, published or not. Raises what :func:`.hh_calls.call_as_account`
    raises."""
    context = context.with_fixed_time()
    with audit.recorded(
        "resumes.list", context, user_id=person.user_id, account_id=person.account_id
    ):
        items = hh_calls.call_as_account(person, "resumes_read", context.hh.resumes, context)
        kept_resumes.keep(
            person.account, items, read_at=context.now(), connection=context.connection
        )
    return Resumes(items=[ResumeItem.model_validate({"title": None, **item}) for item in items])


def read_resume(resume_id: str, person: Person, context: Context) -> ResumeAnswer:
    """Return one resume. Raises :class:`NotFound` (``resume_not_found``), also for another person's
    resume, and what :func:`.hh_calls.call_as_account` raises."""
    context = context.with_fixed_time()
    with audit.recorded(
        "resumes.read", context, user_id=person.user_id, account_id=person.account_id
    ):
        resume = hh_calls.call_as_account(
            person,
            "resumes_read",
            lambda token: context.hh.resume(token, resume_id),
            context,
        )
    return ResumeAnswer(resume=_for_import(resume))


def read_in_full(
    person: Person, context: Context, *, resume_id: str | None = None
) -> list[dict[str, Any]]:
    """Return the resume of *resume_id*; by default those that can be sent (published ones if there
    are any), the newest :data:`MAX_READ` of them: in full, in hh.ru's shape.

    Raises :class:`NotFound` (``resume_not_found``), also for a person without any, and what
    :func:`.hh_calls.call_as_account` raises.
    """
    context = context.with_fixed_time()
    with audit.recorded(
        "resumes.read", context, user_id=person.user_id, account_id=person.account_id
    ):
        return hh_calls.call_as_account(
            person,
            "resumes_read",
            lambda token: [
                context.hh.resume(token, wanted)
                for wanted in ([resume_id] if resume_id else _newest(context.hh.resumes(token)))
            ],
            context,
        )


def _newest(resumes: list[dict[str, Any]]) -> list[str]:
    usable = [resume for resume in resumes if not resume.get("blocked")]
    published = [
        resume for resume in usable if (resume.get("status") or {}).get("id") == "published"
    ]
    found = sorted(
        published or usable, key=lambda resume: str(resume.get("updated_at") or ""), reverse=True
    )
    if not found:
        raise NotFound("there is no resume", code="resume_not_found")
    return [resume["id"] for resume in found[:MAX_READ]]


def _for_import(resume: dict[str, Any]) -> Resume:
    """Return hh.ru's *resume* in the shape of the BFF's import. hh.ru: ``contact`` is a list,
    ``education`` an object, and ``skills`` free text about the person."""
    contacts = resume.get("contact") or []
    contacts = sorted(contacts, key=lambda contact: not contact.get("preferred"))
    about, education = resume.get("skills") or None, resume.get("education") or None
    fields = {
        "email": next(filter(None, map(_email, contacts)), None),
        "phone": next(filter(None, map(_phone, contacts)), None),
        "summary": about,
        "skills": [str(skill) for skill in resume.get("skill_set") or []],
        "education": [_school(school) for school in _list_schools(education or {})],
        "experience": [_job(job) for job in resume.get("experience") or []],
        "hh_skills": about,
        "hh_education": education,
    }
    return Resume.model_validate({"title": None, **resume, **fields})


def _list_schools(education: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every school and course. hh.ru: a list for each kind; a person with school education
    only may have just the level."""
    kinds = ("primary", "additional", "attestation", "elementary")
    schools = [school for kind in kinds for school in education.get(kind) or []]
    if not schools and (education.get("level") or {}).get("name"):
        return [{"name": education["level"]["name"]}]
    return schools


def _school(school: dict[str, Any]) -> dict[str, Any]:
    return {**school, "school": school.get("name") or "", "result": school.get("result") or ""}


def _job(job: dict[str, Any]) -> dict[str, Any]:
    company = job.get("company") or (job.get("employer") or {}).get("name")
    return {
        **job,
        "position": job.get("position") or "",
        "company": company or "",
        "description": job.get("description") or "",
    }


def _email(contact: dict[str, Any]) -> str | None:
    """Return the address of an e-mail contact. hh.ru: its value is a string; a hidden contact has
    none."""
    value = contact.get("value")
    is_email = (contact.get("type") or {}).get("id") == "email"
    return value if is_email and isinstance(value, str) else None


def _phone(contact: dict[str, Any]) -> str | None:
    """Return ``+`` and the digits of a phone contact. hh.ru: its value has ``country, city,
    number`` and ``formatted``."""
    value = contact.get("value")
    if not isinstance(value, dict):
        return None
    parts = "".join(str(value.get(part) or "") for part in ("country", "city", "number"))
    digits = re.sub(r"\D", "", parts or str(value.get("formatted") or ""))
    return f"+{digits}" if digits else None
