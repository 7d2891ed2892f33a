"""Powertools' resolver with validation, as a worker of the benchmark.

The functions declare no answer, so that the resolver does not validate it a second time: the model
has done so, as it does at Core's edge.
"""

import hmac
import os
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import UnauthorizedError
from aws_lambda_powertools.metrics import MetricUnit

from benchmarks.edges import content
from benchmarks.edges.worker import serve
from ullgetthejob.hh.search_parameters import SearchParameters


def load() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the handler."""
    logger, metrics = Logger(), Metrics()
    app = APIGatewayHttpResolver(enable_validation=True)
    secret = os.environ["ORCHESTRATOR_SECRET"].encode()

    def authenticate() -> None:
        sent = app.current_event.headers.get("x-core-secret", "")
        if not hmac.compare_digest(sent.encode(), secret):
            raise UnauthorizedError("the header X-Core-Secret is missing or wrong")

    @app.post("/api/jobs/search")
    def search_jobs(body: SearchParameters):  # type: ignore[no-untyped-def]
        authenticate()
        metrics.add_metric(name="Searches", unit=MetricUnit.Count, value=1)
        assert body.text
        return content.search_answer()

    @app.get("/api/jobs/<id>")
    def read_job(id: str):  # type: ignore[no-untyped-def]
        authenticate()
        metrics.add_metric(name="JobsRead", unit=MetricUnit.Count, value=1)
        assert id
        return content.job_answer()

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        began = time.perf_counter()
        answer = app.resolve(event, context)
        milliseconds = round((time.perf_counter() - began) * 1000, 3)
        logger.info("invocation", result=answer["statusCode"], ms=milliseconds)
        return answer

    return handler


if __name__ == "__main__":
    serve(load)
