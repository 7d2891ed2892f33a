"""The WebSocket's routes $connect and $disconnect."""

from typing import Any

from ullgetthejob.realtime import websocket_handlers


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Return the response to API Gateway, which passes on the status of $connect only."""
    return websocket_handlers.handler(event, context)
