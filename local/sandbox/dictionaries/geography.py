"""hh.ru's tree of areas and its metro stations (a part of both).

Ids are hh.ru's own, so that a client's settings mean the same against the sandbox and the real
server. Coordinates are degrees.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
EARTH_RADIUS_M = 6_371_000


@dataclass(slots=True)
class Area:
    """A country, region or city. *weight*: the relative number of its vacancies."""

    id: str
    parent_id: str | None
    name: str
    lat: float | None
    lng: float | None
    weight: int
    children: list[Area] = field(default_factory=list, repr=False)

    def tree(self) -> dict[str, Any]:
        """Return the shape of ``/areas``: ``{id, parent_id, name, areas: [...]}``."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "name": self.name,
            "areas": [child.tree() for child in self.children],
        }


@dataclass(frozen=True, slots=True)
class Station:
    """A metro station."""

    id: str
    name: str
    line_id: str
    line_name: str
    hex_color: str
    city_id: str
    lat: float
    lng: float


def distance_m(lat1: float, lng1: float, lat2: float, lng2: float) -> float:
    """Return the metres between two points on the globe (haversine)."""
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    half = math.sin((phi2 - phi1) / 2) ** 2
    half += math.cos(phi1) * math.cos(phi2) * math.sin(math.radians(lng2 - lng1) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(half))


@cache
def areas() -> dict[str, Area]:
    """Return all areas by id, with their children."""
    found: dict[str, Area] = {}
    with (DATA / "areas.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["id"]] = Area(
                id=row["id"],
                parent_id=row["parent_id"] or None,
                name=row["name"],
                lat=float(row["lat"]) if row["lat"] else None,
                lng=float(row["lng"]) if row["lng"] else None,
                weight=int(row["weight"]),
            )
    for area in found.values():
        if area.parent_id:
            found[area.parent_id].children.append(area)
    return found


@cache
def within(area_id: str) -> frozenset[str]:
    """Return the ids of the area and of all areas inside it."""
    area = areas()[area_id]
    return frozenset({area.id}).union(*(within(child.id) for child in area.children))


@cache
def country(area_id: str) -> str:
    """Return the id of the country (the root of the tree) of the area."""
    area = areas()[area_id]
    return area.id if area.parent_id is None else country(area.parent_id)


@cache
def stations() -> dict[str, Station]:
    """Return all metro stations by id."""
    with (DATA / "metro.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["station_id"]: Station(
                id=row["station_id"],
                name=row["name"],
                line_id=row["line_id"],
                line_name=row["line_name"],
                hex_color=row["hex_color"],
                city_id=row["city_id"],
                lat=float(row["lat"]),
                lng=float(row["lng"]),
            )
            for row in csv.DictReader(file)
        }


@cache
def stations_of(city_id: str) -> tuple[Station, ...]:
    """Return the stations of a city, none for a city without a metro."""
    return tuple(station for station in stations().values() if station.city_id == city_id)


@cache
def near(station_id: str) -> tuple[Station, ...]:
    """Return a station and up to three others within two kilometres, the nearest first."""
    centre = stations()[station_id]

    def metres(station: Station) -> float:
        return distance_m(centre.lat, centre.lng, station.lat, station.lng)

    around = sorted(stations_of(centre.city_id), key=metres)
    return tuple(station for station in around[:4] if metres(station) < 2_000)
