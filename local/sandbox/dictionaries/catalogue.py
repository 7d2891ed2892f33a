"""hh.ru's dictionaries as the sandbox serves them, and look-ups in them.

``data/dictionaries.json`` is the body of ``/dictionaries``; the other files are tables, from which
the bodies of their routes are built.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from typing import Any

from local.sandbox.dictionaries import geography
from local.sandbox.dictionaries.geography import DATA


@cache
def dictionaries() -> dict[str, list[dict[str, Any]]]:
    """Return the body of ``/dictionaries``."""
    body: dict[str, list[dict[str, Any]]] = json.loads(
        (DATA / "dictionaries.json").read_text(encoding="utf-8")
    )
    return body


# The version of hh.ru's documents since which a dictionary exists; the others are older.
DICTIONARIES_SINCE = {
    "inclusiveness_types": "1.41.0",
    "setka_access_type": "1.54.0",  # or earlier
}


@cache
def ids(dictionary: str) -> frozenset[str]:
    """Return the ids of a dictionary. Raises ``KeyError`` if hh.ru has none of that name."""
    return frozenset(entry["id"] for entry in dictionaries()[dictionary])


@cache
def names(dictionary: str) -> dict[str, dict[str, str]]:
    """Return ``{id: {"id", "name"}}`` of a dictionary, as in vacancies."""
    return {
        entry["id"]: {"id": entry["id"], "name": entry["name"]}
        for entry in dictionaries()[dictionary]
    }


@cache
def rates() -> dict[str, float]:
    """Return how much of each currency a rouble is worth, by code."""
    return {entry["code"]: float(entry["rate"]) for entry in dictionaries()["currency"]}


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of ``data/<name>.csv`` (semicolons, a header line)."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


@cache
def roles() -> dict[str, dict[str, str]]:
    """Return ``{id: {"id", "name"}}`` of the professional roles."""
    return {
        row["id"]: {"id": row["id"], "name": row["name"]} for row in table("professional_roles")
    }


@cache
def professional_roles() -> dict[str, Any]:
    """Return the body of ``/professional_roles``. A role may be in several categories."""
    categories: dict[str, dict[str, Any]] = {}
    for row in table("professional_roles"):
        category = categories.setdefault(
            row["category_id"], {"id": row["category_id"], "name": row["category"], "roles": []}
        )
        category["roles"].append(
            {
                "id": row["id"],
                "name": row["name"],
                "accept_incomplete_resumes": row["accept_incomplete_resumes"] == "true",
                "is_default": row["id"] == "40",
                "search_deprecated": False,
                "search_deprecated_datetime": None,
                "select_deprecated": False,
                "select_deprecated_datetime": None,
            }
        )
    return {"categories": list(categories.values())}


@cache
def industries() -> list[dict[str, Any]]:
    """Return the body of ``/industries``: groups with the industries inside them."""
    groups: dict[str, dict[str, Any]] = {}
    for row in table("industries"):
        if row["parent_id"]:
            groups[row["parent_id"]]["industries"].append({"id": row["id"], "name": row["name"]})
        else:
            groups[row["id"]] = {"id": row["id"], "name": row["name"], "industries": []}
    return list(groups.values())


@cache
def industry_ids() -> frozenset[str]:
    """Return the ids of groups and of industries: searches accept both."""
    return frozenset(row["id"] for row in table("industries"))


@cache
def languages() -> list[dict[str, str]]:
    """Return the body of ``/languages``."""
    return table("languages")


@cache
def area_trees() -> list[dict[str, Any]]:
    """Return the body of ``/areas``."""
    return [area.tree() for area in geography.areas().values() if area.parent_id is None]


@cache
def countries() -> list[dict[str, str]]:
    """Return the body of ``/areas/countries``."""
    return [
        {
            "id": area.id,
            "name": area.name,
            "url": f"https://api.hh.ru/areas/{area.id}",
        }
        for area in geography.areas().values()
        if area.parent_id is None and area.id != "1001"
    ]


@cache
def metro() -> list[dict[str, Any]]:
    """Return the body of ``/metro``: cities with their lines and stations."""
    cities: dict[str, dict[str, Any]] = {}
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for station in geography.stations().values():
        city = cities.setdefault(
            station.city_id,
            {
                "id": station.city_id,
                "name": geography.areas()[station.city_id].name,
                "url": f"https://api.hh.ru/metro/{station.city_id}",
                "lines": [],
            },
        )
        key = (station.city_id, station.line_id)
        if key not in lines:
            lines[key] = {
                "id": station.line_id,
                "hex_color": station.hex_color,
                "name": station.line_name,
                "stations": [],
            }
            city["lines"].append(lines[key])
        in_line = lines[key]["stations"]
        in_line.append(
            {
                "id": station.id,
                "name": station.name,
                "lat": station.lat,
                "lng": station.lng,
                "order": len(in_line),
            }
        )
    return list(cities.values())
