"""hh.ru's dictionaries: the codes and ids that a search may use.

They change at any time (hh.ru: docs/areas). Each is stored in Postgres for all functions with its
ETag, used for 20 minutes (hh.ru's ``max-age=1200``) and then revalidated. Only the map from code to
name is stored. Large ones (areas: ~10,000 ids) are queried in SQL, never loaded.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh.errors import HHError
from ullgetthejob.platform.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform.postgres import Connection

MAX_AGE = timedelta(seconds=1200)
RETRY_AFTER_FAILURE = timedelta(seconds=60)

# Parameter → the dictionary of /dictionaries that holds its codes.
CODES = {
    "search_field": "vacancy_search_fields",
    "experience": "experience",
    "employment": "employment",
    "employment_form": "vacancy_search_employment_form",
    "schedule": "schedule",
    "work_format": "work_format",
    "work_schedule_by_days": "work_schedule_by_days",
    "working_hours": "working_hours",
    "currency": "currency",
    "salary_mode": "salary_range_mode",
    "salary_frequency": "salary_range_frequency",
    "driver_license_types": "driver_license_types",
    "label": "vacancy_label",
    "order_by": "vacancy_search_order",
}
# Parameter → the path of the tree that holds its ids.
TREES = {
    "area": "/areas",
    "metro": "/metro",
    "professional_role": "/professional_roles",
    "industry": "/industries",
}
# hh.ru lists these working-time filters in three dictionaries and accepts them in one parameter.
PART_TIME = ("working_days", "working_time_intervals", "working_time_modes")

SELECT_FRESHNESS = (
    "SELECT etag, expires_at > %(now)s AS fresh FROM hh_dictionaries WHERE name = %(name)s"
)
SELECT_UNKNOWN_CODES = """
    SELECT code FROM unnest(%(codes)s::text[]) AS code
    WHERE NOT EXISTS (
        SELECT FROM hh_dictionaries WHERE name = %(name)s AND entries -> %(inside)s ? code
    )
"""
SELECT_KNOWN_CODES = """
    SELECT jsonb_object_keys(entries -> %(inside)s) AS code FROM hh_dictionaries
    WHERE name = %(name)s ORDER BY code LIMIT 25
"""
SELECT_NAMES = """
    SELECT dictionary.entries -> %(inside)s ->> code AS name
    FROM unnest(%(codes)s::text[]) WITH ORDINALITY AS requested (code, place)
    JOIN hh_dictionaries AS dictionary ON dictionary.name = %(name)s
    WHERE dictionary.entries -> %(inside)s ->> code <> '' ORDER BY place
"""
UPSERT_DICTIONARY = """
    INSERT INTO hh_dictionaries (name, etag, entries, fetched_at, expires_at)
    VALUES (%(name)s, %(etag)s, %(entries)s::jsonb, %(now)s, %(expires_at)s)
    ON CONFLICT (name) DO UPDATE SET
        etag = excluded.etag, entries = excluded.entries,
        fetched_at = excluded.fetched_at, expires_at = excluded.expires_at
"""
UPDATE_DICTIONARY_TTL = (
    "UPDATE hh_dictionaries SET expires_at = %(expires_at)s WHERE name = %(name)s"
)


def check(
    parameters: SearchParameters,
    *,
    client: HHClient,
    connection: Connection,
    now: datetime,
) -> None:
    """Raise :class:`Invalid`, naming each field whose code or id hh.ru does not have.

    Fetches missing and stale dictionaries. If hh.ru does not respond, an older copy is used;
    without one the :class:`HHError` is raised.
    """
    wrong: list[tuple[str, str]] = []
    used = list(_codes(parameters))
    for name in dict.fromkeys(_source_of(parameter)[0] for parameter, _ in used):
        _refresh(name, client=client, connection=connection, now=now)
    for parameter, codes in used:
        name, inside = _source_of(parameter)
        source = {"name": name, "inside": inside}
        unknown = connection.execute(
            SELECT_UNKNOWN_CODES, {**source, "codes": list(codes)}
        ).fetchall()
        if unknown:
            message = f"hh.ru knows no {unknown[0]['code']!r}"
            if name == "/dictionaries":
                known = [row["code"] for row in connection.execute(SELECT_KNOWN_CODES, source)]
                message += f"; it knows {', '.join(known)}"
            wrong.append((parameter, message))
    if wrong:
        raise Invalid.fields(wrong)


def names(parameters: SearchParameters, *, connection: Connection) -> list[str]:
    """Return hh.ru's names of the codes and ids of a search, as far as they are stored here."""
    found: list[str] = []
    for parameter, codes in _codes(parameters):
        name, inside = _source_of(parameter)
        values = {"name": name, "inside": inside, "codes": list(codes)}
        found += [row["name"] for row in connection.execute(SELECT_NAMES, values)]
    return found


