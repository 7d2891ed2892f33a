"""The routes of dictionaries, areas, roles, industries, languages and metro, open to all callers.

The bodies do not change within an era, so each is rendered and hashed once; they carry an
ETag, and ``If-None-Match`` is answered with 304.
"""

from __future__ import annotations

import hashlib
import json
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.eras import Era

MAX_AGE_S = 1_200


def compact(body: Any) -> str:
    """Return JSON without spaces and with unescaped Russian."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=1_000)  # callers choose the part
def _render(path: str, part: str | None, era: Era) -> tuple[bytes, str] | None:
    """Return body and ETag of a dictionary's path, ``None`` if it has no such part."""
    body = _BODIES[path](part)
    if body is None:
        return None
    if path == "/dictionaries":
        since = catalogue.DICTIONARIES_SINCE
        body = {k: v for k, v in body.items() if k not in since or era.follows(since[k])}
    encoded = compact(body).encode()
    return encoded, f'W/"{hashlib.sha256(encoded).hexdigest()[:32]}"'


def _area(part: str | None) -> Any:
    area = geography.areas().get(part or "")
    return None if area is None else area.tree()


def _metro(part: str | None) -> Any:
    return next((city for city in catalogue.metro() if city["id"] == part), None)


_BODIES: dict[str, Callable[[str | None], Any]] = {
    "/dictionaries": lambda _: catalogue.dictionaries(),
    "/areas": lambda _: catalogue.area_trees(),
    "/areas/countries": lambda _: catalogue.countries(),
    "/areas/{id}": _area,
    "/professional_roles": lambda _: catalogue.professional_roles(),
    "/industries": lambda _: catalogue.industries(),
    "/languages": lambda _: catalogue.languages(),
    "/metro": lambda _: catalogue.metro(),
    "/metro/{id}": _metro,
}
PATHS = tuple(_BODIES)


async def dictionary(request: web.Request) -> web.Response:
    """``GET`` any of :data:`PATHS`."""
    resource = request.match_info.route.resource
    canonical = resource.canonical if resource else ""
    found = _render(canonical, request.match_info.get("id"), request.app[SANDBOX].era)
    if found is None:
        raise errors.not_found()
    body, etag = found
    headers = {
        "ETag": etag,
        "Cache-Control": f"max-age={MAX_AGE_S}",
        "Expires": formatdate(request.app[SANDBOX].now() + MAX_AGE_S, usegmt=True),
    }
    known = {tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")}
    if etag in known or "*" in known:
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=body, headers=headers, content_type="application/json", charset="utf-8"
    )
