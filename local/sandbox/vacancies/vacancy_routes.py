"""``GET /vacancies`` and ``GET /vacancies/{id}``."""

from __future__ import annotations

import re

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import search, search_params, vacancy_shape

_ID = re.compile(r"[0-9]{1,18}")


async def find(request: web.Request) -> web.Response:
    """A page of a search."""
    sandbox = request.app[SANDBOX]
    now = sandbox.now()
    asked = search_params.read(request.query, now)
    found = search.answer(asked, sandbox.world.at(now).values(), request.query.items())
    return web.json_response(found, dumps=compact)


async def show(request: web.Request) -> web.Response:
    """One vacancy, an archived one too."""
    sandbox = request.app[SANDBOX]
    vacancy_id = request.match_info["vacancy_id"]
    found = sandbox.world.find(vacancy_id, sandbox.now()) if _ID.fullmatch(vacancy_id) else None
    if found is None:
        raise errors.not_found()
    vacancy, archived = found
    return web.json_response(vacancy_shape.detail(vacancy, archived=archived), dumps=compact)
