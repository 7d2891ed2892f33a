"""Rung by SQS: posts new vacancies to the BFF, which shows them to everybody."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Not written yet."""
    raise NotImplementedError
