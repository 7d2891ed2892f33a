"""Events and results of functions behind an HTTP API: payload format 2.0, in both directions.

The format: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Details that the documentation omits come from published captures of the real service: paths arrive
decoded and are cut at a decoded ``?`` (hotsock/voker#8, honojs/hono#2156), ``%2F`` separates
segments like ``/``, and a body is text for a few content types only (ministackorg/ministack#766). A
body with a content encoding is passed on unchanged, in base64; a REST API would decompress it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from local.template.cloudformation import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

API_ID = "local"
STAGE = "$default"

# A body of any other content type, a form's included, or of none reaches the function in base64.
_TEXT_TYPES = {"application/json", "application/xml", "application/javascript"}
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
# The gateway sets these headers of a response itself.
_TRANSPORT_HEADERS = {*_HOP_BY_HOP, "content-length"}


@dataclass(frozen=True)
class Request:
    """An HTTP request as received; *target*: the raw path and query string."""

    method: str
    target: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"
    id: str = field(default_factory=lambda: base64.b64encode(os.urandom(11)).decode())
    received: float = field(default_factory=time.time)
    trace_id: str = field(
        default_factory=lambda: f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    )

    @cached_property
    def path(self) -> str:
        """Return the decoded path, which routes are matched against and functions receive."""
        decoded = unquote(self.target.partition("?")[0])
        return decoded.partition("?")[0] or "/"

    @property
    def query(self) -> str:
        """Return the raw query string."""
        return self.target.partition("?")[2]


def to_event(request: Request, route_key: str, path_parameters: Mapping[str, str]) -> bytes:
    """Return the event of a request, as JSON."""
    headers = _event_headers(request)
    host = headers.get("host", "localhost")
    cookie_headers = [value for name, value in request.headers if name.lower() == "cookie"]
    cookies = [cookie for value in cookie_headers for cookie in value.split("; ") if cookie]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.id,
            "routeKey": route_key,
            "stage": STAGE,
            "time": datetime.fromtimestamp(request.received, UTC).strftime("%d/%b/%Y:%H:%M:%S %z"),
            "timeEpoch": int(request.received * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query := _joined(parse_qsl(request.query, keep_blank_values=True)):
        event["queryStringParameters"] = query
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    if request.body:
        event |= _body(request.body, headers)
    return json.dumps(event).encode()


def _event_headers(request: Request) -> dict[str, str]:
    headers = _joined((name.lower(), value) for name, value in request.headers)
    for name in ("cookie", *_HOP_BY_HOP):
        headers.pop(name, None)
    host = headers.get("host", "localhost")
    forwarded = headers.get("x-forwarded-for")
    return headers | {
        "content-length": str(len(request.body)),
        "x-amzn-trace-id": request.trace_id,
        "x-forwarded-for": f"{forwarded}, {request.source_ip}" if forwarded else request.source_ip,
        "x-forwarded-port": host.rpartition(":")[2] if ":" in host else "80",
        "x-forwarded-proto": "http",
    }


def _body(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoded = headers.get("content-encoding", "identity").strip().lower() != "identity"
    if not encoded and (media_type in _TEXT_TYPES or media_type.startswith("text/")):
        return {"body": body.decode("utf-8", "replace"), "isBase64Encoded": False}
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


class MalformedResponse(Exception):
    """The function returned a result that API Gateway cannot turn into a response."""


@dataclass(frozen=True)
class Response:
    """An HTTP response; a header may occur several times."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of_gateway(cls, status: int, message: str) -> Response:
        """Return a response of API Gateway itself."""
        body = json.dumps({"message": message}, separators=(",", ":")).encode()
        return cls(status, [("content-type", "application/json")], body)


def to_response(payload: bytes) -> Response:
    """Return the HTTP response for a function's result.

    An object with ``statusCode`` describes it; any other JSON becomes the body of a 200. Raises
    :class:`MalformedResponse`.
    """
    try:
        result = json.loads(payload)
    except ValueError:
        raise MalformedResponse("the answer is not JSON") from None
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result.encode() if isinstance(result, str) else payload
        return Response(200, [("content-type", "application/json")], body)
    try:
        status = int(result["statusCode"])
        headers = [
            (name, _text(value))
            for name, value in (
                (str(k).lower(), v) for k, v in (result.get("headers") or {}).items()
            )
            if name not in _TRANSPORT_HEADERS
        ]
        headers += [("set-cookie", str(cookie)) for cookie in result.get("cookies") or []]
        body = _text(result.get("body")).encode()
        if result.get("isBase64Encoded"):
            body = base64.b64decode(body, validate=True)
    except (AttributeError, TypeError, ValueError) as error:
        raise MalformedResponse(str(error)) from None
    if not 100 <= status <= 599:
        raise MalformedResponse(f"statusCode {status}")
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain; charset=utf-8"))
    return Response(status, headers, body)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"neither a string nor a number: {type(value).__name__}")
