"""The control routes under ``/_sandbox/``, which hh.ru does not have: state, clock, faults, ..."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import faults
from local.sandbox.eras import eras
from local.sandbox.negotiations import negotiation_control
from local.sandbox.oauth import tokens
from local.sandbox.people import people_control
from local.sandbox.state import MODES, SANDBOX
from local.sandbox.vacancies import handmade, vacancy_shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.state import Sandbox

LONGEST_JUMP_S = 10 * 366 * 86_400
FASTEST_RATE = 100_000
LIMITS = {"calls_per_second", "applications_per_day"}

MANUAL = """The control routes of the hh.ru sandbox. Bodies and responses are JSON.

GET    /_sandbox/health            200 when the sandbox is ready
GET    /_sandbox/state             clock, era, mode, seed, numbers of vacancies, calls by route and
                                   by status, calls refused by the limit, faults
GET    /_sandbox/hits              the last 200 calls
DELETE /_sandbox/hits              delete the calls and set the counters to zero
POST   /_sandbox/clock             {"advance_seconds": 3600} jumps ahead; {"rate": 60}: a minute
                                   passes in a second; both may be given. It never goes back
POST   /_sandbox/era               {"era": name}: which of hh.ru's methods answer; eras below
POST   /_sandbox/mode              {"mode": "open" | "closed"}: the era 2025 or closed
POST   /_sandbox/limit             {"calls_per_second": 10} per address, in real time;
                                   {"applications_per_day": 200} per person, in any 24 hours
POST   /_sandbox/faults            {"kind", "path"?: prefix, "method"?: verb, "times"?: n,
                                   "probability"?: 0..1, "seconds"?: for slow, "value"?: for
                                   refusal, "vacancy_id"?: only calls about it, "status"?, "body"?:
                                   "json" | "html" | "empty", for withdrawn}; kinds below
DELETE /_sandbox/faults            clear all faults
POST   /_sandbox/token             a live application token, also within the five minutes
DELETE /_sandbox/tokens            delete all tokens: those in use become unknown
POST   /_sandbox/vacancies         publish one now: {"title", "employer"?, ...}; fields below
POST   /_sandbox/vacancies/{id}/close   archive it
DELETE /_sandbox/vacancies         delete those published here
GET    /_sandbox/variants          the open generated vacancies that repeat another one of the same
                                   employer: {"id", "original_id", "variant": "repost" |
                                   "other_city" | "other_grade"}
%(people)s%(applications)s
Eras (data/methods.toml says what each method answers):
%(eras)s

Kinds of faults (and the path they apply to unless another is given):
%(kinds)s

