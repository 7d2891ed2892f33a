"""The WebSocket's routes $connect and $disconnect."""

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
    """Return the response to API Gateway, which passes on the status of $connect only."""
    return websocket_handlers.handler(event, context)
