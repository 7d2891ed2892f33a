"""``/negotiations``: applying, reading negotiations and their messages, writing to employers.

Only applicants may call these routes, and each sees only their own negotiations. A second
application to the same vacancy is refused with ``already_applied``.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries import catalogue
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.eras import methods
from local.sandbox.errors import ApiError
from local.sandbox.negotiations import applying, employer_behaviour, negotiation_shape
from local.sandbox.negotiations.applying import ApplyRequest
from local.sandbox.negotiations.negotiation import FIRST_ID, number_of
from local.sandbox.negotiations.refusals import refuse
from local.sandbox.oauth import tokens
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.negotiations.negotiation import Negotiation
    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox

PER_PAGE, PER_PAGE_MAX = 20, 100
# hh.ru answers 425 until the chat of a new application exists. INFERRED: how long that takes.
CHAT_READY_AFTER_S = 1.0
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NUMBER = re.compile(r"[0-9]{1,9}")


async def _form(request: web.Request) -> dict[str, str]:
    """Return the form's fields, none for another content type. Raises 400 for a broken form."""
    if request.content_type not in FORMS:
        return {}
    try:
        return {
            name: value for name, value in (await request.post()).items() if isinstance(value, str)
        }
    except (ValueError, LookupError):
        raise ApiError(400, "bad_request", description="Bad Request") from None


def _ordered_refusal(request: web.Request) -> str | None:
    """Return the name of the refusal that a fault orders for this call, ``None`` without one."""
    return next((fault.value for fault in request["faults"] if fault.kind == "refusal"), None)


# ── applying ────────────────────────────────────────────────────────────────────────────────────


async def apply(request: web.Request) -> web.Response:
    """``POST /negotiations``: 201 without a body, the new id in ``Location``.

    303 where the employer takes applications on its own site only. Every call is logged, also
    those without a valid token.
    """
    sandbox, form = request.app[SANDBOX], await _form(request)
    apply_request = ApplyRequest(
        vacancy_id=form.get("vacancy_id"),
        resume_id=form.get("resume_id"),
        letter=form.get("message") or None,
        visible_abroad=form.get("enable_applicant_visibility_in_country") == "true",
        refusal=_ordered_refusal(request),
    )
    now = sandbox.now()

    async def handle(request: web.Request) -> web.StreamResponse:
        return _apply(sandbox, tokens.person(request), apply_request, now)

    try:
        answer = await tokens.require(methods()["POST /negotiations"], handle)(request)
    except ApiError as refusal:
        applying.log_refusal(sandbox, _person_or_none(request), apply_request, now, refusal)
        raise
    assert isinstance(answer, web.Response)  # noqa: S101 - handle() returns one
    return answer


def _person_or_none(request: web.Request) -> Person | None:
    with contextlib.suppress(ApiError):
        return tokens.person(request)
    return None


def _apply(
    sandbox: Sandbox, person: Person, apply_request: ApplyRequest, now: float
) -> web.Response:
    try:
        number = applying.apply(sandbox, person, apply_request, now)
    except applying.Redirected as redirect:
        applying.log_redirect(sandbox, person, apply_request, now)
        status, location = 303, str(redirect)
    else:
        status, location = 201, f"/negotiations/{FIRST_ID + number}"
    return web.Response(status=status, content_type="text/html", headers={"Location": location})


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def _page(request: web.Request) -> tuple[int, int]:
    """Return ``page`` and ``per_page``. Raises 400."""
    numbers = {"page": 0, "per_page": PER_PAGE}
    for name in numbers:
        text = request.query.get(name)
        if text is not None:
            if not _NUMBER.fullmatch(text):
                raise errors.bad_argument(name)
            numbers[name] = int(text)
    if not 1 <= numbers["per_page"] <= PER_PAGE_MAX:
        raise errors.bad_argument("per_page")
    return numbers["page"], numbers["per_page"]


