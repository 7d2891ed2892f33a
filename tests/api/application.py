"""Core's HTTP API as a WSGI application: the template's routes, the functions' handlers in this
process, and between them the events and responses of the local gateway."""

from __future__ import annotations

import importlib
import json
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from local.gateway.events import Request, Response, to_event, to_response
from local.gateway.routing import Routes
from local.template.reader import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.gateway.routing import Match

LAMBDA_CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
OF_GATEWAY = "x-of-gateway"  # marks an answer of the gateway itself, which the document excepts


class Application:
    """Serves the routes of template.yaml. *answered*: is called with each route's key and status,
    after its function has returned."""

    def __init__(self, answered: Callable[[str, int], None]) -> None:
        template = load()
        self._routes = Routes(template.routes)
        self._functions = {
            f"{route.method} {route.path}": function.code.name
            for function in template.functions.values()
            for route in function.routes
        }
        self._answered = answered

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request, as PEP 3333 describes it."""
        request = _read_request(environ)
        match = self._routes.match(request.method, request.path)
        response = self._respond(request, match)
        status = HTTPStatus(response.status)
        start_response(f"{status.value} {status.phrase}", response.headers)
        return [response.body]

    def _respond(self, request: Request, match: Match | None) -> Response:
        if match is None:
            refusal = Response.of_gateway(404, "Not Found")
            return Response(refusal.status, [*refusal.headers, (OF_GATEWAY, "true")], refusal.body)
        key = match.route.key
        event = json.loads(to_event(request, key, match.parameters))
        function = importlib.import_module(f"functions.{self._functions[key]}.app")
        response = to_response(json.dumps(function.handler(event, LAMBDA_CONTEXT)).encode())
        self._answered(key, response.status)
        return response


def _read_request(environ: dict[str, Any]) -> Request:
    """Return the request, with its target and its body as they were sent."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    if content_type := environ.get("CONTENT_TYPE"):
        headers.append(("content-type", content_type))
    return Request(
        method=environ["REQUEST_METHOD"],
        target=f"{environ['REQUEST_URI'].partition('?')[0]}?{environ['QUERY_STRING']}",
        headers=headers,
        body=environ["wsgi.input"].read(length),
        source_ip="127.0.0.1",
    )
