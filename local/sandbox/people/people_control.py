"""The control routes about people: the list, password, revocation, account state, what
employers see of resumes, auto-login."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from aiohttp import web

from local.sandbox.dictionaries import catalogue
from local.sandbox.oauth.account_store import AccountState
from local.sandbox.people import people
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.people.people import Person
    from local.sandbox.resumes.resume_store import Resume
    from local.sandbox.state import Sandbox

STATES: tuple[AccountState, ...] = get_args(AccountState)
RESUME_STATUSES = ("published", "not_published", "blocked", "on_moderation")
RESUME_FIELDS = {"status", "notes", "access"}

MANUAL = """
People ({person} is a key or an id):
GET    /_sandbox/people                     all people: key, id, kind, name, profession, e-mail,
                                            account, live token pairs, resumes
DELETE /_sandbox/people                     reset accounts and resumes, delete all applications
POST   /_sandbox/people/{person}/password   changed: their tokens end, refresh says "token
                                            deactivated"
POST   /_sandbox/people/{person}/revoke     their tokens and unused codes are revoked
POST   /_sandbox/people/{person}/account    {"state": one of the following}:
                    %(states)s
POST   /_sandbox/people/{person}/resumes/{resume_id}   {"status"?: %(statuses)s,
                    "notes"?: [ids of resume_moderation_note], "access"?: an id of
                    resume_access_type}: what employers see of it, as hh.ru's moderators and the
                    person decide
POST   /_sandbox/auto-login                 {"person": key, id or null}: consents at once
                                            instead of seeing the login page
