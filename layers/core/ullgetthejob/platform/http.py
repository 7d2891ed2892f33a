"""The HTTP edge: an API Gateway event in, one call of a route, one response out.

API Gateway has already matched the route (``routeKey``), so a function only looks it up. A route is
a plain function with annotated parameters::

    api = Api(people, bootstrap.open_context)

    @api.post("/api/jobs/search", auth=SERVICE)
    def search_jobs(body: SearchRequest, context: Context) -> SearchAnswer: ...

    handler = api.handler

Parameters, by their names: ``body`` is the JSON body and ``query`` the query string, each validated
by its pydantic model; ``person`` is the person that the request concerns, as the :class:`People` of
the Api find them: the subject of the token, else the user that the service names as ``user_id`` (or
``userId``) in path, query or body, with the same value in each place; ``optional_user`` is the same
where the user need not be known. ``caller`` is a :class:`Caller`. ``context`` is the
:class:`Context` of the request, with its caller, which the Api opens for the call of the route's
function: a request that is refused before opens no connection to Postgres. Any other parameter is a
path parameter (``str``). ``request`` is the :class:`Request` of a browser, for routes of pages.

The function returns a pydantic model, a :class:`Response` for another status than 200, a
:class:`File`, or a :class:`Page`; the errors of a route that returns pages are pages, too, which
the Api's *error_page* makes. Errors of
:mod:`ullgetthejob.platform.errors` become statuses by the table below, any other error a bare 500.
The OpenAPI document is generated from the same annotations.

A token that is sent is always checked: an invalid one is 401 even beside a valid secret, and
another ``user_id`` than its subject is 403.
"""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_type_hints

from pydantic import BaseModel

from ullgetthejob.platform import (
    authentication,
    invocation,
    postgres,
    request_parsing,
    storable_text,
    time_limit,
)
from ullgetthejob.platform.advice import for_person
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NeedsPerson,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from ullgetthejob.platform.files import File
from ullgetthejob.platform.pages import Page, Request
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from ullgetthejob.platform.authentication import People
    from ullgetthejob.platform.context import Context

    Declare = Callable[[Callable[..., Any]], Callable[..., Any]]
    OpenContext = Callable[[Caller], AbstractContextManager[Context]]
    ErrorPage = Callable[[int, Request], Page]

Body = TypeVar("Body", bound=BaseModel)
Statuses = tuple[int, ...]

STATUS: dict[type[AppError], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    NeedsPerson: 409,
    PayloadTooLarge: 413,
    Invalid: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    AppError: 500,
}


class Auth(Enum):
    """The callers that a route accepts."""

    ANYONE = "anyone"
    SERVICE = "service"
    USER = "user"
    USER_OR_SERVICE = "user or service"
    ADMIN = "admin"
    TELEGRAM = "telegram"


ANYONE, SERVICE, USER, USER_OR_SERVICE, ADMIN, TELEGRAM = Auth
CALLER_KIND: dict[Auth, Literal["user", "service", "admin", "telegram"]] = {  # with a token
    SERVICE: "service",
    USER: "user",
    USER_OR_SERVICE: "user",
    ADMIN: "admin",
    TELEGRAM: "telegram",
}


