"""``GET /vacancies`` and ``GET /vacancies/{id}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import MultiDict

from local.sandbox import errors
from local.sandbox.dictionaries.reference_routes import compact
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import search, search_params, vacancy_shape

if TYPE_CHECKING:
    from local.sandbox.state import Sandbox
    from local.sandbox.vacancies.vacancy import Vacancy

_ID = re.compile(r"[0-9]{1,18}")


async def find(request: web.Request) -> web.Response:
    """``GET /vacancies``: a page of a search."""
    sandbox = request.app[SANDBOX]
    now = sandbox.now()
    query = MultiDict(request.query)
    for name, since in search_params.IGNORED_SINCE.items():
        if sandbox.era.follows(since):
            query.popall(name, None)
    parameters = search_params.parse(query, now)
    overlap = sum(fault.kind == "overlapping_pages" for fault in request["faults"])
    vacancies = sandbox.world.at(now).values()
    found = search.page_of(parameters, vacancies, request.query.items(), overlap=overlap)
    return web.json_response(found, dumps=compact)


def existing(sandbox: Sandbox, vacancy_id: str) -> tuple[Vacancy, bool] | None:
    """Return the vacancy with that id and whether it is archived, ``None`` if it never existed."""
    return sandbox.world.find(vacancy_id, sandbox.now()) if _ID.fullmatch(vacancy_id) else None


async def show(request: web.Request) -> web.Response:
    """``GET /vacancies/{id}``: a vacancy, also an archived one."""
    found = existing(request.app[SANDBOX], request.match_info["vacancy_id"])
    if found is None:
        raise errors.not_found()
    vacancy, archived = found
    return web.json_response(vacancy_shape.detail(vacancy, archived=archived), dumps=compact)
