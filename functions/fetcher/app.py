"""Run by EventBridge every minute: begins the runs of searches that are due."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Not written yet."""
    raise NotImplementedError