"""


def _refused(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _field(request: web.Request, name: str) -> Any:
    """Return a field of the body, ``...`` if it is absent (``null`` is a value)."""
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError:
        return ...
    return body.get(name, ...) if isinstance(body, dict) else ...


def manual() -> str:
    """Return this part of ``GET /_sandbox/``."""
    return MANUAL % {"states": ", ".join(STATES), "statuses": " | ".join(RESUME_STATUSES)}


def _shown(sandbox: Sandbox, person: Person) -> dict[str, Any]:
    resumes = sandbox.store.resumes.of_person(person.id)
    return {
        "key": person.key,
        "id": person.id,
        "kind": person.kind,
        "name": person.name,
        "profession": person.profession,
        "email": person.email,
        "account": sandbox.store.accounts.state(person.id),
        "live_token_pairs": sandbox.store.accounts.live_pairs(person.id),
        "resumes": [_resume(resume) for resume in resumes],
    }


def _resume(resume: Resume) -> dict[str, Any]:
    access = (resume.body.get("access") or {}).get("type") or {}
    published_at = resume.published_at
    return {
        "id": resume.id,
        "title": resume.body["title"],
        "status": resume.status,
        "notes": list(resume.notes),
        "access": access.get("id"),
        "published_at": published_at and datetime.fromtimestamp(published_at, UTC).isoformat(),
    }


async def list_people(request: web.Request) -> web.Response:
    """``GET /_sandbox/people``."""
    sandbox = request.app[SANDBOX]
    return web.json_response(
        {"people": [_shown(sandbox, person) for person in people.all_people().values()]}
    )


async def reset(request: web.Request) -> web.Response:
    """``DELETE /_sandbox/people``."""
    sandbox = request.app[SANDBOX]
    sandbox.store.accounts.delete_states()
    sandbox.store.negotiations.delete_all()
    sandbox.store.resumes.reset(sandbox.now())
    return web.json_response({})


def named(request: web.Request) -> Person:
    """Return the person that the path names. Raises 404 with the keys of all people."""
    person = people.find(request.match_info["person"])
    if person is None:
        known = [person.key for person in people.all_people().values()]
        raise web.HTTPNotFound(
            text=json.dumps({"error": "no person has this key or id", "people": known}),
            content_type="application/json",
        )
    return person


async def change_password(request: web.Request) -> web.Response:
    """``POST /_sandbox/people/{person}/password``."""
    sandbox, person = request.app[SANDBOX], named(request)
    ended = sandbox.store.accounts.end_all(person.id, "deactivated", sandbox.now())
    return web.json_response({"person": person.key, "ended_token_pairs": ended})


async def revoke(request: web.Request) -> web.Response:
    """``POST /_sandbox/people/{person}/revoke``."""
    sandbox, person = request.app[SANDBOX], named(request)
    ended = sandbox.store.accounts.end_all(person.id, "revoked", sandbox.now())
    return web.json_response({"person": person.key, "ended_token_pairs": ended})


async def set_account(request: web.Request) -> web.Response:
    """``POST /_sandbox/people/{person}/account``."""
    sandbox, person = request.app[SANDBOX], named(request)
    state = await _field(request, "state")
    if state not in STATES:
        return _refused(f"state must be one of: {', '.join(STATES)}")
    sandbox.store.accounts.set_state(person.id, state)
    return web.json_response({"person": person.key, "account": state})


async def set_resume(request: web.Request) -> web.Response:
    """``POST /_sandbox/people/{person}/resumes/{resume_id}``."""
    sandbox, person = request.app[SANDBOX], named(request)
    resumes = sandbox.store.resumes
    resume = resumes.find(request.match_info["resume_id"])
    if resume is None or resume.person_id != person.id:
        return _refused("the person has no resume with this id", 404)
    sent = await _object(request)
    problem = _problem_of_resume(sent)
    if problem is not None:
        return _refused(problem)
    status = sent.get("status", resume.status)
    if status == "not_published":
        resumes.unpublish(resume.id)
    elif resume.published_at is None and "status" in sent:
        resumes.publish(resume.id, sandbox.now())
    if {"status", "notes"} & set(sent):
        moderation = status if status in ("blocked", "on_moderation") else None
        resumes.moderate(resume.id, moderation, sent.get("notes", list(resume.notes)))
    if "access" in sent:
        body = {**resume.body, "access": {"type": {"id": sent["access"]}}}
        resumes.edit(resume.id, body, resume.updated_at)
    changed = resumes.find(resume.id)
    assert changed is not None  # noqa: S101 - it was there a moment ago
    return web.json_response(_resume(changed))


async def _object(request: web.Request) -> dict[str, Any]:
    """Return the object of the body, an empty one in the place of anything else."""
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _problem_of_resume(sent: dict[str, Any]) -> str | None:
    """Return what is wrong with a body of :func:`set_resume`, ``None`` if nothing is."""
    if not sent or set(sent) - RESUME_FIELDS:
        return f"give some of {', '.join(sorted(RESUME_FIELDS))}"
    if sent.get("status", "published") not in RESUME_STATUSES:
        return f"status must be one of: {', '.join(RESUME_STATUSES)}"
    notes, known = sent.get("notes", []), catalogue.names("resume_moderation_note")
    if not isinstance(notes, list) or not all(isinstance(n, str) and n in known for n in notes):
        return f"notes must be a list of: {', '.join(known)}"
    types = catalogue.names("resume_access_type")
    if "access" in sent and not (isinstance(sent["access"], str) and sent["access"] in types):
        return f"access must be one of: {', '.join(types)}"
    return None


async def set_auto_login(request: web.Request) -> web.Response:
    """``POST /_sandbox/auto-login``."""
    name = await _field(request, "person")
    person = people.find(name) if isinstance(name, str) else None
    if name is not None and person is None:
        return _refused("person must be a person's key or id, or null")
    request.app[SANDBOX].auto_login = person.key if person else None
    return web.json_response({"person": person.key if person else None})


ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    ("GET", "/_sandbox/people", list_people),
    ("DELETE", "/_sandbox/people", reset),
    ("POST", "/_sandbox/people/{person}/password", change_password),
    ("POST", "/_sandbox/people/{person}/revoke", revoke),
    ("POST", "/_sandbox/people/{person}/account", set_account),
    ("POST", "/_sandbox/people/{person}/resumes/{resume_id}", set_resume),
    ("POST", "/_sandbox/auto-login", set_auto_login),
)
