"""``GET /me``: the owner of a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.oauth import tokens
from local.sandbox.resumes import resume_shape
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox

STATUS_CHANGED = "2026-08-01 10:48:44.267000+00:00"  # hh.ru: the only date in this format
STATUS_CHANGED_ISO = "2026-08-01T10:48:44.267Z"  # hh.ru, since 1.37.0


def _flags(kind: str) -> dict[str, Any]:
    return {
        "auth_type": kind,
        "is_applicant": kind == "applicant",
        "is_employer": kind == "employer",
        "is_admin": False,
        "is_application": kind == "application",
        "is_employer_integration": False,
    }


def _applicant(sandbox: Sandbox, person: Person) -> dict[str, Any]:
    now = sandbox.now()
    resumes = sandbox.store.resumes.of_person(person.id)
    visible = [resume for resume in resumes if resume.visible_from <= now]
    return {
        "is_in_search": True,
        "resumes_url": "https://api.hh.ru/resumes/mine",
        "negotiations_url": "https://api.hh.ru/negotiations",
        "employer": None,
        "manager": None,
        "counters": {
            "new_resume_views": sum(map(resume_shape.new_views, visible)),
            "unread_negotiations": sum(
                negotiation.unread > 0
                for negotiation in sandbox.store.negotiations.of_person(person.id, now)
            ),
            "resumes_count": len(visible),
        },
        "profile_videos": {"items": []},
        "user_statuses": {
            "job_search_status": {
                "id": "active_search",
                "name": "В активном поиске работы",
                "last_change_time": (
                    STATUS_CHANGED_ISO if sandbox.era.follows("1.37.0") else STATUS_CHANGED
                ),
            }
        },
        "linked_socials": [],
    }


def _employer(person: Person) -> dict[str, Any]:
    manager = person.id
    company = person.company or {}
    return {
        "is_in_search": None,
        "resumes_url": None,
        "negotiations_url": None,
        "employer": {**company, "manager_id": manager},
        "manager": {
            "id": manager,
            "is_main_contact_person": True,
            "has_admin_rights": True,
            "has_multiple_manager_accounts": False,
            "manager_settings_url": (
                f"https://api.hh.ru/employers/{company.get('id')}/managers/{manager}/settings"
            ),
        },
        "counters": None,
        "profile_videos": None,
        "user_statuses": None,
    }


async def show(request: web.Request) -> web.Response:
    """Return an applicant, an employer, or the application itself (only the flags)."""
    sandbox = request.app[SANDBOX]
    caller = tokens.bearer(request, sandbox)
    if caller is None:
        raise errors.forbidden()
    person = caller.person
    if person is None:
        return web.json_response(_flags("application"))
    body = _flags(person.kind) | {
        "is_anonymous": False,
        "id": person.id,
        "email": person.email,
        "first_name": person.first_name,
        "middle_name": person.middle_name,
        "mid_name": person.middle_name,
        "last_name": person.last_name,
        "phone": f"7{person.phone}",
        "personal_manager": None,
    }
    body |= _applicant(sandbox, person) if person.kind == "applicant" else _employer(person)
    return web.json_response(body, dumps=compact)
