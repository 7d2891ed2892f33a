"""The WebSocket's route $default: what clients say. Apart from $connect, so that a flood of frames
takes no place that somebody needs to connect."""

from typing import Any

from ullgetthejob.realtime import websocket_handlers


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """The answer to API Gateway; nothing of it reaches the client."""
    return websocket_handlers.handler(event, context)
