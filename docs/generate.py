"""Generate the references ``docs/openapi.json``, ``docs/hh-errors.md``, ``docs/hh-methods.md`` and
``docs/telemetry.md``, ``docs/cost.md``, and ``parameters.example.yaml`` (make docs).

They come from the code: the routes and models of the functions, the tables of hh.ru's errors and
methods, what is logged and counted, and measured counts with prices. A test compares the committed
files with the generated ones.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn, HTTPBearer
from aws_lambda_powertools.event_handler.openapi.params import Path as PathParameter
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, Field

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core")]

from cli.commands.cloud import parameters  # noqa: E402
from cli.cost import report as cost_report  # noqa: E402
from docs import hh_methods_reference, telemetry_reference  # noqa: E402
from ullgetthejob.hh import error_rules  # noqa: E402
from ullgetthejob.platform.files import File  # noqa: E402
from ullgetthejob.platform.http import (  # noqa: E402
    ADMIN,
    ANYONE,
    SERVICE,
    STATUS,
    TELEGRAM,
    USER,
    USER_OR_SERVICE,
    Api,
    Response,
    Route,
)
from ullgetthejob.platform.pages import Page  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

# Descriptions of refusals, by status.
REFUSALS = {
    400: "The request cannot be parsed, or hh.ru refuses its values",
    401: "A secret, X-Signature or a bearer token is missing or wrong",
    404: "It does not exist, or belongs to another user",
    413: "The body is larger than 256 KB",
    422: "A field is invalid; details.fields names it",
    503: "hh.ru, Postgres or AWS does not answer; Retry-After says when to try again",
}
REFUSALS_OF_EVERY_ROUTE = {500: "An internal error of Core; its log has the cause, by request id"}
REFUSALS_OF_SOME_ROUTES = {
    403: "The token belongs to another user",
    409: "It conflicts with the present state; error says how",
    429: "Too many requests at the moment; Retry-After says when to try again",
}
REFUSALS_OF_PAGES = {
    400: "The form cannot be read",
    413: "The form is larger than 256 KB",
    422: "A value has a NUL character",
    503: "Postgres or AWS does not answer; Retry-After says when to try again",
}
PAGE_CONTENT: dict[str, Any] = {"text/html": {"schema": {"type": "string"}}}
SUCCESSES = {
    200: "OK",
    201: "Created",
    202: "Accepted; processing continues in the background",
    303: "Done; the page at Location shows how it stands",
    401: "The session of the page has ended",
    403: "The browser did not send what it was given with the form",
    410: "The link has ended",
    503: "Unavailable at the moment",
}
REFUSALS_WITH_USER = {403: "The token belongs to another user"}
REFUSALS_WITH_PERSON = {
    **REFUSALS_WITH_USER,
    409: "The person has to act first; details.access says how",
}
SECURITY: dict[Any, list[dict[str, list[str]]] | None] = {
    ANYONE: None,
    SERVICE: [{"service": []}],
    USER: [{"user": []}],
    USER_OR_SERVICE: [{"user": []}, {"service": []}],
    ADMIN: [{"admin": []}],
    TELEGRAM: [{"telegram": []}],
}


class Refusal(BaseModel):
    """The body of every error."""

    success: Literal[False]
    error: str = Field(description="a flat snake_case code")
    message: str = Field(description="what is wrong, for developers")
    advice: str = Field(description="a sentence that a person can be shown")
    details: dict[str, Any] | None = None
    request_id: str


def apis() -> dict[str, Api]:
    """Return the routes of each function that has any, by the function's name."""
    by_function = {}
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        module = importlib.import_module(f"functions.{path.parent.name}.app")
        if hasattr(module, "api"):
            by_function[path.parent.name] = module.api
    return by_function


