"""The routes that create, edit, publish and delete an applicant's resumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.errors import ApiError
from local.sandbox.oauth import tokens
from local.sandbox.resumes import resume_check, resume_shape
from local.sandbox.resumes.resume_conditions import missing
from local.sandbox.resumes.resume_routes import MOST_RESUMES, own
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox

# hh.ru: a new resume cannot be read or used for some seconds; how many varies.
VISIBLE_AFTER_S = 3.0


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the call. Raises 400 for anything else."""
    try:
        body = json.loads(await request.text())
        # Neither half a surrogate pair nor NaN can be sent in a response.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", description="Bad Request")
    return body


def _titles(sandbox: Sandbox, person: Person, *, except_id: str | None = None) -> set[str]:
    """Return the titles of the person's resumes, without that of *except_id*."""
    resumes = sandbox.store.resumes.of_person(person.id)
    return {resume.body["title"] for resume in resumes if resume.id != except_id}


async def create(request: web.Request) -> web.Response:
    """``POST /resumes``: 201 without a body, the new id in ``Location``.

    ``?source_resume_id=`` copies that resume; the fields of the body replace the copied ones.
    """
    sandbox, person = request.app[SANDBOX], tokens.person(request)
    now, resumes = sandbox.now(), sandbox.store.resumes.of_person(person.id)
    source_id = request.query.get("source_resume_id")
    body = await _body(request) if request.can_read_body or source_id is None else {}
    if len(resumes) >= MOST_RESUMES:
        raise ApiError(400, "resumes", "total_limit_exceeded", description="Bad Request")
    copied: dict[str, Any] = {}
    if source_id is not None:
        visible = (resume for resume in resumes if resume.visible_from <= now)
        source = next((resume for resume in visible if resume.id == source_id), None)
        if source is None:
            raise errors.not_found()
        copied = {name: value for name, value in source.body.items() if value not in (None, [])}
    sent = {name: value for name, value in body.items() if value is not None}
    titles = _titles(sandbox, person)
    fields = resume_check.read(copied | sent, now, new=True, others=titles)
    id_ = sandbox.store.resumes.create(person.id, fields, now, visible_from=now + VISIBLE_AFTER_S)
    return web.Response(
        status=201, content_type="text/html", headers={"Location": f"/resumes/{id_}"}
    )


async def edit(request: web.Request) -> web.Response:
    """``PUT /resumes/{id}``: 204. Absent fields keep their values; lists are replaced."""
    sandbox, resume = request.app[SANDBOX], own(request)
    now = sandbox.now()
    titles = _titles(sandbox, tokens.person(request), except_id=resume.id)
    fields = resume_check.read(await _body(request), now, new=False, others=titles)
    sandbox.store.resumes.edit(resume.id, resume.body | fields, now)
    return web.Response(status=204)


async def publish(request: web.Request) -> web.Response:
    """``POST /resumes/{id}/publish``: 204. Publish it, or move it to the top every four hours."""
    sandbox, resume = request.app[SANDBOX], own(request)
    now, due = sandbox.now(), resume_shape.next_publish_at(resume)
    if missing(resume.body) or resume.moderation is not None:
        raise ApiError(400, "bad_request", description="Can't publish resume")
    if due is not None and now < due:
        raise ApiError(429, "resumes", "touch_limit_exceeded", description="Too Many Requests")
    sandbox.store.resumes.publish(resume.id, now)
    return web.Response(status=204)


async def delete(request: web.Request) -> web.Response:
    """``DELETE /resumes/{id}``: 204. Delete it for good."""
    request.app[SANDBOX].store.resumes.delete(own(request).id)
    return web.Response(status=204)
