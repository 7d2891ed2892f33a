"""The edge: an API Gateway event in, one call of a route, one answer out.

API Gateway has matched the route already (``routeKey``), so a function only looks its own up. A
route is a plain function with annotated parameters::

    api = Api()

    @api.post("/api/jobs/search", auth=SERVICE)
    def search_jobs(body: SearchRequest) -> SearchAnswer: ...

    handler = api.handler

Parameters, by their names: ``body`` is the JSON body and ``query`` the query string, each validated
by its pydantic model; ``caller`` is a :class:`Caller`; ``person`` is whom the request is about, as
the :class:`People` of the Api find them: the subject of the token, else whom the service names as
``user_id`` (or ``userId``) in path, query or body, the same wherever it does; ``optional_user`` is
the same where the user need not be known. Any other is a path parameter (``str``).

What the function returns is a pydantic model, or a :class:`Response` for another status than 200.
Errors of :mod:`ullgetthejob.platform.errors` become statuses by the table below, anything else a
bare 500. The OpenAPI document is generated from the same annotations.

A token, when there is one, always binds: a bad one is 401 even beside a good secret, and another
``user_id`` than its subject is 403.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ValidationError

from ullgetthejob.platform import authentication, postgres, storable_text
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
from ullgetthejob.platform.telemetry import count, flush, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.platform.authentication import People

    Declare = Callable[[Callable[..., Any]], Callable[..., Any]]

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

MAX_BODY_BYTES = 256 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")  # a UUID has 36, a token of hh.ru more
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
USER_ID_NAMES = ("user_id", "userId")  # ours, and the BFF's
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Auth(Enum):
    """Who may call a route."""

    ANYONE = "anyone"
    SERVICE = "service"
    USER = "user"
    USER_OR_SERVICE = "user or service"
    ADMIN = "admin"


ANYONE, SERVICE, USER, USER_OR_SERVICE, ADMIN = Auth
CALLER_KIND: dict[Auth, Literal["user", "service", "admin"]] = {  # of callers with a token
    SERVICE: "service",
    USER: "user",
    USER_OR_SERVICE: "user",
    ADMIN: "admin",
}


@dataclass(frozen=True)
class Response(Generic[Body]):
    """An answer with a status of its own."""

    status: int
    body: Body
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One route: ``GET /api/jobs/{id}``, who may call it and what answers."""

    method: str
    path: str
    auth: Auth
    call: Callable[..., Any]
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    parameters: tuple[str, ...]
    answers: tuple[int, ...] = (200,)
    refuses: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """As API Gateway names it."""
        return f"{self.method} {self.path}"


class Api:
    """The routes of one function. *people* know the persons that the routes are about."""

    def __init__(self, people: People | None = None) -> None:
        self.routes: dict[str, Route] = {}
        self.people = people

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
        """*answers*: the statuses of what it returns. *refuses*: those of the errors that it raises
        beside what any route may answer, for the document."""

        def declare(call: Callable[..., Any]) -> Callable[..., Any]:
            hints = get_type_hints(call)
            hints.pop("return", None)
            body, query = hints.pop("body", None), hints.pop("query", None)
            route = Route(method, path, auth, call, body, query, tuple(hints), answers, refuses)
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
            with postgres.deadline(postgres.REQUEST_DEADLINE_S):
                status, body, headers = self._answer(event, request_id)
        except AppError as error:
            if isinstance(error, Unavailable):
                logger.warning("not available", **trace(error))
            status, body, headers = _error_response(error, request_id)
        except Exception as error:
            logger.error("unexpected error", **trace(error))
            count("UnexpectedError")
            failure = AppError("something went wrong on our side")
            status, body, headers = _error_response(failure, request_id)
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

    def _answer(self, event: dict[str, Any], request_id: str) -> tuple[int, str, dict[str, str]]:
        route = self.routes.get(event.get("routeKey", ""))
        if route is None:
            raise NotFound("there is no such route")
        raw = _raw_body(event)
        caller, person = self._authenticated(route, event["headers"], raw, request_id)
        path = event.get("pathParameters") or {}
        query = event.get("queryStringParameters") or {}
        storable_text.require({**path, **query})
        sent = storable_text.checked_body(_decoded(raw, event["headers"]))
        arguments: dict[str, Any] = {name: path.get(name, "") for name in route.parameters}
        if route.body is not None:
            arguments["body"] = _validated_body(route.body, sent)
        if route.query is not None:
            arguments["query"] = _validated_query(route.query, query)
        if "caller" in arguments:
            key = _idempotency_key(event["headers"])
            arguments["caller"] = replace(caller, idempotency_key=key)
        for name in {"person", "optional_user"} & set(arguments):
            named = _named_user(path, query, sent)
            arguments[name] = self._person(person, named, known=name == "person")
        answer = route.call(**arguments)
        if not isinstance(answer, Response):
            answer = Response(200, answer)
        return answer.status, answer.body.model_dump_json(), answer.headers

    def _authenticated(
        self, route: Route, headers: dict[str, str], raw: bytes, request_id: str
    ) -> tuple[Caller, Any]:
        """Who calls, and the person of the token if one was sent."""
        if route.auth is ANYONE:
            return Caller("service", request_id), None
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
        return Caller("admin" if route.auth is ADMIN else "service", request_id), None

    def _person(self, of_token: Any, named: UUID | None, *, known: bool) -> Any:
        """Whom the request is about; somebody *known*, or optional_user. Raises :class:`Invalid`,
        :class:`Forbidden`, and what :class:`People` raise."""
        if of_token is not None:
            if named not in (None, of_token.user_id):
                raise Forbidden("the token is of another user", code="user_mismatch")
            return of_token
        if named is None:
            raise Invalid.field("user_id", "must be given when there is no bearer token")
        assert self.people is not None  # noqa: S101 - test_routes holds every Api to it
        return self.people.find_by_id(named) if known else self.people.find_or_unknown(named)


