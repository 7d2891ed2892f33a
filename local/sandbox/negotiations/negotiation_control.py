"""The control routes about applications: the log, applying by hand, and employers' actions.

Tests compare with the log of attempts: it holds every ``POST /negotiations`` that reached hh.ru, in
order, repeated calls included.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox.negotiations import applying, employer_pages, negotiation_shape
from local.sandbox.negotiations.employer_behaviour import EmployerAction
from local.sandbox.negotiations.negotiation import FIRST_ID, FROM_EMPLOYER, STATES, number_of
from local.sandbox.negotiations.refusals import REFUSALS
from local.sandbox.people import people, people_control
from local.sandbox.seeded_random import SeededRandom
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from local.sandbox.negotiations.negotiation_store import Attempt
    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox
    from local.sandbox.vacancies.vacancy import Vacancy

ACTS = ("viewed", "message", *STATES)
INVITATIONS = {"invitation", "interview", "hired"}  # whatever followed them
MOST_AT_ONCE = 1_000
FILTERS = ("person", "vacancy_id", "employer_id", "outcome", "by")

MANUAL = """
Applications ({id} is a negotiation's; the limit is POST /_sandbox/limit's applications_per_day):
GET    /_sandbox/applications   every attempt to apply in order of arrival, repeated ones included:
                                person, account, vacancy, resume, letter, time, by (api or hand),
                                outcome (accepted, redirected, or the refusal's value), and the
                                current state; whether an employer ever viewed, answered, invited.
                                Filters: ?person=, vacancy_id=, employer_id=,
                                outcome=, by=
GET    /_sandbox/employers      a page for a browser: the employers with applications;
GET    /_sandbox/employers/{employer_id}   the applications of one employer
POST   /_sandbox/people/{person}/applications   apply on the site, by hand: {"vacancy_id"?,
                                "resume_id"?, "message"?, "count"?}; without vacancy_id, to any open
                                vacancies. Counts towards the limit. Stops at a refusal, returns it
GET    /_sandbox/applications/{id}/messages   the conversation, the oldest first, and whether the
                                applicant may write (messaging_status); nothing is marked as read
POST   /_sandbox/applications/{id}/act   make the employer act now: {"act", "text"?}; act is one of
                                %(acts)s
POST   /_sandbox/employers      {"act": false}: employers do nothing of their own accord with
                                applications from now on (true: they view, write, invite, refuse)
Refusals ("value" of the fault, "refusal" of a vacancy):
%(refusals)s
"""


def manual() -> str:
    """Return this part of ``GET /_sandbox/``."""
    lines: list[str] = []
    for name in REFUSALS:
        if not lines or len(lines[-1]) + len(name) > 96:
            lines.append(" ")
        lines[-1] += f" {name}"
    return MANUAL % {"acts": ", ".join(ACTS), "refusals": "\n".join(lines)}


def summary(sandbox: Sandbox) -> dict[str, Any]:
    """Return the part of ``/_sandbox/state`` about applications."""
    outcomes = [attempt.outcome for _, attempt in sandbox.store.negotiations.attempts()]
    return {
        "attempts": len(outcomes),
        "accepted": outcomes.count("accepted"),
        "per_day": sandbox.applications_per_day,
        "employers_act": sandbox.employers_act,
    }


# ── the log ─────────────────────────────────────────────────────────────────────────────────────


def _shown(sandbox: Sandbox, number: int, attempt: Attempt, now: float) -> dict[str, Any]:
    person = people.all_people().get(attempt.person_id or "")
    found = attempt.negotiation and sandbox.store.negotiations.find(attempt.negotiation, now)
    return {
        "number": number,
        "at": datetime.fromtimestamp(attempt.at, UTC).isoformat(),
        "by": attempt.by,
        "account": attempt.person_id,
        "person": person.key if person else None,
        "applicant": person.name if person else None,
        "vacancy_id": attempt.vacancy_id,
        "vacancy": attempt.vacancy_name,
        "employer_id": attempt.employer_id,
        "employer": attempt.employer_name,
        "resume_id": attempt.resume_id,
        "resume": attempt.resume_title,
        "letter": attempt.letter,
        "status": attempt.status,
        "outcome": attempt.outcome,
        "negotiation_id": (
            str(FIRST_ID + attempt.negotiation) if attempt.negotiation is not None else None
        ),
        "state": found.state if found else None,
        "viewed": found.viewed_at is not None if found else None,
        "answered": any(s.kind in FROM_EMPLOYER for s in found.steps) if found else None,
        "invited": any(s.kind in INVITATIONS for s in found.steps) if found else None,
    }


def applications(sandbox: Sandbox, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of the log whose fields equal those of *wanted* (:data:`FILTERS`)."""
    now = sandbox.now()
    found = []
    for number, attempt in sandbox.store.negotiations.attempts():
        person = people.all_people().get(attempt.person_id or "")
        values = {
            "person": (person.key, person.id) if person else (),
            "vacancy_id": (attempt.vacancy_id,),
            "employer_id": (attempt.employer_id,),
            "outcome": (attempt.outcome,),
            "by": (attempt.by,),
        }
        if all(value in values[name] for name, value in wanted.items()):
            found.append(_shown(sandbox, number, attempt, now))
    return found


def _refused(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def log(request: web.Request) -> web.Response:
    """``GET /_sandbox/applications``."""
    unknown = set(request.query) - set(FILTERS)
    if unknown:
        return _refused(f"unknown filter {min(unknown)!r}; one of: {', '.join(FILTERS)}")
    found = applications(request.app[SANDBOX], dict(request.query))
    return web.json_response({"applications": found})


async def employers(request: web.Request) -> web.Response:
    """``GET /_sandbox/employers``: the page of all employers with applications."""
    return employer_pages.employer_list(applications(request.app[SANDBOX], {"outcome": "accepted"}))


async def employer(request: web.Request) -> web.Response:
    """``GET /_sandbox/employers/{id}``: the page of one employer, empty without applications."""
    id_ = request.match_info["employer_id"]
    wanted = {"outcome": "accepted", "employer_id": id_}
    return employer_pages.employer_applications(id_, applications(request.app[SANDBOX], wanted))


# ── steering ────────────────────────────────────────────────────────────────────────────────────


async def _body(request: web.Request, *known: str) -> dict[str, Any] | None:
    """Return the JSON object of the call, ``None`` for anything else and for unknown fields."""
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) and not set(body) - set(known) else None


async def set_employers(request: web.Request) -> web.Response:
    """``POST /_sandbox/employers``."""
    body = await _body(request, "act")
    if body is None or not isinstance(body.get("act"), bool):
        return _refused("act must be true or false")
    request.app[SANDBOX].employers_act = body["act"]
    return web.json_response({"act": body["act"]})


async def act(request: web.Request) -> web.Response:
    """``POST /_sandbox/applications/{id}/act``."""
    sandbox, body = request.app[SANDBOX], await _body(request, "act", "text")
    if body is None or body.get("act") not in ACTS:
        return _refused(f"act must be one of: {', '.join(ACTS)}")
    text = body.get("text")
    if not (text is None or isinstance(text, str)) or (body["act"] == "message" and not text):
        return _refused("text must be a string, and a message needs one")
    number, now = number_of(request.match_info["negotiation_id"]), sandbox.now()
    store = sandbox.store.negotiations
    if number is None or store.find(number, now) is None:
        return _refused("no application has this id", 404)
    store.act(number, EmployerAction(now, body["act"], text))
    found = store.find(number, now)
    return web.json_response({"id": found and found.id, "state": found and found.state})


async def conversation(request: web.Request) -> web.Response:
    """``GET /_sandbox/applications/{id}/messages``."""
    sandbox = request.app[SANDBOX]
    number, now = number_of(request.match_info["negotiation_id"]), sandbox.now()
    found = None if number is None else sandbox.store.negotiations.find(number, now)
    if found is None:
        return _refused("no application has this id", 404)
    existing = vacancy_routes.existing(sandbox, found.vacancy_id)
    vacancy, archived = existing if existing else (None, True)
    return web.json_response(
        {
            "messaging_status": negotiation_shape.messaging_status(found, vacancy, archived),
            "messages": [negotiation_shape.message(step, found) for step in found.messages],
        }
    )


def _vacancies(sandbox: Sandbox, person: Person) -> Iterable[Vacancy]:
    """Return open vacancies that the person can apply to without a letter or a test."""
    now = sandbox.now()
    negotiations = sandbox.store.negotiations.of_person(person.id, now)
    taken = {negotiation.vacancy_id for negotiation in negotiations}
    plain = [
        vacancy
        for vacancy in sandbox.world.at(now).values()
        if vacancy.kind == "open"
        and not vacancy.has_test
        and not vacancy.response_letter_required
        and vacancy.refusal is None
        and vacancy.id not in taken
    ]
    return iter(
        SeededRandom(sandbox.settings.seed, person.id, len(taken)).some(plain, MOST_AT_ONCE)
    )


async def apply_by_hand(request: web.Request) -> web.Response:
    """``POST /_sandbox/people/{person}/applications``: 201 with the ids of the negotiations."""
    sandbox, person = request.app[SANDBOX], people_control.named(request)
    body = await _body(request, "vacancy_id", "resume_id", "message", "count")
    if body is None:
        return _refused("give vacancy_id, resume_id, message, count or none of them")
    count = body.pop("count", 1)
    if any(not isinstance(value, str) for value in body.values()):
        return _refused("vacancy_id, resume_id and message must be strings")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_AT_ONCE:
        return _refused(f"count must be a whole number from 1 to {MOST_AT_ONCE}")
    if "vacancy_id" in body and count > 1:
        return _refused("one vacancy is applied to once: give vacancy_id or count")
    resumes = sandbox.store.resumes.of_person(person.id)
    published = next((resume.id for resume in resumes if resume.status == "published"), None)
    vacancies = _vacancies(sandbox, person)
    made: list[str] = []
    refusal: str | None = None
    while len(made) < count and refusal is None:
        picked = body.get("vacancy_id") or next((vacancy.id for vacancy in vacancies), None)
        if picked is None:
            return _refused("there is no vacancy left to apply to", 409)
        apply_request = applying.ApplyRequest(
            vacancy_id=picked,
            resume_id=body.get("resume_id", published),
            letter=body.get("message"),
            by="hand",
            visible_abroad=True,
        )
        answer = applying.apply_on_site(sandbox, person, apply_request)
        if isinstance(answer, int):
            made.append(str(FIRST_ID + answer))
        else:
            refusal = answer
    status = 201 if refusal is None else 409
    return web.json_response({"negotiation_ids": made, "refused": refusal}, status=status)


ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    ("GET", "/_sandbox/applications", log),
    ("GET", "/_sandbox/applications/{negotiation_id}/messages", conversation),
    ("POST", "/_sandbox/applications/{negotiation_id}/act", act),
    ("POST", "/_sandbox/people/{person}/applications", apply_by_hand),
    ("GET", "/_sandbox/employers", employers),
    ("POST", "/_sandbox/employers", set_employers),
    ("GET", "/_sandbox/employers/{employer_id}", employer),
)
