"""Rung by SQS for a search: fetches what is left of its run."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Not written yet."""
    raise NotImplementedError
