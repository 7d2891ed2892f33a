"""The routes that read resumes. Another person's resume is not found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.oauth import tokens
from local.sandbox.resumes import resume_shape
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from local.sandbox.resumes.resume_store import Resume

MOST_RESUMES = 20


def own(request: web.Request) -> Resume:
    """Return the resume that the path names. Raises 404 for another's and one not visible yet."""
    sandbox = request.app[SANDBOX]
    resume = sandbox.store.resumes.find(request.match_info["resume_id"])
    mine = resume is not None and resume.person_id == tokens.person(request).id
    if resume is None or not mine or resume.visible_from > sandbox.now():
        raise errors.not_found()
    return resume


async def mine(request: web.Request) -> web.Response:
    """``GET /resumes/mine``: one page, for there are never more than twenty."""
    sandbox = request.app[SANDBOX]
    now = sandbox.now()
    vacancies = sandbox.world.at(now).values()

    def count_similar(resume: Resume) -> int:
        roles = {ref["id"] for ref in resume.body.get("professional_roles") or ()}
        return sum(vacancy.role in roles for vacancy in vacancies)

    items = [
        resume_shape.item(resume, now, count_similar(resume))
        for resume in sandbox.store.resumes.of_person(tokens.person(request).id)
        if resume.visible_from <= now
    ]
    found = len(items)
    envelope = {"found": found, "pages": 1 if found else 0, "page": 0, "per_page": MOST_RESUMES}
    return web.json_response({"items": items, **envelope}, dumps=compact)


async def show(request: web.Request) -> web.Response:
    """``GET /resumes/{id}``."""
    now = request.app[SANDBOX].now()
    return web.json_response(resume_shape.whole(own(request), now), dumps=compact)


async def creation_availability(request: web.Request) -> web.Response:
    """``GET /resumes/creation_availability``."""
    created = len(request.app[SANDBOX].store.resumes.of_person(tokens.person(request).id))
    return web.json_response(
        {
            "created": created,
            "is_creation_available": created < MOST_RESUMES,
            "max": MOST_RESUMES,
            "remaining": max(0, MOST_RESUMES - created),
        }
    )
