"""/api/realtime/*: tickets for the WebSocket."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Not written yet."""
    raise NotImplementedError
