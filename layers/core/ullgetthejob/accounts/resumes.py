"""A person's resumes at hh.ru, as the BFF reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ullgetthejob.accounts import audit, hh_calls
from ullgetthejob.accounts.access import State

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]


class Status(BaseModel):
    """Whether the person is connected to hh.ru, and whether something is in the way of using it.

    *access*: see ``GET /api/accounts/{user_id}``. *link*: where the person puts it right (hh.ru's
    captcha). *message*: what to do, for people; ``None`` while nothing is to be done.
    """

    connected: bool
    access: State
    link: str | None
    message: str | None


class ResumeItem(BaseModel):
    """One of the person's resumes: hh.ru's fields as they are."""

    model_config = ConfigDict(extra="allow")

    id: str
    title: str | None


class School(BaseModel):
    """A school or course: hh.ru's fields, and two that the BFF's import looks for."""

    model_config = ConfigDict(extra="allow")

    school: str
    result: str = Field(description="the speciality")


class Job(BaseModel):
    """A place of work: hh.ru's fields, three of which are always texts."""

    model_config = ConfigDict(extra="allow")

    position: str
    company: str
    description: str


class Resume(BaseModel):
    """A resume in full. What the BFF's import reads has the shape in which it does; everything else
    is hh.ru's as it is. Where the names are the same, hh.ru's own shape is under another name."""

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


class Resumes(BaseModel):
    """All resumes of the person."""

    success: Literal[True] = True
    items: list[ResumeItem]


class ResumeAnswer(BaseModel):
    """One resume."""

    success: Literal[True] = True
    resume: Resume


def show_status(person: Person, *, now: datetime) -> Status:
    """Return the person's connection as Core knows it at *now*, without asking hh.ru."""
    held = person.access.at(now)
    return Status(
        connected=person.connected,
        access=held.state,
        link=held.captcha_url,
        message=None if held.state == "ok" else held.message,
    )


def list_resumes(
    person: Person, *, caller: Caller, hh: HHClient, connection: Connection, now: datetime
) -> Resumes:
    """Every resume, published or not. Raises what :func:`calls.ask` raises."""
    with audit.recorded(
        "resumes.list",
        caller=caller,
        user_id=person.user_id,
        account_id=person.account_id,
        connection=connection,
        now=now,
    ):
        items = hh_calls.call_as_account(person, hh.resumes, hh=hh, connection=connection, now=now)
    return Resumes(items=[ResumeItem.model_validate({"title": None, **item}) for item in items])


def read_resume(
    person: Person,
    resume_id: str,
    *,
    caller: Caller,
    hh: HHClient,
    connection: Connection,
    now: datetime,
) -> ResumeAnswer:
    """One resume. Raises :class:`NotFound` (``resume_not_found``) also for somebody else's, and
    what :func:`calls.ask` raises."""
    with audit.recorded(
        "resumes.read",
        caller=caller,
        user_id=person.user_id,
        account_id=person.account_id,
        connection=connection,
        now=now,
    ):
        resume = hh_calls.call_as_account(
            person,
            lambda token: hh.resume(token, resume_id),
            hh=hh,
            connection=connection,
            now=now,
        )
    return ResumeAnswer(resume=_for_import(resume))


def _for_import(resume: dict[str, Any]) -> Resume:
    """As the BFF's import reads it: hh.ru has ``contact`` as a list, ``education`` as an object,
    and its ``skills`` are free text about the person."""
    contacts = resume.get("contact") or []
    contacts = sorted(contacts, key=lambda one: not one.get("preferred"))
    about, education = resume.get("skills") or None, resume.get("education") or None
    found = {
        "email": next(filter(None, map(_email, contacts)), None),
        "phone": next(filter(None, map(_phone, contacts)), None),
        "summary": about,
        "skills": [str(one) for one in resume.get("skill_set") or []],
        "education": [_school(one) for one in _schools(education or {})],
        "experience": [_job(one) for one in resume.get("experience") or []],
        "hh_skills": about,
        "hh_education": education,
    }
    return Resume.model_validate({"title": None, **resume, **found})


def _schools(education: dict[str, Any]) -> list[dict[str, Any]]:
    """Every school and course. hh.ru: a list for each kind; whoever has only been to school may
    have the level alone."""
    kinds = ("primary", "additional", "attestation", "elementary")
    found = [one for kind in kinds for one in education.get(kind) or []]
    if not found and (education.get("level") or {}).get("name"):
        return [{"name": education["level"]["name"]}]
    return found


def _school(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "school": one.get("name") or "", "result": one.get("result") or ""}


def _job(one: dict[str, Any]) -> dict[str, Any]:
    company = one.get("company") or (one.get("employer") or {}).get("name")
    return {
        **one,
        "position": one.get("position") or "",
        "company": company or "",
        "description": one.get("description") or "",
    }


def _email(contact: dict[str, Any]) -> str | None:
    """hh.ru: an e-mail's value is a text; a contact that is hidden has none."""
    value = contact.get("value")
    is_email = (contact.get("type") or {}).get("id") == "email"
    return value if is_email and isinstance(value, str) else None


def _phone(contact: dict[str, Any]) -> str | None:
    """``+`` and digits. hh.ru: a phone's value has ``country, city, number`` and ``formatted``."""
    value = contact.get("value")
    if not isinstance(value, dict):
        return None
    parts = "".join(str(value.get(part) or "") for part in ("country", "city", "number"))
    digits = re.sub(r"\D", "", parts or str(value.get("formatted") or ""))
    return f"+{digits}" if digits else None
