"""Core's own edge, as a worker of the benchmark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.edges import content
from benchmarks.edges.worker import serve
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.http import SERVICE, Api
from ullgetthejob.platform.telemetry import count
from ullgetthejob.vacancies.search import JobAnswer, SearchAnswer


@contextmanager
def no_context(_caller: object) -> Iterator[Any]:
    """Open nothing: what a function does is not measured here."""
    yield None


def load() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the handler."""
    api = Api(None, no_context)

    @api.post("/api/jobs/search", auth=SERVICE)
    def search_jobs(body: SearchParameters) -> SearchAnswer:
        count("Searches")
        assert body.text
        return content.search_answer()

    @api.get("/api/jobs/{id}", auth=SERVICE)
    def read_job(id: str) -> JobAnswer:
        count("JobsRead")
        assert id
        return content.job_answer()

    return api.handler


if __name__ == "__main__":
    serve(load)
