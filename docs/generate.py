"""Writes the generated references: ``docs/openapi.json`` and ``docs/hh-errors.md`` (make docs).

Both come from the code that runs: the routes and models of the functions, and the table of hh.ru's
errors. A test compares what is committed with what this makes.
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

from ullgetthejob.hh import error_rules  # noqa: E402
from ullgetthejob.platform.http import (  # noqa: E402
    ADMIN,
    ANYONE,
    SERVICE,
    STATUS,
    USER,
    USER_OR_SERVICE,
    Api,
    Response,
    Route,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What each refusal is about.
REFUSALS = {
    400: "The request cannot be read, or hh.ru does not take what it brings",
    401: "A secret, X-Signature or a bearer token is missing or wrong",
    404: "There is no such thing, or it is somebody else's",
    413: "The body is larger than 256 KB",
    422: "A field is wrong; details.fields names it",
    503: "hh.ru, Postgres or AWS does not answer; Retry-After says when to come back",
}
OF_EVERY_ROUTE = {
    500: "Something went wrong on Core's side; its log says what, by the request's id"
}
OF_SOME = {
    403: "The token is of another user",
    409: "It contradicts what there is; error says how",
    429: "More is asked at the moment than can be served; Retry-After says when to come back",
}
SUCCESSES = {
    200: "OK",
    201: "Made",
    202: "Accepted; it goes on by itself",
    503: "It does not work at the moment",
}
OF_ANYBODY = {403: "The token is of another user"}
OF_PERSONS = {
    **OF_ANYBODY,
    409: "Nothing goes on before the person does something; details.access says what",
}
SECURITY: dict[Any, list[dict[str, list[str]]] | None] = {
    ANYONE: None,
    SERVICE: [{"service": []}],
    USER: [{"user": []}],
    USER_OR_SERVICE: [{"user": []}, {"service": []}],
    ADMIN: [{"admin": []}],
}


class Refusal(BaseModel):
    """What every error looks like."""

    success: Literal[False]
    error: str = Field(description="a flat snake_case code")
    message: str = Field(description="what is wrong, for developers")
    advice: str = Field(description="a sentence that a person can be shown")
    details: dict[str, Any] | None = None
    request_id: str


def apis() -> dict[str, Api]:
    """The routes of each function that has any."""
    found = {}
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        module = importlib.import_module(f"functions.{path.parent.name}.app")
        if hasattr(module, "api"):
            found[path.parent.name] = module.api
    return found


def openapi() -> str:
    """The OpenAPI 3.1 document of all HTTP routes, as JSON text."""
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
            "user": HTTPBearer(bearerFormat="JWT"),
        },
    )
    content = json.loads(document)
    content.pop("servers", None)
    _drop_validation_errors_of_powertools(content)
    _name_declared_answers(content)
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _declare(resolver: APIGatewayHttpResolver, function: str, route: Route) -> None:
    texts = OF_EVERY_ROUTE | ({} if route.auth is ANYONE else REFUSALS)
    texts = texts | {status: OF_SOME[status] for status in route.refuses}
    if "person" in route.parameters:
        texts = texts | OF_PERSONS
    if "optional_user" in route.parameters:
        texts = texts | OF_ANYBODY
    refusals: Any = {
        status: {
            "description": text,
            "content": {"application/json": {"model": Refusal}},
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
    )(_as_powertools_reads(route))


def _as_powertools_reads(route: Route) -> Callable[..., Any]:
    """The route as a function of what is sent: each field of the query, the path's parameters."""
    hints = get_type_hints(route.call)
    returned = hints["return"]
    if (
        get_origin(returned) is Response
    ):  # an answer with a status of its own: what matters is inside
        returned = get_args(returned)[0]
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
        annotation = Annotated[field.annotation, *field.metadata, Query()]  # type: ignore[name-defined]
        add(name, annotation, field.default)

    def call() -> None:
        """Never called."""

    call.__name__ = route.call.__name__
    call.__signature__ = inspect.Signature(parameters, return_annotation=returned)  # type: ignore[attr-defined]
    return call


