"""POST /api/jobs/search and GET /api/jobs/{id}: vacancies of hh.ru, for the BFF."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.hh.environment import search_queue
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, Api
from ullgetthejob.vacancies.search import JobAnswer, SearchAnswer, read, search

settings.require(*settings.SERVICE_CALLS, *settings.HH_CALLS, *settings.HH_APPLICATION)

settings.require(*settings.SERVICE_CALLS, *settings.HH_CALLS, *settings.HH_APPLICATION)

settings.require(*settings.SERVICE_CALLS, *settings.HH_CALLS, *settings.HH_APPLICATION)

api = Api(people, bootstrap.open_context_with_hh)


@api.post("/api/jobs/search", auth=SERVICE, refuses=(429,))
def search_jobs(body: SearchParameters, context: Context) -> SearchAnswer:
    """Search with any of hh.ru's parameters; the vacancies found are stored."""
    return search(body, search_queue(), context)


@api.get("/api/jobs/{id}", auth=SERVICE)
def read_job(id: str, context: Context) -> JobAnswer:
    """Return one job with its full description, by hh.ru's vacancy id or by the row's uuid."""
    return read(id, context)


handler = api.handler