Fields of a vacancy (ids as in hh.ru's dictionaries; absent fields are generated):
  %(fields)s
  refusal: the refusal of every application, null or one of the above;
  employer: a name or {"id"?, "name", "trusted"?};
  salary: null or {"from"?, "to"?, "currency"?, "gross"?, "mode"?, "frequency"?}
"""


def _refused(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.text() or "{}")
    except ValueError:
        return None  # which every route refuses


async def manual(_request: web.Request) -> web.Response:
    """``GET /_sandbox/``: the manual in plain text."""
    kinds = "\n".join(
        f"  {kind:<20} {description} [{path}]" for kind, (description, path) in faults.KINDS.items()
    )
    fields = ", ".join(handmade.FIELDS)
    parts = {
        "eras": "\n".join(f"  {era.name:<20} {era.summary}" for era in eras().values()),
        "kinds": kinds,
        "fields": fields,
        "people": people_control.manual(),
        "applications": negotiation_control.manual(),
    }
    return web.Response(text=MANUAL % parts)


async def health(_request: web.Request) -> web.Response:
    """``GET /_sandbox/health``."""
    return web.json_response({"status": "up"})


def _clock(sandbox: Sandbox) -> dict[str, Any]:
    return {"now": sandbox.clock.now().isoformat(), "rate": sandbox.clock.rate}


async def state(request: web.Request) -> web.Response:
    """``GET /_sandbox/state``."""
    sandbox = request.app[SANDBOX]
    world = sandbox.world
    return web.json_response(
        {
            "clock": _clock(sandbox),
            "era": sandbox.era.name,
            "mode": sandbox.mode,
            "auto_login": sandbox.auto_login,
            "seed": world.seed,
            "shape": world.shape,
            "vacancies": {
                "open": len(world.at(sandbox.now())),
                "published_by_hand": len(world.by_hand),
                "closed_by_hand": len(world.closed_by_hand),
            },
            "calls": {
                "total": sum(sandbox.calls.values()),
                "by_route": dict(sandbox.calls),
                "by_status": {str(status): n for status, n in sandbox.statuses.items()},
            },
            "calls_per_second": sandbox.limit.calls_per_second,
            "applications": negotiation_control.summary(sandbox),
            "refused_over_limit": sandbox.limit.refused,
            "too_many_requests": sandbox.statuses[429],
            "faults": [fault.as_dict() for fault in sandbox.faults.set],
        }
    )


async def hits(request: web.Request) -> web.Response:
    """``GET /_sandbox/hits``."""
    return web.json_response({"hits": list(request.app[SANDBOX].recent)})


async def delete_hits(request: web.Request) -> web.Response:
    """``DELETE /_sandbox/hits``."""
    sandbox = request.app[SANDBOX]
    sandbox.recent.clear()
    sandbox.calls.clear()
    sandbox.statuses.clear()
    sandbox.limit.refused = 0
    return web.json_response({})


def _number(body: Any, name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}")
    return float(value)


async def move_clock(request: web.Request) -> web.Response:
    """``POST /_sandbox/clock``."""
    sandbox = request.app[SANDBOX]
    body = await _body(request)
    if not isinstance(body, dict) or not body or set(body) - {"advance_seconds", "rate"}:
        return _refused("give advance_seconds, rate or both")
    try:
        jump = _number(body, "advance_seconds", 0, LONGEST_JUMP_S)
        rate = _number(body, "rate", 0, FASTEST_RATE)
    except ValueError as problem:
        return _refused(str(problem))
    if jump is not None:
        # Before, since what comes due by the jump calls at once, and would wait for them in vain.
        await sandbox.world.prepare(sandbox.now() + jump)
        sandbox.clock.advance(jump)
    if rate is not None:
        sandbox.clock.run_at(rate)
    sandbox.world.at(sandbox.now())
    return web.json_response(_clock(sandbox))


async def set_era(request: web.Request) -> web.Response:
    """``POST /_sandbox/era``."""
    body = await _body(request)
    era = body.get("era") if isinstance(body, dict) else None
    if not isinstance(era, str) or era not in eras():
        return _refused(f"era must be one of: {', '.join(eras())}")
    request.app[SANDBOX].era = eras()[era]
    return web.json_response({"era": era})


async def set_mode(request: web.Request) -> web.Response:
    """``POST /_sandbox/mode``."""
    body = await _body(request)
    mode = body.get("mode") if isinstance(body, dict) else None
    if not isinstance(mode, str) or mode not in MODES:
        return _refused(f"mode must be one of: {', '.join(MODES)}")
    request.app[SANDBOX].era = eras()[MODES[mode]]
    return web.json_response({"mode": mode})


async def set_limit(request: web.Request) -> web.Response:
    """``POST /_sandbox/limit``."""
    body = await _body(request)
    sandbox = request.app[SANDBOX]
    if not isinstance(body, dict) or not body or set(body) - LIMITS:
        return _refused(f"give {' or '.join(sorted(LIMITS))}")
    for name, value in body.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
            return _refused(f"{name} must be a whole number from 1 to 1000000")
    if "calls_per_second" in body:
        sandbox.limit.calls_per_second = body["calls_per_second"]
    if "applications_per_day" in body:
        sandbox.applications_per_day = body["applications_per_day"]
    return web.json_response(body)


async def set_fault(request: web.Request) -> web.Response:
    """``POST /_sandbox/faults``."""
    sandbox = request.app[SANDBOX]
    try:
        fault = faults.read(await _body(request))
    except faults.InvalidFault as problem:
        return web.json_response({"error": str(problem), "kinds": list(faults.KINDS)}, status=400)
    sandbox.faults.set.append(fault)
    return web.json_response({"faults": [fault.as_dict() for fault in sandbox.faults.set]})


async def clear_faults(request: web.Request) -> web.Response:
    """``DELETE /_sandbox/faults``."""
    request.app[SANDBOX].faults.set.clear()
    return web.json_response({"faults": []})


async def token(request: web.Request) -> web.Response:
    """``POST /_sandbox/token``."""
    return web.json_response({"access_token": tokens.live_application_token(request.app[SANDBOX])})


async def delete_tokens(request: web.Request) -> web.Response:
    """``DELETE /_sandbox/tokens``."""
    request.app[SANDBOX].store.delete_tokens()
    return web.json_response({})


async def publish(request: web.Request) -> web.Response:
    """``POST /_sandbox/vacancies``: 201 with the vacancy's detail."""
    sandbox = request.app[SANDBOX]
    body = await _body(request)
    now = sandbox.now()
    vacancy_id = sandbox.world.free_id(now)
    try:
        # Whole seconds, as in searches: a vacancy is never newer than its published_at.
        vacancy = handmade.make(sandbox.settings.seed, vacancy_id, float(int(now)), body)
    except handmade.InvalidVacancy as problem:
        return web.json_response(
            {"error": str(problem), "fields": list(handmade.FIELDS)}, status=400
        )
    sandbox.store.publish(vacancy_id, vacancy.published, body)
    sandbox.world.publish(vacancy)
    return web.json_response(vacancy_shape.detail(vacancy, archived=False), status=201)


async def delete_published(request: web.Request) -> web.Response:
    """``DELETE /_sandbox/vacancies``."""
    sandbox = request.app[SANDBOX]
    sandbox.store.delete_published()
    sandbox.world.delete_published()
    return web.json_response({})


async def list_variants(request: web.Request) -> web.Response:
    """``GET /_sandbox/variants``: the open variants; an original may be closed."""
    sandbox = request.app[SANDBOX]
    listed = [
        {
            "id": vacancy.id,
            "original_id": vacancy.original_id,
            "variant": vacancy.variant,
        }
        for vacancy in sandbox.world.at(sandbox.now()).values()
        if vacancy.variant is not None
    ]
    return web.json_response({"variants": listed})


async def close(request: web.Request) -> web.Response:
    """``POST /_sandbox/vacancies/{id}/close``."""
    sandbox = request.app[SANDBOX]
    vacancy_id = request.match_info["vacancy_id"]
    now = sandbox.now()
    if not sandbox.world.close(vacancy_id, now):
        return _refused("no open vacancy has this id", 404)
    sandbox.store.close_vacancy(vacancy_id, now)
    return web.json_response({"id": vacancy_id, "archived": True})


ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    ("GET", "/_sandbox/", manual),
    ("GET", "/_sandbox", manual),
    ("GET", "/_sandbox/health", health),
    ("GET", "/_sandbox/state", state),
    ("GET", "/_sandbox/hits", hits),
    ("DELETE", "/_sandbox/hits", delete_hits),
    ("POST", "/_sandbox/clock", move_clock),
    ("POST", "/_sandbox/era", set_era),
    ("POST", "/_sandbox/mode", set_mode),
    ("POST", "/_sandbox/limit", set_limit),
    ("POST", "/_sandbox/faults", set_fault),
    ("DELETE", "/_sandbox/faults", clear_faults),
    ("POST", "/_sandbox/token", token),
    ("DELETE", "/_sandbox/tokens", delete_tokens),
    ("GET", "/_sandbox/variants", list_variants),
    ("POST", "/_sandbox/vacancies", publish),
    ("DELETE", "/_sandbox/vacancies", delete_published),
    ("POST", "/_sandbox/vacancies/{vacancy_id}/close", close),
)
