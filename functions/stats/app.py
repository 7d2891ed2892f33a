"""/api/stats: what became of a person's applications."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.files import File
from ullgetthejob.platform.http import USER_OR_SERVICE, Api
from ullgetthejob.statistics import csv_export, funnel, models, silent

settings.require(*settings.SERVICE_CALLS)

api = Api(people, bootstrap.open_context)


@api.get("/api/stats", auth=USER_OR_SERVICE)
def show_stats(query: models.StatsQuery, person: Person, context: Context) -> models.Stats:
    """Return how many vacancies and applications ever reached each stage, with intervals, and how
    long answers take; as a whole, and by group."""
    return funnel.read_stats(query, person, context)


@api.get("/api/stats/silent", auth=USER_OR_SERVICE)
def list_silent(query: models.SilentQuery, person: Person, context: Context) -> models.SilentPage:
    """Return the applications that were sent two weeks ago or earlier and have no answer, each with
    a suggestion."""
    return silent.list_silent(query, person, context)


@api.get("/api/stats.csv", auth=USER_OR_SERVICE)
def export_stats(query: models.CsvQuery, person: Person, context: Context) -> File:
    """Return the applications with the times of their stages, or the funnel, as CSV; where the
    header Link (rel="next") comes with it, a part of the applications."""
    return csv_export.export(query, person, context)


handler = api.handler
