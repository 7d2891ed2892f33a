"""zae-limiter's token bucket, as a worker of the benchmark; runs in its own environment.

It is the synchronous limiter with its default settings, on its own table.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from zae_limiter import (  # type: ignore[import-not-found]
    Limit,
    RateLimitExceeded,
    SyncRateLimiter,
    SyncRepository,
)

from benchmarks.limiters.worker import serve


class ZaeLimiter:
    """zae-limiter, as its documentation uses it."""

    def __init__(self) -> None:
        self.requests = 0
        warnings.simplefilter("ignore", DeprecationWarning)  # of the setup without CloudFormation
        repository = SyncRepository(
            os.environ["ZAE_TABLE"],
            region=os.environ["AWS_REGION"],
            endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
            _skip_deprecation_warning=True,
        )
        repository.create_table()
        repository.register_namespace("default")
        repository._get_client().meta.events.register("before-send.*", self._count)
        self._limiter = SyncRateLimiter(repository=repository)

    def _count(self, **_: Any) -> None:
        self.requests += 1

    def acquire(self, key: str, burst: int, per_second: int) -> float | None:
        """Acquire a token: see :class:`benchmarks.limiters.worker.Limiter`."""
        limits = [Limit.per_second("submits", per_second, burst)]
        try:
            with self._limiter.acquire(key, "submit", {"submits": 1}, limits=limits):
                return None
        except RateLimitExceeded as error:
            return float(error.retry_after_seconds)


if __name__ == "__main__":
    serve(ZaeLimiter())
