"""The WebSocket's route $default: frames of clients. It is separate from $connect, so that a flood
of frames takes no concurrency that new connections need."""

from typing import Any

from ullgetthejob.platform import settings
from ullgetthejob.realtime import websocket_handlers

settings.require(
    settings.ONE_TIME_TABLE,
    settings.CONNECTION_TABLE,
    settings.BROADCASTER_QUEUE_URL,
    settings.WEBSOCKET_API_ENDPOINT,
)

settings.require(
    settings.ONE_TIME_TABLE,
    settings.CONNECTION_TABLE,
    settings.BROADCASTER_QUEUE_URL,
    settings.WEBSOCKET_API_ENDPOINT,
)

settings.require(
    settings.ONE_TIME_TABLE,
    settings.CONNECTION_TABLE,
    settings.BROADCASTER_QUEUE_URL,
    settings.WEBSOCKET_API_ENDPOINT,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Return the response to API Gateway, which does not pass it on to the client."""
    return websocket_handlers.handler(event, context)
