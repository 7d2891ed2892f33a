"""POST /api/jobs/search, POST /api/jobs/import and GET /api/jobs/{id}: vacancies of hh.ru.

The import lives here since it reads vacancies and searches as the others do: with the application's
token, in the queue of searches. Of the rest it only reads how full a bucket is.
"""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.hh.environment import search_queue
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.job_import.models import ImportAnswer, ImportBody
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, USER_OR_SERVICE, Api
from ullgetthejob.vacancies.search import JobAnswer, SearchAnswer, read, search

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    *settings.SUBMIT_BUCKET,
    settings.FETCH_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.post("/api/jobs/search", auth=SERVICE, refuses=(429,))
def search_jobs(body: SearchParameters, context: Context) -> SearchAnswer:
    """Search with any of hh.ru's parameters; the vacancies found are stored."""
    return search(body, search_queue(), context)


@api.post("/api/jobs/import", auth=USER_OR_SERVICE)
def import_jobs(body: ImportBody, person: Person, context: Context) -> ImportAnswer:
    """Store the vacancies of up to 100 links, to vacancies or searches; with apply, add them to a
    campaign. A wrong link fails alone, and the same links again add nothing twice."""
    from ullgetthejob.job_import.commands import import_links  # of campaigns, which search has not

    return import_links(body, search_queue(), person, context)


@api.get("/api/jobs/{id}", auth=SERVICE)
def read_job(id: str, context: Context) -> JobAnswer:
    """Return one job with its full description, by hh.ru's vacancy id or by the row's uuid."""
    return read(id, context)


handler = api.handler
