"""Core's token bucket, as a worker of the benchmark."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from benchmarks.limiters.worker import serve
from ullgetthejob.platform import kept_connections
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import Denied


class CoreLimiter:
    """:mod:`ullgetthejob.rate_limits.token_bucket` as functions use it."""

    def __init__(self) -> None:
        self.requests = 0
        sent = kept_connections._Connection  # every request that goes out, retries included
        exchange = sent.exchange

        def counted(connection: Any, request: bytes, deadline: float) -> kept_connections.Response:
            self.requests += 1
            return exchange(connection, request, deadline)

        sent.exchange = counted  # type: ignore[method-assign,assignment]

    def acquire(self, key: str, burst: int, per_second: int) -> float | None:
        """Acquire a token: see :class:`benchmarks.limiters.worker.Limiter`."""
        os.environ["RATE_LIMIT_SUBMIT_CAPACITY"] = str(burst)
        os.environ["RATE_LIMIT_SUBMIT_PER_HOUR"] = str(per_second * 3600)
        owner, now = uuid5(NAMESPACE_OID, key), datetime.now(UTC)
        result = token_bucket.acquire("submit", owner, spend_id=uuid4().hex, now=now)
        if isinstance(result, Denied):
            return (result.next_at - datetime.now(UTC)).total_seconds()
        return None


if __name__ == "__main__":
    serve(CoreLimiter())