@dataclass(frozen=True)
class Response(Generic[Body]):
    """A response with another status than 200."""

    status: int
    body: Body
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One route, such as ``GET /api/jobs/{id}``: its callers, its function, its statuses."""

    method: str
    path: str
    auth: Auth
    call: Callable[..., Any]
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    parameters: tuple[str, ...]
    answers: tuple[int, ...] = (200,)
    refuses: tuple[int, ...] = ()
    returns_page: bool = False

    @property
    def key(self) -> str:
        """Return the route key, as API Gateway writes it."""
        return f"{self.method} {self.path}"


class Api:
    """The routes of one function. *people* finds the persons that the routes concern;
    *open_context* opens the context of a caller's request; *error_page* makes the page that says
    that a request for a page failed, of the status."""

    def __init__(
        self,
        people: People | None = None,
        open_context: OpenContext | None = None,
        error_page: ErrorPage | None = None,
    ) -> None:
        self.routes: dict[str, Route] = {}
        self.people = people
        self.open_context = open_context
        self.error_page = error_page

    def get(self, path: str, *, auth: Auth, **statuses: Statuses) -> Declare:
        """Declare a GET route; *statuses* are those of :meth:`_route`."""
        return self._route("GET", path, auth, **statuses)

    def post(self, path: str, *, auth: Auth, **statuses: Statuses) -> Declare:
        """Declare a POST route; *statuses* are those of :meth:`_route`."""
        return self._route("POST", path, auth, **statuses)

    def put(self, path: str, *, auth: Auth, **statuses: Statuses) -> Declare:
        """Declare a PUT route; *statuses* are those of :meth:`_route`."""
        return self._route("PUT", path, auth, **statuses)

    def patch(self, path: str, *, auth: Auth, **statuses: Statuses) -> Declare:
        """Declare a PATCH route; *statuses* are those of :meth:`_route`."""
        return self._route("PATCH", path, auth, **statuses)

    def delete(self, path: str, *, auth: Auth, **statuses: Statuses) -> Declare:
        """Declare a DELETE route; *statuses* are those of :meth:`_route`."""
        return self._route("DELETE", path, auth, **statuses)

    def _route(
        self, method: str, path: str, auth: Auth, answers: Statuses = (200,), refuses: Statuses = ()
    ) -> Declare:
        """Declare a route. *answers*: the statuses of what it returns. *refuses*: the statuses of
        the errors that it raises beside those of every route, for the OpenAPI document."""

        def declare(call: Callable[..., Any]) -> Callable[..., Any]:
            hints = get_type_hints(call)
            returns_page = hints.pop("return", None) is Page
            body, query = hints.pop("body", None), hints.pop("query", None)
            route = Route(
                *(method, path, auth, call, body, query, tuple(hints)),
                answers=answers,
                refuses=refuses,
                returns_page=returns_page,
            )
            self.routes[route.key] = route
            return call

        return declare

    def handler(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Handle an event of payload format 2.0: the entry point for Lambda."""
        # API Gateway sends the names of headers in lower case; "sam local start-api" does not.
        sent = (event.get("headers") or {}).items()
        event = {**event, "headers": {name.lower(): value for name, value in sent}}
        with invocation.of_request(event, context) as (current, request_id):
            try:
                with (
                    postgres.deadline(postgres.REQUEST_DEADLINE_S),
                    time_limit.of_invocation(context),
                ):
                    answer = self._call_route(event, request_id)
            except AppError as error:
                if isinstance(error, Unavailable):
                    logger.warning("not available", **trace(error))
                answer = self._answer_error(error, event, request_id)
            except Exception as error:
                logger.error("unexpected error", **trace(error))
                count("UnexpectedError")
                failure = AppError("something went wrong on our side")
                answer = self._answer_error(failure, event, request_id)
            current.result = answer.status
            current.facts["response_bytes"] = len(answer.body)
        headers = {"x-request-id": request_id, "traceparent": current.position.traceparent}
        return answer.to_event(headers)

    def _call_route(self, event: dict[str, Any], request_id: str) -> _Answer:
        """Return the answer of the route. Raises :class:`AppError`."""
        route = self.routes.get(event.get("routeKey", ""))
        if route is None:
            raise NotFound("there is no such route")
        raw = request_parsing.raw_body(event)
        caller, person = self._authenticate(route, event["headers"], raw, request_id)
        path = event.get("pathParameters") or {}
        query = event.get("queryStringParameters") or {}
        storable_text.require({**path, **query})
        sent = storable_text.checked_body(request_parsing.decode_body(raw, event["headers"]))
        arguments: dict[str, Any] = {name: path.get(name, "") for name in route.parameters}
        if route.body is not None:
            arguments["body"] = request_parsing.validate_body(route.body, sent)
        if route.query is not None:
            arguments["query"] = request_parsing.validate_query(route.query, query)
        if "request" in arguments:
            arguments["request"] = Request.of(event, sent)
        if {"caller", "context"} & set(arguments):
            key = request_parsing.idempotency_key(event["headers"])
            caller = replace(caller, idempotency_key=key)
        for name in {"person", "optional_user"} & set(arguments):
            named = request_parsing.named_user(path, query, sent)
            arguments[name] = self._find_person(person, named, must_exist=name == "person")
        return _answer(self._call_function(route, arguments, caller))

    def _answer_error(self, error: AppError, event: dict[str, Any], request_id: str) -> _Answer:
        """Return the answer of a request that failed: a page where the route returns pages."""
        route = self.routes.get(event.get("routeKey", ""))
        answer = _error_response(error, request_id)
        if route is None or not route.returns_page or self.error_page is None:
            return answer
        page = _answer(self.error_page(answer.status, Request.of(event, b"")))
        return replace(page, headers={**page.headers, **answer.headers})

    def _call_function(self, route: Route, arguments: dict[str, Any], caller: Caller) -> Any:
        """Call the route's function, with the caller and in a context of its own if it has these
        parameters."""
        with ExitStack() as stack:
            if "caller" in arguments:
                arguments["caller"] = caller
            if "context" in arguments:
                assert self.open_context is not None  # noqa: S101 - test_routes requires it
                arguments["context"] = stack.enter_context(self.open_context(caller))
            return route.call(**arguments)

    def _authenticate(
        self, route: Route, headers: dict[str, str], raw: bytes, request_id: str
    ) -> tuple[Caller, Any]:
        """Return the caller, and the person of the token if one was sent."""
        if route.auth is ANYONE:
            return Caller("service", request_id), None
        if route.auth is TELEGRAM:
            authentication.require_telegram(headers)
        if route.auth is SERVICE:
            authentication.require_service(headers, raw)
        if route.auth is ADMIN:
            authentication.require_admin(headers)
        token = authentication.bearer(headers)
        if token is not None:
            if self.people is None:
                raise authentication.invalid_token()
            person = self.people.find_by_token(token)
            return Caller(CALLER_KIND[route.auth], request_id, person.user_id), person
        if route.auth is USER:
            raise Unauthorized("the header Authorization with a bearer token is missing")
        if route.auth is USER_OR_SERVICE:
            authentication.require_service(headers, raw)
        kind = CALLER_KIND[route.auth]
        return Caller("service" if kind == "user" else kind, request_id), None

    def _find_person(self, token_person: Any, named: UUID | None, *, must_exist: bool) -> Any:
        """Return the person that the request concerns; unless it *must_exist*, also an unknown one.

        Raises :class:`Invalid`, :class:`Forbidden`, and the errors of :class:`People`.
        """
        if token_person is not None:
            if named not in (None, token_person.user_id):
                raise Forbidden("the token is of another user", code="user_mismatch")
            return token_person
        if named is None:
            raise Invalid.field("user_id", "must be given when there is no bearer token")
        assert self.people is not None  # noqa: S101 - test_routes holds every Api to it
        return self.people.find_by_id(named) if must_exist else self.people.find_or_unknown(named)


