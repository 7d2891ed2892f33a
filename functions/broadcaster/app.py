"""Rung by SQS for accounts: posts what is new to their sockets."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Not written yet."""
    raise NotImplementedError