def openapi() -> str:
    """Return the OpenAPI 3.1 document of all HTTP routes, as JSON text."""
    resolver = APIGatewayHttpResolver(enable_validation=True)
    for function, api in apis().items():
        for route in api.routes.values():
            _declare(resolver, function, route)
    document = resolver.get_openapi_json_schema(
        title="UllGetTheJob Core",
        version="1",
        description="Finds vacancies on hh.ru for a person and applies to them.",
        security_schemes={
            "service": APIKey(name="X-Core-Secret", in_=APIKeyIn.header),
            "admin": APIKey(name="X-Admin-Secret", in_=APIKeyIn.header),
            "telegram": APIKey(name="X-Telegram-Bot-Api-Secret-Token", in_=APIKeyIn.header),
            "user": HTTPBearer(bearerFormat="JWT"),
        },
    )
    content = json.loads(document)
    content.pop("servers", None)
    _drop_powertools_validation_errors(content)
    _copy_response_to_statuses(content)
    _count_items(content)
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _declare(resolver: APIGatewayHttpResolver, function: str, route: Route) -> None:
    texts = REFUSALS_OF_EVERY_ROUTE | ({} if route.auth is ANYONE else REFUSALS)
    of_some = REFUSALS_OF_PAGES if route.returns_page else REFUSALS_OF_SOME_ROUTES
    texts = texts | {status: of_some[status] for status in route.refuses}
    if "person" in route.parameters:
        texts = texts | REFUSALS_WITH_PERSON
    if "optional_user" in route.parameters:
        texts = texts | REFUSALS_WITH_USER
    refusals: Any = {
        status: {
            "description": text,
            "content": (
                PAGE_CONTENT if route.returns_page else {"application/json": {"model": Refusal}}
            ),
        }
        for status, text in sorted(texts.items())
    }
    doc = (route.call.__doc__ or "").strip()
    resolver.route(
        route.path.replace("{", "<").replace("}", ">"),
        method=route.method,
        summary=doc.split("\n")[0],
        description=doc,
        tags=[function],
        operation_id=route.call.__name__,
        responses={200: {"description": "OK"}, **refusals},
        security=SECURITY[route.auth],
    )(_to_powertools_handler(route))


def _to_powertools_handler(route: Route) -> Callable[..., Any]:
    """Return the route as a function with one parameter per query field and path parameter."""
    hints = get_type_hints(route.call)
    returned = hints["return"]
    if get_origin(returned) is Response:  # a response with its own status: use the model inside
        returned = get_args(returned)[0]
    if returned in (File, Page):  # their content is described in _copy_response_to_statuses
        returned = None
    parameters = []

    def add(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> None:
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, keyword, annotation=kind, default=default))

    for name in (part[1:-1] for part in route.path.split("/") if part.startswith("{")):
        add(name, Annotated[hints.get(name, UUID), PathParameter()])
    if route.body is not None:
        add("body", route.body)
    named = "{user_id}" in route.path or "user_id" in getattr(route.body, "model_fields", {})
    if route.auth is USER_OR_SERVICE and not named:
        add("user_id", Annotated[UUID | None, Query()], None)
    for name, field in (route.query.model_fields if route.query else {}).items():
        kind: Any = field.annotation
        annotation = Annotated[kind, *field.metadata, Query(alias=field.alias)]
        add(name, annotation, field.default)

    def call() -> None:
        """Never called."""

    call.__name__ = route.call.__name__
    call.__signature__ = inspect.Signature(parameters, return_annotation=returned)  # type: ignore[attr-defined]
    return call


