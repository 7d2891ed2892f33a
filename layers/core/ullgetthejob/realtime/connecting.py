"""The WebSocket's routes ``$connect`` and ``$disconnect``.

``$connect`` consumes the ticket and stores the connection; nothing can be posted before it has
returned. What the client sends then is in :mod:`.frames`, which this module does without: a new
connection waits for its import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import clock
from ullgetthejob.platform.errors import AppError, Unauthorized, Unavailable
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.realtime import connections, tickets
from ullgetthejob.realtime.connections import TooManyConnections
from ullgetthejob.realtime.websocket_invocations import endpoint_of, read_end_of_log, respond

if TYPE_CHECKING:
    from datetime import datetime

STATUS: dict[type[AppError], int] = {  # of $connect
    Unauthorized: 401,
    TooManyConnections: 429,
    Unavailable: 503,
    AppError: 500,
}


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Handle an invocation of Lambda."""
    return respond(event, context, _handle)


def _handle(event: dict[str, Any], request: dict[str, Any]) -> int:
    connection_id = request["connectionId"]
    if request["eventType"] == "DISCONNECT":
        on_disconnect(connection_id)
        return 200
    ticket = (event.get("queryStringParameters") or {}).get("ticket", "")
    return _handle_connect(connection_id, ticket, request["connectedAt"], endpoint_of(request))


def _handle_connect(connection_id: str, ticket: str, connected_at_ms: int, endpoint: str) -> int:
    try:
        on_connect(
            connection_id,
            ticket,
            connected_at_ms=connected_at_ms,
            now=clock.now(),
            endpoint=endpoint,
        )
    except AppError as error:
        logger.append_keys(error=error.code)
        count("SocketsRefused")
        return next(
            STATUS[error_type] for error_type in type(error).__mro__ if error_type in STATUS
        )
    count("SocketsConnected")
    return 200


def on_connect(
    connection_id: str, ticket: str, *, connected_at_ms: int, now: datetime, endpoint: str
) -> None:
    """Store the connection for the holder of the ticket.

    *endpoint*: the address of ``@connections``, to find connections that are gone when the account
    is full. Raises :class:`Unauthorized`, :class:`TooManyConnections` and :class:`Unavailable`.
    """
    holder = tickets.consume(ticket, by=connection_id, now=now)
    if read_end_of_log(holder.user_id, holder.account_id, holder.proven_at) is None:
        raise tickets.invalid_ticket("revoked")

    def find_gone(ids: list[str]) -> list[str]:
        from ullgetthejob.realtime import sockets  # with threads, which few $connects need

        return sockets.client_for(endpoint).find_gone(ids)

    connections.add(connection_id, holder, connected_at_ms=connected_at_ms, find_gone=find_gone)


def on_disconnect(connection_id: str) -> None:
    """Delete the connection, which has ended."""
    connection = connections.find(connection_id)
    if connection is not None:
        connections.delete(connection_id, connection.account_id)
