"""Route selection of an HTTP API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
Of two routes that match, the one whose segments are literal earlier is chosen. ``{proxy+}``,
``$default`` and ``ANY`` are not used by the template and not supported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.template.resources import Route


@dataclass(frozen=True)
class Match:
    """A route and the values of its path variables."""

    route: Route
    parameters: dict[str, str]


class Routes:
    """The routes of an API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        ranked = sorted(routes, key=_rank)
        self._literal = {
            (route.method, route.path): Match(route, {})
            for route in ranked
            if not any(_rank(route))
        }
        self._variable = [route for route in ranked if any(_rank(route))]

    def match(self, method: str, path: str) -> Match | None:
        """Return the route for *method* and *path* (decoded), or ``None``."""
        if literal := self._literal.get((method, path)):
            return literal
        for route in self._variable:
            if route.method == method:
                parameters = _parameters(route, path)
                if parameters is not None:
                    return Match(route, parameters)
        return None


def _rank(route: Route) -> list[bool]:
    return [segment.startswith("{") for segment in route.path.split("/")]


def _parameters(route: Route, path: str) -> dict[str, str] | None:
    """Return the path variables if *path* matches the route."""
    expected, actual = route.path.split("/"), path.split("/")
    if len(expected) != len(actual):
        return None
    parameters: dict[str, str] = {}
    for segment, value in zip(expected, actual, strict=True):
        if segment.startswith("{") and value:
            parameters[segment[1:-1]] = value
        elif segment != value:
            return None
    return parameters