def _drop_powertools_validation_errors(content: dict[str, Any]) -> None:
    """Remove the 422 in Powertools' own format from every route; Core's refusals replace it."""
    for methods in content["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        content["components"]["schemas"].pop(name, None)


def _copy_response_to_statuses(content: dict[str, Any]) -> None:
    """Copy the response of 200, the only status that Powertools knows, to each declared status."""
    for route in (route for api in apis().values() for route in api.routes.values()):
        responses = content["paths"][route.path][route.method.lower()]["responses"]
        returned = responses.pop("200")
        if get_type_hints(route.call)["return"] is File:
            binary = {"schema": {"type": "string", "format": "binary"}}
            kind = "text/csv" if route.path.endswith(".csv") else "application/zip"
            returned = {"content": {kind: binary}}
        elif route.returns_page:
            script = {"text/javascript": {"schema": {"type": "string"}}}
            returned = {"content": script if route.path.endswith(".js") else PAGE_CONTENT}
        for status in route.answers:
            responses[str(status)] = {**returned, "description": SUCCESSES[status]}


def _count_items(content: Any) -> None:
    """Write the lengths of lists as numbers of items. Pydantic writes them as those of texts where
    a validator makes the list, from one value."""
    if isinstance(content, dict):
        if content.get("type") == "array":
            for wrong, right in (("minLength", "minItems"), ("maxLength", "maxItems")):
                if wrong in content:
                    content[right] = content.pop(wrong)
        content = list(content.values())
    for value in content if isinstance(content, list) else []:
        _count_items(value)


def hh_errors() -> str:
    """Return the tables of hh.ru's errors and how Core handles each, as Markdown."""
    tables = (
        _list_errors,
        _list_token_errors,
        _list_refused_applications,
        _list_refused_messages,
        _list_refused_resumes,
    )
    return "\n".join(line for table in tables for line in table()) + "\n"


def _list_errors() -> list[str]:
    rules = (*error_rules.RULES, error_rules.REGION, error_rules.UNREADABLE)
    return [
        "# hh.ru's errors and how Core handles them",
        "",
        "Generated from `ullgetthejob.hh.error_rules` by `make docs`. The first row that matches",
        "an entry of `errors[]` applies: by value, then type, then HTTP status. Checked before all",
        "of them: HTML with 200 or 403, a 451 and a redirect to the VPN check are hh.ru's edge",
        "(`hh_region_blocked`); a 5xx or an unreadable answer is `hh_unavailable`.",
        "",
        "| value | type | HTTP | error | our status | action | message to the caller |",
        "|---|---|---|---|---|---|---|",
        *(_row(rule, rule.value, rule.type, rule.status, rule.error.code) for rule in rules),
        "",
        "A call for one object names it: `job_not_found`, `resume_not_found`. The result of calls",
        "on a person's behalf becomes the account's access state (`ullgetthejob.accounts.access`).",
        "",
    ]


def _list_token_errors() -> list[str]:
    return [
        "## Effect of the token endpoint's errors on the account",
        "",
        "`POST /token` follows RFC 6749. The first row that matches applies: by error, text",
        "(trimmed, any case) and grant. Other errors are looked up in the table above; the rest",
        "are our own mistake (`hh_misconfigured`), and no token is discarded for it.",
        "",
        "| error | error_description | grant | becomes | reason | our status | action "
        "| message to the person or the operator |",
        "|---|---|---|---|---|---|---|---|",
        *(
            _row(rule, rule.oauth_error, rule.description, rule.grant, rule.error.code, rule.reason)
            for rule in error_rules.TOKEN_RULES
        ),
        "",
    ]


def _list_refused_applications() -> list[str]:
    lines = [
        "## Applications that hh.ru refuses",
        "",
        "`POST /negotiations`: by the value of an entry whose type is `negotiations`; the last",
        "three have no value at hh.ru. The outcome of a lost answer is read from the negotiations.",
        "",
        "| value | action | message to the person |",
        "|---|---|---|",
    ]
    valueless = (error_rules.LETTER_MISSING, error_rules.CONSENT_MISSING, error_rules.EXTERNAL_SITE)
    for rule in (*error_rules.APPLY_RULES, *valueless):
        value = f"`{rule.value}`" if rule.value else "any other"
        lines.append(f"| {value} | {rule.action.value} | {rule.message} |")
    return [*lines, ""]


def _list_refused_messages() -> list[str]:
    lines = [
        "## Messages to employers that hh.ru refuses",
        "",
        "`POST /negotiations/{id}/messages`: by the value of an entry whose type is",
        "`negotiations`. A message whose answer was lost is looked for in the conversation.",
        "",
        "| value | action | message to the person |",
        "|---|---|---|",
    ]
    for rule in error_rules.MESSAGE_RULES:
        value = f"`{rule.value}`" if rule.value else "any other"
        lines.append(f"| {value} | {rule.action.value} | {rule.message} |")
    return [*lines, ""]


def _list_refused_resumes() -> list[str]:
    lines = [
        "## Resumes that hh.ru does not create, change or publish",
        "",
        "`POST /resumes`, `PUT /resumes/{id}`, `POST /resumes/{id}/publish`: the first row that",
        "matches an entry of `errors[]`, or the status, applies; other errors are looked up in the",
        "first table. A resume whose answer was lost is found by its title.",
        "",
        "| type | value | reason | HTTP | becomes | action | message to the person |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule in error_rules.RESUME_RULES:
        cells = (rule.type, rule.value, rule.wrong, rule.status, rule.reason)
        shown = " | ".join(f"`{cell}`" if cell else "" for cell in cells)
        lines.append(f"| {shown} | {rule.action.value} | {rule.message} |")
    return lines


def _row(rule: error_rules.Rule | error_rules.TokenRule, *cells: object) -> str:
    status = next(STATUS[kind] for kind in rule.error.__mro__ if kind in STATUS)
    shown = [f"`{cell}`" if cell else "" for cell in cells]
    return f"| {' | '.join([*shown, str(status), rule.action.value, rule.message])} |"


def documents() -> dict[Path, str]:
    """Return the generated documents, by file."""
    return {
        ROOT / "docs" / "openapi.json": openapi(),
        ROOT / "docs" / "hh-errors.md": hh_errors(),
        ROOT / "docs" / "hh-methods.md": hh_methods_reference.markdown(),
        parameters.EXAMPLE: parameters.render_example(),
        ROOT / "docs" / "telemetry.md": telemetry_reference.markdown(),
        ROOT / "docs" / "cost.md": cost_report.markdown(),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
