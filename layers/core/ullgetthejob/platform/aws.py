"""boto3 clients: one of each kind an environment, made when first used (boto3 costs ~150 ms)."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    """The client of *service* with timeouts that a function outlives."""
    import boto3
    from botocore.config import Config

    return boto3.client(  # type: ignore[call-overload]
        service,
        config=Config(
            connect_timeout=1,
            read_timeout=3,
            retries={"mode": "standard", "max_attempts": 3},
            parameter_validation=False,
        ),
    )


def error_code(error: Exception) -> str:
    """AWS's code of a botocore ``ClientError`` (``ResourceNotFoundException``); else empty."""
    response = getattr(error, "response", None)
    return response["Error"]["Code"] if response else ""