def _codes(parameters: SearchParameters) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield each parameter that a dictionary restricts, with its values."""
    for name in (*CODES, "part_time", *TREES):
        value = getattr(parameters, name)
        if value is not None:
            yield name, value if isinstance(value, tuple) else (value,)


def _source_of(parameter: str) -> tuple[str, str]:
    """Return the dictionary of *parameter* and the key of its entries inside of it."""
    if parameter in TREES:
        return TREES[parameter], "ids"
    return "/dictionaries", CODES.get(parameter, parameter)


def _refresh(
    name: str,
    *,
    client: HHClient,
    connection: Connection,
    now: datetime,
) -> None:
    stored = connection.execute(SELECT_FRESHNESS, {"name": name, "now": now}).fetchone()
    if stored and stored["fresh"]:
        return
    values: dict[str, Any] = {"name": name, "expires_at": now + MAX_AGE}
    try:
        etag, content = client.dictionary(name, etag=stored["etag"] if stored else None)
    except HHError:
        if stored is None:
            raise
        connection.execute(
            UPDATE_DICTIONARY_TTL, {**values, "expires_at": now + RETRY_AFTER_FAILURE}
        )
        return
    if content is None:
        connection.execute(UPDATE_DICTIONARY_TTL, values)
    else:
        entries = json.dumps(_READERS[name](content), ensure_ascii=False)
        connection.execute(
            UPSERT_DICTIONARY, {**values, "etag": etag, "entries": entries, "now": now}
        )


def _dictionaries(content: Any) -> dict[str, dict[str, str]]:
    named = {
        name: {
            entry.get("id") or entry["code"]: entry.get("name", "")
            for entry in entries
            if "id" in entry or "code" in entry
        }
        for name, entries in content.items()
    }
    # An answer of before 1.54.0 has no dictionary of its own for searches.
    named.setdefault("vacancy_search_employment_form", named.get("employment_form", {}))
    named["part_time"] = {
        code: text for group in PART_TIME for code, text in named.get(group, {}).items()
    }
    return named


def _areas(content: Any) -> dict[str, dict[str, str]]:
    """Return the ids of all levels of the tree: countries, regions, cities."""
    ids: dict[str, str] = {}
    unvisited = list(content)
    while unvisited:
        area = unvisited.pop()
        ids[area["id"]] = area["name"]
        unvisited.extend(area.get("areas") or ())
    return {"ids": ids}


def _metro(content: Any) -> dict[str, dict[str, str]]:
    """Return the ids of lines and stations, without those of cities, which mean something else."""
    lines = [line for city in content for line in city["lines"]]
    stations = [station for line in lines for station in line["stations"]]
    return {"ids": {entry["id"]: entry["name"] for entry in [*lines, *stations]}}


def _professional_roles(content: Any) -> dict[str, dict[str, str]]:
    """Return the ids of roles, without categories: an id of both may be the same."""
    roles = [role for category in content["categories"] for role in category["roles"]]
    return {"ids": {role["id"]: role["name"] for role in roles}}


def _industries(content: Any) -> dict[str, dict[str, str]]:
    """Return the ids of industries and their parts."""
    parts = [part for industry in content for part in industry["industries"]]
    return {"ids": {entry["id"]: entry["name"] for entry in [*content, *parts]}}


_READERS: dict[str, Callable[[Any], dict[str, dict[str, str]]]] = {
    "/dictionaries": _dictionaries,
    "/areas": _areas,
    "/metro": _metro,
    "/professional_roles": _professional_roles,
    "/industries": _industries,
}
