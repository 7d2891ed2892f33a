"""With which of their resumes a person may apply to a vacancy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.negotiations import applying
from local.sandbox.oauth import tokens
from local.sandbox.resumes import resume_shape
from local.sandbox.resumes.resume_conditions import missing
from local.sandbox.resumes.resume_routes import MOST_RESUMES
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from local.sandbox.resumes.resume_store import Resume

GROUPS = ("suitable", "already_applied", "not_published", "unavailable")


def _grouped(request: web.Request) -> dict[str, list[dict[str, Any]]]:
    """The caller's resumes, each in one of :data:`GROUPS`. Raises 404 for an unknown vacancy."""
    sandbox, person = request.app[SANDBOX], tokens.person(request)
    now = sandbox.now()
    found = vacancy_routes.existing(sandbox, request.match_info["vacancy_id"])
    if found is None:
        raise errors.not_found()
    vacancy, archived = found
    used = {
        one.resume_id
        for one in sandbox.store.negotiations.of(person.id, now)
        if one.vacancy_id == vacancy.id
    }

    def group(resume: Resume) -> str:
        if resume.id in used:
            return "already_applied"
        if resume.published_at is None:
            return "not_published"
        out_of_reach = bool(used) or archived or applying.conflicts(resume, vacancy)
        return "unavailable" if out_of_reach else "suitable"

    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in GROUPS}
    for resume in sandbox.store.resumes.of(person.id):
        if resume.visible_from <= now:
            incomplete = bool(missing(resume.body)) and not vacancy.accept_incomplete_resumes
            shown = resume_shape.item(resume, now, similar=0)
            groups[group(resume)].append(shown | {"requires_completion": incomplete})
    return groups


async def by_status(request: web.Request) -> web.Response:
    """``GET /vacancies/{id}/resumes_by_status``."""
    groups = _grouped(request)
    counters = {name: len(resumes) for name, resumes in groups.items()}
    return web.json_response({**groups, "counters": counters}, dumps=compact)


async def suitable(request: web.Request) -> web.Response:
    """``GET /vacancies/{id}/suitable_resumes``: all on one page."""
    groups = _grouped(request)
    items = groups.pop("suitable")
    found = len(items)
    return web.json_response(
        {
            "overall": {name: len(resumes) for name, resumes in groups.items()},
            "items": items,
            "found": found,
            "pages": 1 if found else 0,
            "page": 0,
            "per_page": MOST_RESUMES,
        },
        dumps=compact,
    )
