"""The WebSocket's routes $connect and $disconnect."""

from typing import Any

from ullgetthejob.realtime import websocket_handlers


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """The answer to API Gateway; nothing of it but the status of $connect reaches the client."""
    return websocket_handlers.handler(event, context)
