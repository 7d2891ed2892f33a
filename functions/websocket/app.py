"""The WebSocket's routes $connect and $disconnect."""

from typing import Any

from ullgetthejob.platform import settings
from ullgetthejob.realtime import connecting

settings.require(
    settings.ONE_TIME_TABLE,
    settings.CONNECTION_TABLE,
    settings.WEBSOCKET_API_ENDPOINT,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Return the response to API Gateway, which passes on the status of $connect only."""
    return connecting.handler(event, context)
