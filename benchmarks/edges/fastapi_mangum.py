"""FastAPI behind Mangum, as a worker of the benchmark; needs its packages on the path.

As in :mod:`benchmarks.edges.powertools`, an answer is validated by its model alone.
"""

import hmac
import os
import time
from collections.abc import Callable
from typing import Annotated, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from fastapi import Depends, FastAPI, Header, HTTPException  # type: ignore[import-not-found]
from mangum import Mangum  # type: ignore[import-not-found]

from benchmarks.edges import content
from benchmarks.edges.worker import serve
from ullgetthejob.hh.search_parameters import SearchParameters

SECRET = os.environ["ORCHESTRATOR_SECRET"].encode()


def authenticate(x_core_secret: Annotated[str, Header()] = "") -> None:
    """Raise unless the caller knows the service's secret."""
    if not hmac.compare_digest(x_core_secret.encode(), SECRET):
        raise HTTPException(401, "the header X-Core-Secret is missing or wrong")


def load() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the handler."""
    logger, metrics = Logger(), Metrics()
    app = FastAPI()

    @app.post(  # type: ignore[untyped-decorator]
        "/api/jobs/search", response_model=None, dependencies=[Depends(authenticate)]
    )
    async def search_jobs(body: SearchParameters) -> Any:
        metrics.add_metric(name="Searches", unit=MetricUnit.Count, value=1)
        assert body.text
        return content.search_answer()

    @app.get(  # type: ignore[untyped-decorator]
        "/api/jobs/{id}", response_model=None, dependencies=[Depends(authenticate)]
    )
    async def read_job(id: str) -> Any:
        metrics.add_metric(name="JobsRead", unit=MetricUnit.Count, value=1)
        assert id
        return content.job_answer()

    mangum = Mangum(app, lifespan="off")

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        began = time.perf_counter()
        answer: dict[str, Any] = mangum(event, context)
        milliseconds = round((time.perf_counter() - began) * 1000, 3)
        logger.info("invocation", result=answer["statusCode"], ms=milliseconds)
        return answer

    return handler


if __name__ == "__main__":
    serve(load)
