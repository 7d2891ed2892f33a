"""The events of a WebSocket connection: connect, message and disconnect.

The shapes are those of captured events. The documentation:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from local.gateway.events import API_ID, MalformedResponse, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# These concern the client and the gateway alone.
_NOT_PASSED_ON = {"connection", "upgrade", "keep-alive", "te", "trailer", "transfer-encoding"}


def new_id() -> str:
    """Return a new id of a connection, a request or a message, in API Gateway's format."""
    return base64.urlsafe_b64encode(os.urandom(11)).decode()


@dataclass(frozen=True)
class Client:
    """The client of a connection, and the connection's id."""

    stage: str
    domain_name: str
    source_ip: str
    user_agent: str
    connection_id: str = field(default_factory=new_id)
    connected_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Event:
    """An event for a function: its type, and the JSON."""

    type: str  # CONNECT, MESSAGE or DISCONNECT
    route_key: str
    request_id: str
    received: float
    payload: bytes


def connect(client: Client, request: Request) -> Event:
    """Return the event of a handshake."""
    host = client.domain_name
    headers = [(k, v) for k, v in request.headers if k.lower() not in _NOT_PASSED_ON]
    given = {name.lower(): value for name, value in headers}
    chain = given.get("x-forwarded-for")
    headers = [
        *((k, v) for k, v in headers if not k.lower().startswith("x-forwarded-")),
        ("X-Amzn-Trace-Id", request.trace_id),
        ("X-Forwarded-For", f"{chain}, {client.source_ip}" if chain else client.source_ip),
        ("X-Forwarded-Port", host.rpartition(":")[2] if ":" in host else "80"),
        ("X-Forwarded-Proto", "http"),
    ]
    more: dict[str, Any] = {"headers": dict(headers), "multiValueHeaders": _lists(headers)}
    if query := parse_qsl(request.query, keep_blank_values=True):
        more |= {
            "queryStringParameters": dict(query),
            "multiValueQueryStringParameters": _lists(query),
        }
    return _event(client, "CONNECT", "$connect", {}, more)


def message(client: Client, route_key: str, body: str) -> Event:
    """Return the event of a message."""
    return _event(client, "MESSAGE", route_key, {"messageId": new_id()}, {"body": body})


def disconnect(client: Client, code: int, reason: str) -> Event:
    """Return the event of a closed connection."""
    headers = {"Host": client.domain_name, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    return _event(
        client,
        "DISCONNECT",
        "$disconnect",
        {"disconnectStatusCode": code, "disconnectReason": reason},
        {"headers": headers, "multiValueHeaders": _lists(headers.items())},
    )


def _event(
    client: Client,
    event_type: str,
    route_key: str,
    context: Mapping[str, Any],
    more: Mapping[str, Any],
) -> Event:
    now, request_id = time.time(), new_id()
    identity = {"sourceIp": client.source_ip}
    if client.user_agent:
        identity["userAgent"] = client.user_agent
    payload = {
        **more,
        "requestContext": {
            "routeKey": route_key,
            **context,
            "eventType": event_type,
            "extendedRequestId": request_id,
            "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S %z"),
            "messageDirection": "IN",
            "stage": client.stage,
            "connectedAt": int(client.connected_at * 1000),
            "requestTimeEpoch": int(now * 1000),
            "identity": identity,
            "requestId": request_id,
            "domainName": client.domain_name,
            "connectionId": client.connection_id,
            "apiId": API_ID,
        },
        "isBase64Encoded": False,
    }
    return Event(event_type, route_key, request_id, now, json.dumps(payload).encode())


def _lists(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def selected_route(expression: str, routes: Iterable[str], body: str) -> str:
    """Return the route key for a message: its value at *expression*, else ``$default``.

    A client cannot select ``$connect`` or ``$disconnect``.
    """
    try:
        value: Any = json.loads(body)
        for name in expression.removeprefix("$request.body.").split("."):
            value = value[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    named = isinstance(value, str) and not value.startswith("$") and value in routes
    return value if named else "$default"


def parse_result(payload: bytes) -> tuple[int, str | None]:
    """Return the status of a function's result, and the subprotocol that it chose, if any.

    Raises :class:`MalformedResponse`: unlike behind an HTTP API, a status is required.
    """
    try:
        result = json.loads(payload)
        status = int(result["statusCode"])
        headers = {name.lower(): value for name, value in (result.get("headers") or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedResponse("no statusCode") from None
    if not 200 <= status <= 599:
        raise MalformedResponse(f"statusCode {status}")
    return status, headers.get("sec-websocket-protocol")
