"""The WebSocket's route $default: frames of clients. It is separate from $connect, so that a flood
of frames takes no concurrency that new connections need."""

from typing import Any

from ullgetthejob.platform import settings
from ullgetthejob.realtime import frames

settings.require(
    settings.CONNECTION_TABLE,
    settings.BROADCASTER_QUEUE_URL,
    settings.WEBSOCKET_API_ENDPOINT,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Return the response to API Gateway, which does not pass it on to the client."""
    return frames.handler(event, context)
