"""The edge: an API Gateway event in, one call of a route, one answer out.

API Gateway has matched the route already (``routeKey``), so a function only looks its own up. A
route is a plain function with annotated parameters::

    api = Api()

    @api.post("/api/jobs/search", who=SERVICE)
    def search_jobs(body: SearchRequest) -> SearchAnswer: ...

    handler = api.handler

A parameter called ``body`` is the JSON body validated by its pydantic model; any other is a path
parameter (``str``). What the function returns is a pydantic model, or an :class:`Answer` for
another status than 200. Errors of :mod:`ullgetthejob.platform.errors` become statuses by the table
below, anything else a bare 500. The OpenAPI document is generated from the same annotations.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ValidationError

from ullgetthejob.platform import authentication
from ullgetthejob.platform.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    Unavailable,
)
from ullgetthejob.platform.telemetry import count, flush, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable

Body = TypeVar("Body", bound=BaseModel)

STATUS: dict[type[AppError], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PayloadTooLarge: 413,
    Invalid: 422,
    Unavailable: 503,
    AppError: 500,
}

MAX_BODY_BYTES = 256 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Who(Enum):
    """Who may call a route."""

    ANYONE = "anyone"
    SERVICE = "service"


ANYONE, SERVICE = Who.ANYONE, Who.SERVICE


@dataclass(frozen=True)
class Answer(Generic[Body]):
    """An answer with a status of its own."""

    status: int
    body: Body
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One route: ``GET /api/jobs/{id}``, who may call it and what answers."""

    method: str
    path: str
    who: Who
    call: Callable[..., Any]
    body: type[BaseModel] | None
    parameters: tuple[str, ...]

    @property
    def key(self) -> str:
        """As API Gateway names it."""
        return f"{self.method} {self.path}"


class Api:
    """The routes of one function."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}

    def get(self, path: str, *, who: Who) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a GET route."""
        return self._route("GET", path, who)

    def post(self, path: str, *, who: Who) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a POST route."""
        return self._route("POST", path, who)

    def _route(
        self, method: str, path: str, who: Who
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def declare(call: Callable[..., Any]) -> Callable[..., Any]:
            hints = get_type_hints(call)
            hints.pop("return", None)
            body = hints.pop("body", None)
            route = Route(method, path, who, call, body, tuple(hints))
            self.routes[route.key] = route
            return call

        return declare

    def handler(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The Lambda entry point for payload format 2.0."""
        # API Gateway sends the names of headers in lower case; "sam local start-api" does not.
        sent = (event.get("headers") or {}).items()
        event = {**event, "headers": {name.lower(): value for name, value in sent}}
        request_id = _request_id(event, context)
        logger.append_keys(request_id=request_id, route=event.get("routeKey"))
        try:
            status, body, headers = self._answer(event)
        except AppError as error:
            status, body, headers = _refusal(error, request_id)
        except Exception as error:
            logger.error("unexpected error", **trace(error))
            count("UnexpectedError")
            failure = AppError("something went wrong on our side")
            status, body, headers = _refusal(failure, request_id)
        logger.info("answered", status=status)
        logger.remove_keys(["request_id", "route", "error"])
        flush()
        return {
            "statusCode": status,
            "headers": {
                "content-type": "application/json; charset=utf-8",
                "x-request-id": request_id,
                **headers,
            },
            "body": body,
            "isBase64Encoded": False,
        }

    def _answer(self, event: dict[str, Any]) -> tuple[int, str, dict[str, str]]:
        route = self.routes.get(event.get("routeKey", ""))
        if route is None:
            raise NotFound("there is no such route")
        raw = _raw_body(event)
        headers = event["headers"]
        if route.who is SERVICE:
            authentication.require_service(headers, raw)
            authentication.refuse_bearer(headers)
        arguments: dict[str, Any] = {
            name: (event.get("pathParameters") or {}).get(name, "") for name in route.parameters
        }
        if route.body is not None:
            arguments["body"] = _validated(route.body, raw)
        answer = route.call(**arguments)
        if not isinstance(answer, Answer):
            answer = Answer(200, answer)
        return answer.status, answer.body.model_dump_json(), answer.headers


def _request_id(event: dict[str, Any], context: Any) -> str:
    """The caller's ``X-Request-ID`` when it is a plain one, so that a chain has one id."""
    sent = event["headers"].get("x-request-id", "")
    if REQUEST_ID.fullmatch(sent):
        return str(sent)
    return getattr(context, "aws_request_id", None) or str(uuid.uuid4())


def _raw_body(event: dict[str, Any]) -> bytes:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise BadRequest("the body is not valid base64") from None
    else:
        raw = body.encode()
    if len(raw) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"the body is larger than {MAX_BODY_BYTES // 1024} KB")
    return raw


def _validated(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return model.model_validate_json(raw or b"null")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        raise BadRequest("the body is not valid JSON", code="invalid_json")
    if problems[0]["loc"] == ():
        message = _plain(problems[0]["msg"])
        if problems[0]["type"] == "model_type":
            raise BadRequest("the body must be a JSON object", code="invalid_json")
        # A rule about several fields: its message begins with the name of one and a colon.
        name, _, rest = message.partition(": ")
        raise Invalid.field(name, rest)
    sent = json.loads(raw)
    raise Invalid.fields(
        [(_name(problem["loc"], sent), _plain(problem["msg"])) for problem in problems]
    )


def _name(location: tuple[int | str, ...], sent: dict[str, Any]) -> str:
    """The field as the caller wrote it: ``area[1]`` of a list, ``area`` of a single value."""
    first, *rest = location
    listed = isinstance(sent.get(str(first)), list)
    return str(first) + "".join(f"[{part}]" for part in rest if listed and isinstance(part, int))


def _plain(message: str) -> str:
    """pydantic's message without its prefix, in our style."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _refusal(error: AppError, request_id: str) -> tuple[int, str, dict[str, str]]:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    body: dict[str, Any] = {"error": error.code, "message": error.message}
    if error.details is not None:
        body["details"] = error.details
    body["request_id"] = request_id
    headers = {}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(error.retry_after_s)
    logger.append_keys(error=error.code)
    return status, json.dumps(body, ensure_ascii=False), headers