def _envelope(found: Sequence[Any], page: int, per_page: int) -> dict[str, Any]:
    """Return the fields of a page except ``items``."""
    pages = -(-len(found) // per_page)
    return {"found": len(found), "pages": pages, "page": page, "per_page": per_page}


def _in_status(negotiation: Negotiation, status: str, *, archived: bool) -> bool:
    """Return whether a negotiation has one of hh.ru's ``applicant_negotiation_status``."""
    active = not archived and negotiation.state != "discard"
    return {
        "all": True,
        "active": active,
        "invitations": active and negotiation.state != "response",
        "response": active and negotiation.state == "response",
        "discard": negotiation.state == "discard",
        "archived": archived,
        "non_archived": not archived,
        "deleted": False,
    }[status]


def _to_json(sandbox: Sandbox, negotiation: Negotiation) -> dict[str, Any]:
    found = vacancy_routes.existing(sandbox, negotiation.vacancy_id)
    vacancy, archived = found if found else (None, True)
    resume = sandbox.store.resumes.find(negotiation.resume_id)
    return negotiation_shape.item(negotiation, resume, vacancy, archived)


async def mine(request: web.Request) -> web.Response:
    """``GET /negotiations``: a page, the last updated first."""
    sandbox, query = request.app[SANDBOX], request.query
    page, per_page = _page(request)
    if "order_by" in query:  # in the manual, refused in 2026
        raise errors.bad_argument("order_by")
    status = query.get("status", "all")
    if status not in catalogue.ids("applicant_negotiation_status"):
        raise errors.bad_argument("status")
    updates = query.get("has_updates")
    if updates not in (None, "true", "false"):
        raise errors.bad_argument("has_updates")
    now = sandbox.now()
    still_open = sandbox.world.at(now)
    found = [
        negotiation
        for negotiation in sandbox.store.negotiations.of_person(tokens.person(request).id, now)
        if _in_status(negotiation, status, archived=negotiation.vacancy_id not in still_open)
        and query.get("vacancy_id") in (None, negotiation.vacancy_id)
        and (updates is None or (negotiation.unread > 0) == (updates == "true"))
    ]
    found.sort(key=lambda item: (item.updated_at, item.messages[-1].number), reverse=True)
    items = [_to_json(sandbox, negotiation) for negotiation in found[page * per_page :][:per_page]]
    return web.json_response({"items": items, **_envelope(found, page, per_page)}, dumps=compact)


def _own(request: web.Request, otherwise: ApiError | None = None) -> Negotiation:
    """Return the negotiation that the path names. Raises 404 for one that is not the caller's."""
    sandbox = request.app[SANDBOX]
    number = number_of(request.match_info["negotiation_id"])
    found = None if number is None else sandbox.store.negotiations.find(number, sandbox.now())
    if found is None or found.person_id != tokens.person(request).id:
        raise otherwise or errors.not_found()
    return found


async def show(request: web.Request) -> web.Response:
    """``GET /negotiations/{id}``."""
    return web.json_response(_to_json(request.app[SANDBOX], _own(request)), dumps=compact)


async def messages(request: web.Request) -> web.Response:
    """``GET /negotiations/{id}/messages``, the oldest first, and mark them as seen."""
    sandbox, negotiation = request.app[SANDBOX], _own(request)
    page, per_page = _page(request)
    found = negotiation.messages
    if request.query.get("with_text_only") == "true":
        found = tuple(step for step in found if step.text)
    items = [
        negotiation_shape.message(step, negotiation) for step in found[page * per_page :][:per_page]
    ]
    sandbox.store.negotiations.mark_seen(negotiation.number, sandbox.now())
    return web.json_response({"items": items, **_envelope(found, page, per_page)}, dumps=compact)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


async def write(request: web.Request) -> web.Response:
    """``POST /negotiations/{id}/messages``: 201 with the message."""
    sandbox, form = request.app[SANDBOX], await _form(request)
    negotiation, now = _own(request, refuse("topic_not_found")), sandbox.now()
    ordered = _ordered_refusal(request)
    if ordered is not None:
        raise refuse(ordered)
    if now < negotiation.applied_at + CHAT_READY_AFTER_S:
        raise refuse("chat_is_not_ready")
    found = vacancy_routes.existing(sandbox, negotiation.vacancy_id)
    vacancy, archived = found if found else (None, True)
    status = negotiation_shape.messaging_status(negotiation, vacancy, archived)
    if status != "ok":
        raise refuse(status)
    text = form.get("message", "")
    applying.check_text(text)
    store, seed = sandbox.store.negotiations, sandbox.settings.seed
    step = store.add_step(negotiation.number, now, "reply", text)
    reply = employer_behaviour.reply_to(seed, f"{negotiation.id}/{step.message_id}", now)
    if reply is not None and sandbox.employers_act:
        store.add_step(negotiation.number, reply.at, reply.kind, reply.text)
    shown = negotiation_shape.message(step, replace(negotiation, steps=(*negotiation.steps, step)))
    return web.json_response(shown, status=201, dumps=compact)