def _drop_validation_errors_of_powertools(content: dict[str, Any]) -> None:
    """Powertools adds a 422 of its own shape to every route; Core's refusals stand instead."""
    for methods in content["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        content["components"]["schemas"].pop(name, None)


def _name_declared_answers(content: dict[str, Any]) -> None:
    """Powertools knows 200 alone; what it says of that is said of each status that is declared."""
    for route in (route for api in apis().values() for route in api.routes.values()):
        responses = content["paths"][route.path][route.method.lower()]["responses"]
        returned = responses.pop("200")
        for status in route.answers:
            responses[str(status)] = {**returned, "description": SUCCESSES[status]}


def hh_errors() -> str:
    """The table of hh.ru's errors and what Core does about each, as Markdown."""
    lines = [
        "# hh.ru's errors and what Core does",
        "",
        "Generated from `ullgetthejob.hh.errors` by `make docs`. The first row that fits an entry",
        "of `errors[]` wins: by value, then type, then HTTP status. Before all of them: HTML with",
        "200 or 403, a 451 and a redirect to the VPN check are hh.ru's edge (`hh_region_blocked`);",
        "a 5xx or an answer that cannot be read is `hh_unavailable`.",
        "",
        "| value | type | HTTP | error | our status | action | the caller is told |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule in (*error_rules.RULES, error_rules.REGION, error_rules.UNREADABLE):
        lines.append(_row(rule, rule.value, rule.type, rule.status, rule.error.code))
    lines += [
        "",
        "A call that looks for one thing names it: `job_not_found`, `resume_not_found`. Calls on a",
        "person's behalf become the access state of the account (`ullgetthejob.accounts`).",
        "",
        "## What each of the token endpoint's errors does to the account",
        "",
        "`POST /token` speaks RFC 6749. The first row that fits wins: by error, text (trimmed, any",
        "case) and grant. What fits no row is read by the table above; what is left is our own",
        "mistake (`hh_misconfigured`), and nobody's token is given up for it.",
        "",
        "| error | error_description | grant | becomes | reason | our status | action "
        "| the person or the operator is told |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in error_rules.TOKEN_RULES:
        code = row.error.code
        lines.append(_row(row, row.oauth_error, row.description, row.grant, code, row.reason))
    lines += [
        "",
        "## What becomes of an application that hh.ru does not take",
        "",
        "`POST /negotiations`: by the value of an entry whose type is `negotiations`; the last",
        "three have none at hh.ru. What came of a lost answer is read from the negotiations.",
        "",
        "| value | action | the person is told |",
        "|---|---|---|",
    ]
    nameless = (error_rules.LETTER_MISSING, error_rules.CONSENT_MISSING, error_rules.EXTERNAL_SITE)
    for refusal in (*error_rules.APPLY_RULES, *nameless):
        value = f"`{refusal.value}`" if refusal.value else "any other"
        lines.append(f"| {value} | {refusal.action.value} | {refusal.message} |")
    lines += [
        "",
        "## What becomes of a resume that hh.ru does not make, change or publish",
        "",
        "`POST /resumes`, `PUT /resumes/{id}`, `POST /resumes/{id}/publish`: the first row that",
        "fits an entry of `errors[]`, or the status, wins; what fits none is read by the first",
        "table. A resume whose answer was lost is looked for by its title.",
        "",
        "| type | value | reason | HTTP | becomes | action | the person is told |",
        "|---|---|---|---|---|---|---|",
    ]
    for made in error_rules.RESUME_RULES:
        cells = (made.type, made.value, made.wrong, made.status, made.reason)
        shown = " | ".join(f"`{cell}`" if cell else "" for cell in cells)
        lines.append(f"| {shown} | {made.action.value} | {made.message} |")
    return "\n".join(lines) + "\n"


def _row(rule: error_rules.Rule | error_rules.TokenRule, *cells: object) -> str:
    status = next(STATUS[kind] for kind in rule.error.__mro__ if kind in STATUS)
    shown = [f"`{cell}`" if cell else "" for cell in cells]
    return f"| {' | '.join([*shown, str(status), rule.action.value, rule.message])} |"


def documents() -> dict[Path, str]:
    """What is generated, by file."""
    return {
        ROOT / "docs" / "openapi.json": openapi(),
        ROOT / "docs" / "hh-errors.md": hh_errors(),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
