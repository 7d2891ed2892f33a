"""Which route of an HTTP API answers a request.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
A full match wins over one with a greedy ``{proxy+}``, that over ``$default``; of two, the one whose
segments are literal earlier; of two equal paths, a named method wins over ``ANY``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.template.resources import Route


@dataclass(frozen=True)
class Match:
    """A route and what its path variables stand for."""

    route: Route
    parameters: dict[str, str]


class Routes:
    """The routes of an API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=_rank)

    def match(self, method: str, path: str) -> Match | None:
        """The route for *method* and *path* (decoded), if there is one."""
        for route in self._routes:
            if route.method in ("ANY", method):
                parameters = _parameters(route, path)
                if parameters is not None:
                    return Match(route, parameters)
        return None


def _rank(route: Route) -> tuple[bool, bool, list[int], bool]:
    segments = route.path.split("/")
    kinds = [2 if s.endswith("+}") else 1 if s.startswith("{") else 0 for s in segments]
    return route.path == "$default", 2 in kinds, kinds, route.method == "ANY"


def _parameters(route: Route, path: str) -> dict[str, str] | None:
    if route.path == "$default":
        return {}
    wanted, found = route.path.split("/"), path.split("/")
    parameters: dict[str, str] = {}
    for index, segment in enumerate(wanted):
        rest = found[index:]
        if segment.endswith("+}"):
            greedy = "/".join(rest)
            return {**parameters, segment[1:-2]: greedy} if greedy else None
        if not rest:
            return None
        if segment.startswith("{") and rest[0]:
            parameters[segment[1:-1]] = rest[0]
        elif segment != rest[0]:
            return None
    return parameters if len(found) == len(wanted) else None
