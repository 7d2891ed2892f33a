"""POST /api/jobs/search and GET /api/jobs/{id}: vacancies of hh.ru, for the BFF."""

from ullgetthejob.accounts import people
from ullgetthejob.hh.environment import client, search_queue
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.http import SERVICE, Api
from ullgetthejob.vacancies.search import JobAnswer, SearchAnswer, read, search

settings.require(*settings.SERVICE_CALLS, *settings.HH_CALLS, *settings.HH_APPLICATION)

api = Api(people)


@api.post("/api/jobs/search", auth=SERVICE, refuses=(429,))
def search_jobs(body: SearchParameters) -> SearchAnswer:
    """Search with any of hh.ru's parameters; the vacancies found are stored."""
    with postgres.session() as connection:
        return search(
            body, hh=client(), queue=search_queue(), connection=connection, clock=clock.now
        )


@api.get("/api/jobs/{id}", auth=SERVICE)
def read_job(id: str) -> JobAnswer:
    """Return one job with its full description, by hh.ru's vacancy id or by the row's uuid."""
    with postgres.session() as connection:
        return read(id, hh=client(), connection=connection, now=clock.now())


handler = api.handler
