"""Generated requests to every route: no 5xx, and only answers that docs/openapi.json describes.

Schemathesis generates them from the document, valid and invalid ones. The handlers run in this
process, on a real Postgres, local AWS and hh.ru's sandbox.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api import world
from tests.api.application import OF_GATEWAY
from tests.api.documents import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import APIOperation, BaseSchema, Case

    from tests.api.world import World

LEAST_CASES = 5_000
LEAST_CASES_OF_ROUTE = 10
# They succeed only with a code or token that hh.ru has just issued: the logins of api_world do.
OF_HH = {"GET /auth/hh/callback", "POST /auth/hh/refresh"}
# They succeed only with a one-use ticket or token, or a page's own session; an address of a channel
# has to be one that exists. Their own tests have these.
OF_TICKETS = {
    "GET /handoff",
    "POST /handoff",
    "GET /handoff/{ticket}",
    "POST /handoff/{ticket}",
    "POST /notifications/confirm/{token}",
    "GET /notifications/unsubscribe/{token}",
    "POST /notifications/unsubscribe/{token}",
    "POST /api/notifications/channels",
}
# Fields of its schedule go together, which fields chosen at random do not: tests/integration sends
# schedules that do (test_resume_raises.py).
OF_RULES = {"PUT /api/hh/resumes/{id}/raise-schedule"}
# The Bot API cannot be reached from here, so that the webhook says 503, and Telegram comes again.
UNREACHED = ("POST", "/telegram", 503)
LEAST_CASES_WITHOUT_INPUT = 2  # of a route that takes nothing but its caller
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SEED = int(os.environ.get("API_SEED") or 1)
CASES = int(os.environ.get("API_CASES") or 110)  # valid ones of a route, chosen at random
AT_RANDOM = settings(
    max_examples=CASES,
    phases=[Phase.generate],  # the world changes with each request, so a case cannot be shrunk
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
ROUTES = sorted(
    (
        f"{method.upper()} {path}"
        for path, methods in json.loads(DOCUMENT.read_text())["paths"].items()
        for method in methods
    ),
    # What needs a review that waits first; what ends others last: routes that delete, and of these
    # the one that deletes people.
    key=lambda route: (
        route != "PUT /api/reviews/{id}",
        route == "DELETE /api/accounts/{user_id}",
        route.startswith("DELETE"),
        "cancel" in route,
        route in ("POST /api/reviews/approve", "POST /api/reviews/reject"),
    ),
)


@pytest.mark.parametrize("route", ROUTES)
def test_answers_are_as_documented(
    route: str, api_schema: BaseSchema, api_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    method, path = route.split()
    operation = api_schema[path][method]
    failures: dict[str, str] = {}

    def check(case: Case) -> None:
        failures.update(send(case, api_world))
        capsys.readouterr()  # what Core has logged would fill the memory

    seed(SEED)(AT_RANDOM(given(case=operation.as_strategy())(check)))()
    for case in boundaries(operation):
        check(case)
    assert not failures, "\n\n".join(failures.values())


def test_every_route_has_enough_cases(api_world: World) -> None:
    called = {key: statuses.total() for key, statuses in api_world.answers.items()}
    assert {key for key in ROUTES if called.get(key, 0) < least_cases(key)} == set()
    accepted = {key for key in ROUTES if min(api_world.answers[key], default=500) < 300}
    assert accepted >= {*ROUTES} - OF_HH - OF_TICKETS - OF_RULES, (
        "no request of these was answered with success"
    )
    assert sum(called.values()) >= LEAST_CASES


def least_cases(route: str) -> int:
    """Return the number of cases without which a route has not been tested."""
    method, path = route.split()
    operation = json.loads(DOCUMENT.read_text())["paths"][path][method.lower()]
    takes_input = operation.get("parameters") or operation.get("requestBody")
    return LEAST_CASES_OF_ROUTE if takes_input else LEAST_CASES_WITHOUT_INPUT


def boundaries(operation: APIOperation) -> Iterator[Case]:
    """Yield cases at and beyond the limits of each field, and with fields of another type."""
    config = operation.schema.config.generation_for(operation=operation, phase="coverage")
    cases: Iterator[Case] = operation.schema.iter_coverage_cases(
        operation, generation_modes=MODES, generation_config=config
    )
    return cases


def send(case: Case, api_world: World) -> dict[str, str]:
    """Send a request, and return what is wrong with the answer: a text by its kind."""
    headers = credentials(case, api_world)
    response = case.call(headers=headers)
    if OF_GATEWAY in response.headers:
        return {}
    if (case.method, case.path, response.status_code) == UNREACHED:
        return {}
    if (case.method, case.path, response.status_code) == ("DELETE", "/api/hh/connection", 200):
        for person, token in list(api_world.tokens.items()):
            if token in headers["Authorization"]:
                api_world.log_in(person)
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        return {f"{type(error).__name__} {error}": str(group) for error in group.exceptions}
    return {}


def credentials(case: Case, api_world: World) -> dict[str, str]:
    """Return the headers that authenticate a caller whom the route accepts; each 25th request of a
    route has none."""
    choice = api_world.answers[f"{case.method} {case.path}"].total() + 1
    request = f"{case.path_parameters}{case.query}{case.body}"
    accepted = case.operation.definition.raw.get("security") or [{}]
    if choice % 25 == 0:
        return {}
    scheme = next(iter(accepted[choice % len(accepted)]), None)
    if scheme == "user":
        named = [name for name, id_ in api_world.sessions.items() if str(id_) in request]
        person = named[0] if named and choice % 8 else "anna"
        return {"Authorization": f"Bearer {api_world.tokens[person]}"}
    return {
        "service": world.SERVICE,
        "admin": world.ADMIN,
        "telegram": world.TELEGRAM,
        None: {},
    }[scheme]
