"""The management API ``/@connections/{id}``, by which functions reach WebSocket clients.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
A request must be signed, as in the cloud; the signature is not verified, since locally all callers
have the same credentials.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from local import browsers
from local.gateway import body
from local.gateway.frames import MESSAGE_LIMIT
from local.gateway.websocket_connection import OutboxFull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.functions.logs import Logs
    from local.gateway.websocket_connection import Connection

_ROOT = "/@connections/"
_CLOSED_NORMALLY = 1000


def connection_id(raw_path: str, stage: str) -> str | None:
    """Return the connection id in the path; ``None`` for any other path.

    The stage may be missing: a client whose endpoint is the gateway's address alone omits it.
    """
    path = unquote(raw_path.partition("?")[0])
    for root in (f"/{stage}{_ROOT}", _ROOT):
        if path.startswith(root) and len(path) > len(root):
            return path.removeprefix(root)
    return None


async def answer(
    request: web.BaseRequest, name: str, connections: Mapping[str, Connection], logs: Logs
) -> web.Response:
    """Handle a request about the connection *name*."""
    response = await _answer(request, name, connections.get(name))
    size = request.content_length or 0
    known = name if name in connections else "an unknown connection"
    logs.write("gateway", f"{response.status} {request.method} @connections {known} {size} B")
    return response


async def _answer(
    request: web.BaseRequest, name: str, connection: Connection | None
) -> web.Response:
    if browsers.refusal(request.method, request.headers) is not None:
        return _refused(403, "ForbiddenException", "Forbidden")
    if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 "):
        return _refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if request.method not in ("POST", "GET", "DELETE"):
        return _refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if request.method == "POST":
        data = await body.read(request, MESSAGE_LIMIT)
        if data is None:
            refused = _refused(413, "PayloadTooLargeException", "Message too long")
            refused.force_close()  # the rest of the body need not be read
            return refused
    else:
        data = b""
    if connection is None or connection.closing:
        return _refused(410, "GoneException", f"The connection {name} is gone")
    if request.method == "GET":
        return _described(connection)
    if request.method == "DELETE":
        connection.close_soon(_CLOSED_NORMALLY, "Connection Closed Normally")
        return web.Response(status=204)
    try:
        connection.post(data)
    except OutboxFull:
        return _refused(429, "LimitExceededException", "The client does not read fast enough")
    return web.Response(status=200)


def _described(connection: Connection) -> web.Response:
    client = connection.client
    return web.json_response(
        {
            "connectedAt": _time(client.connected_at),
            "identity": {"sourceIp": client.source_ip, "userAgent": client.user_agent},
            "lastActiveAt": _time(connection.last_active_at),
        }
    )


def _refused(status: int, error: str, message: str) -> web.Response:
    return web.json_response(
        {"message": message}, status=status, headers={"x-amzn-ErrorType": error}
    )


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
