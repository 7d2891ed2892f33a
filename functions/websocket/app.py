"""The WebSocket's routes: $connect, $disconnect and $default."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """The answer to API Gateway; nothing of it but the status of $connect reaches the client."""
    return {"statusCode": 200}
