"""Dictionaries, areas, roles, industries, languages, metro and the suggests.

Open to everybody. Bodies do not change while the sandbox runs, so each is made and hashed once;
they carry an ETag, and ``If-None-Match`` is answered with 304.
"""

from __future__ import annotations

import hashlib
import json
from email.utils import formatdate
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox import errors
from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.state import SANDBOX
from local.sandbox.vacancies import employers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_AGE_S = 1_200
SUGGESTIONS = 10
SHORTEST_TEXT, LONGEST_TEXT = 2, 3_000


def compact(body: Any) -> str:
    """JSON without spaces and with Russian as it is."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=1_000)  # callers choose the part
def _rendered(path: str, part: str | None) -> tuple[bytes, str] | None:
    """Body and ETag of a dictionary's path; ``None`` if there is no such part of it."""
    body = _BODIES[path](part)
    if body is None:
        return None
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
    """Any of :data:`PATHS`."""
    resource = request.match_info.route.resource
    found = _rendered(resource.canonical if resource else "", request.match_info.get("id"))
    if found is None:
        raise errors.not_found()
    body, etag = found
    headers = {
        "ETag": etag,
        "Cache-Control": f"max-age={MAX_AGE_S}",
        "Expires": formatdate(request.app[SANDBOX].now() + MAX_AGE_S, usegmt=True),
    }
    known = {one.strip() for one in request.headers.get("If-None-Match", "").split(",")}
    if etag in known or "*" in known:
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=body, headers=headers, content_type="application/json", charset="utf-8"
    )


# ── suggests ─────────────────────────────────────────────────────────────────────────────────────


def _matching(entries: Iterable[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Entries of which a word begins with *text*, those that begin with it themselves first."""
    text = text.lower()
    found = [
        entry for entry in entries if any(word.startswith(text) for word in _starts(entry["text"]))
    ]
    return sorted(found, key=lambda entry: not entry["text"].lower().startswith(text))[:SUGGESTIONS]


@cache
def _starts(text: str) -> tuple[str, ...]:
    words = text.lower().split()
    return tuple(" ".join(words[number:]).lstrip('(«"') for number in range(len(words)))


@cache
def _numbered(texts: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    return tuple({"id": str(number + 1), "text": text} for number, text in enumerate(texts))


@cache
def _skills() -> tuple[str, ...]:
    professions = employers.vocabulary()["profession"]
    return tuple(dict.fromkeys(skill for one in professions for skill in one["skills"]))


@cache
def _titles() -> tuple[str, ...]:
    titles: dict[str, None] = {}
    for profession in employers.vocabulary()["profession"]:
        for title in profession["titles"]:
            titles |= {title.replace("{x}", stack): None for stack in profession["stack"]}
    return tuple(titles)


def _areas(_seed: int) -> Iterable[dict[str, Any]]:
    for area in geography.areas().values():
        yield {
            "id": area.id,
            "text": area.name,
            "url": f"https://api.hh.ru/areas/{area.id}",
        }


def _leaves(seed: int) -> Iterable[dict[str, Any]]:
    return (entry for entry in _areas(seed) if not geography.areas()[entry["id"]].children)


def _positions(_seed: int) -> Iterable[dict[str, Any]]:
    for profession in employers.vocabulary()["profession"]:
        role = catalogue.roles()[profession["role"]]
        for title in profession["titles"]:
            for stack in profession["stack"]:
                yield {
                    "id": profession["role"],
                    "text": title.replace("{x}", stack),
                    "professional_roles": [{**role, "accept_incomplete_resumes": False}],
                }


def _companies(seed: int) -> Iterable[dict[str, Any]]:
    for number in range(employers.COUNT):
        employer = employers.employer(seed, number)
        yield {
            "id": employer.id,
            "text": employer.name,
            "url": f"https://api.hh.ru/employers/{employer.id}",
            "logo_urls": None,
        }


def _keywords(_seed: int) -> Iterable[dict[str, Any]]:
    return ({"text": text} for text in (*_titles(), *_skills()))


SUGGESTS: dict[str, Callable[[int], Iterable[dict[str, Any]]]] = {
    "areas": _areas,
    "area_leaves": _leaves,
    "skill_set": lambda _: _numbered(_skills()),
    "positions": _positions,
    "professional_roles": lambda _: (
        {"id": role["id"], "text": role["name"], "accept_incomplete_resumes": False}
        for role in catalogue.roles().values()
    ),
    "companies": _companies,
    "vacancy_search_keyword": _keywords,
    "vacancy_positions": lambda _: _numbered(_titles()),
}


async def suggest(request: web.Request) -> web.Response:
    """``/suggests/{what}?text=``: up to ten entries."""
    source = SUGGESTS.get(request.match_info["what"])
    if source is None:
        raise errors.not_found()
    text = request.query.get("text", "").strip()
    if not SHORTEST_TEXT <= len(text) <= LONGEST_TEXT:
        raise errors.bad_argument("text")
    seed = request.app[SANDBOX].settings.seed
    return web.json_response({"items": _matching(source(seed), text)}, dumps=compact)