def _named_user(path: dict[str, str], query: dict[str, str], raw: bytes) -> UUID | None:
    """The user that path, query and body name, in either spelling and as often as they do.

    Raises :class:`Invalid` where they name none that can be one, or several.
    """
    places = [(name, sent.get(name)) for sent in (path, query) for name in USER_ID_NAMES]
    said = [value for _, value in (*places, *_user_id_members(raw)) if value is not None]
    if not all(isinstance(one, str) and USER_ID.fullmatch(one) for one in said):
        raise Invalid.field("user_id", "must be the id of a user, a UUID")
    named = {UUID(one) for one in said}
    if len(named) > 1:
        raise Invalid.field("user_id", "is given more than once, and not the same each time")
    return next(iter(named), None)


def _user_id_members(raw: bytes) -> list[tuple[str, Any]]:
    """Each member of the body that names a user, also one that comes twice, which parsers of JSON
    read in different ways (RFC 8259, §4)."""

    def objects(members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [member for member in members if member[0] in USER_ID_NAMES]

    try:
        content = json.loads(raw, object_pairs_hook=objects)
    except (ValueError, RecursionError):
        return []  # whose body that is decides what becomes of it
    is_object = raw.lstrip()[:1] == b"{"
    return content if is_object else []


def _request_id(event: dict[str, Any], context: Any) -> str:
    """The caller's ``X-Request-ID`` when it is a plain one, so that a chain has one id."""
    sent = event["headers"].get("x-request-id", "")
    if REQUEST_ID.fullmatch(sent):
        return str(sent)
    return getattr(context, "aws_request_id", None) or str(uuid.uuid4())


def _idempotency_key(headers: dict[str, str]) -> str | None:
    """``Idempotency-Key`` as it was sent. Raises :class:`Invalid`."""
    sent = headers.get("idempotency-key")
    if sent is not None and not IDEMPOTENCY_KEY.fullmatch(sent):
        raise Invalid.field("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    return sent


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
        raise _too_large()
    return raw


def _decoded(raw: bytes, headers: dict[str, str]) -> bytes:
    """The body without its content encoding: API Gateway passes on what was sent. A signature is of
    what was sent, too. Raises :class:`BadRequest`, :class:`PayloadTooLarge`."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if not raw or encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise BadRequest("the only Content-Encoding is gzip", code="unsupported_encoding")
    import zlib  # hardly optional_user compresses a request

    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = gzip.decompress(raw, MAX_BODY_BYTES + 1)  # no more, whatever it would come to
    except zlib.error:
        raise BadRequest("the body is not valid gzip", code="unsupported_encoding") from None
    if len(text) > MAX_BODY_BYTES:
        raise _too_large()
    if not gzip.eof or gzip.unused_data:
        raise BadRequest("the body is not valid gzip", code="unsupported_encoding")
    return text


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {MAX_BODY_BYTES // 1024} KB")


def _validated_body(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return model.model_validate_json(raw or b"null")
    except ValidationError as error:
        problems = _problems(error)
    if problems[0]["type"] == "json_invalid":
        raise BadRequest("the body is not valid JSON", code="invalid_json")
    if problems[0]["type"] == "model_type" and problems[0]["loc"] == ():
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    raise _wrong_fields(problems, json.loads(raw))


def _validated_query(model: type[BaseModel], sent: dict[str, str]) -> BaseModel:
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        problems = _problems(error)
    raise _wrong_fields(problems, sent)


def _problems(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_input=False, include_context=False))


def _wrong_fields(problems: list[Any], sent: dict[str, Any]) -> Invalid:
    if problems[0]["loc"] == ():
        # A rule about several fields: its message begins with the name of one and a colon.
        name, _, rest = _message(problems[0]["msg"]).partition(": ")
        return Invalid.field(name, rest)
    return Invalid.fields(
        [(_field_name(problem["loc"], sent), _message(problem["msg"])) for problem in problems]
    )


def _field_name(location: tuple[int | str, ...], sent: dict[str, Any]) -> str:
    """The field as the caller wrote it: ``area[1]`` of a list, ``area`` of a single value,
    ``rules.formats[0]`` inside another."""
    first, *rest = location
    name, value = str(first), sent.get(str(first))
    for part in rest:
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            name, value = f"{name}[{part}]", value[part]
        elif isinstance(part, str) and isinstance(value, dict):
            name, value = f"{name}.{part}", value.get(part)
        else:
            break
    return name


def _message(message: str) -> str:
    """pydantic's message without its prefix, in our style."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def status_of(error: BaseException) -> int:
    """The status that an error becomes."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _error_response(error: AppError, request_id: str) -> tuple[int, str, dict[str, str]]:
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
    return status, json.dumps(body, ensure_ascii=False), headers