@dataclass(frozen=True)
class _Answer:
    """A response of any kind, as API Gateway needs it; a *body* of bytes is binary."""

    status: int
    body: str | bytes
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()

    def to_event(self, headers: dict[str, str]) -> dict[str, Any]:
        """Return the answer in payload format 2.0, with *headers* beside its own."""
        body = self.body
        event = {
            "statusCode": self.status,
            "headers": {
                "content-type": "application/json; charset=utf-8",
                **headers,
                **self.headers,
            },
            "body": body if isinstance(body, str) else base64.b64encode(body).decode(),
            "isBase64Encoded": isinstance(body, bytes),
        }
        return {**event, "cookies": list(self.cookies)} if self.cookies else event


def _answer(returned: Any) -> _Answer:
    """Return what a route's function *returned* as an answer."""
    if isinstance(returned, Page):
        headers = returned.answer_headers()
        return _Answer(returned.status, returned.content, headers, returned.cookies)
    if isinstance(returned, File):
        return _Answer(200, returned.content, _headers_of(returned))
    response = returned if isinstance(returned, Response) else Response(200, returned)
    return _Answer(response.status, response.body.model_dump_json(), response.headers)


def _headers_of(file: File) -> dict[str, str]:
    return {
        "content-type": file.media_type,
        "content-disposition": f'attachment; filename="{file.name}"',
        "cache-control": "no-store",
        **file.headers,
    }


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error; 500 for an unknown one."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _error_response(error: AppError, request_id: str) -> _Answer:
    status = status_of(error)
    body: dict[str, Any] = {
        "success": False,
        "error": error.code,
        "message": error.message,
        "advice": for_person(error.code),
    }
    if error.details is not None:
        body["details"] = error.details
    body["request_id"] = request_id
    headers = {}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(error.retry_after_s)
    logger.append_keys(error=error.code)
    return _Answer(status, json.dumps(body, ensure_ascii=False), headers)
