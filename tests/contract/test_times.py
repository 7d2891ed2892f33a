"""Every time in a response has a time zone: the models accept no naive one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import AwareDatetime, BaseModel

from docs import generate
from ullgetthejob.platform.http import Response

ROUTES = {key: route for api in generate.apis().values() for key, route in api.routes.items()}


def response_models(route: Any) -> set[type[BaseModel]]:
    """Return the models of a route's responses, and all models inside of them."""
    returned = get_type_hints(route.call)["return"]
    found: set[type[BaseModel]] = set()
    unvisited = list(get_args(returned)) if get_origin(returned) is Response else [returned]
    while unvisited:
        kind = unvisited.pop()
        unvisited += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found.add(kind)
            unvisited += get_type_hints(kind, include_extras=True).values()
    return found


def times(kind: Any) -> list[Any]:
    """Return the types of moments inside a field's type, with their annotations."""
    if kind is datetime or kind is AwareDatetime:
        return [kind]
    if get_origin(kind) is not None or get_args(kind):
        parts = get_args(kind)
        if getattr(kind, "__metadata__", None) and parts[0] is datetime:
            return [kind]
        return [moment for part in parts for moment in times(part)]
    return []


@pytest.mark.parametrize("key", sorted(ROUTES))
def test_times_in_responses_have_a_zone(key):
    for model in response_models(ROUTES[key]):
        for name, kind in get_type_hints(model, include_extras=True).items():
            for moment in times(kind):
                assert moment is AwareDatetime, f"{model.__name__}.{name}"


def test_walk_finds_the_existing_times():
    found = {
        f"{model.__name__}.{name}"
        for route in ROUTES.values()
        for model in response_models(route)
        for name, kind in get_type_hints(model, include_extras=True).items()
        if times(kind)
    }
    known = {"ItemAnswer.next_run_at", "ApplicationAnswer.submitted_at", "HistoryStep.at"}
    assert known <= found
