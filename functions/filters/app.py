"""/api/filters: the rules for vacancies that a person does not want to apply to."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.filters import commands
from ullgetthejob.filters.models import (
    FiltersAnswer,
    FiltersBody,
    Preview,
    PreviewBody,
)
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

settings.require(*settings.SERVICE_CALLS)

api = Api(people, bootstrap.open_context)


@api.get("/api/filters", auth=USER_OR_SERVICE)
def show_filters(person: Person, context: Context) -> FiltersAnswer:
    """Return the rules of the person's account."""
    return commands.show(person, context)


@api.put("/api/filters", auth=USER_OR_SERVICE)
def replace_filters(body: FiltersBody, person: Person, context: Context) -> FiltersAnswer:
    """Replace all rules; the new ones also apply to applications that are already queued."""
    return commands.replace(body, person, context)


@api.post("/api/filters/preview", auth=USER_OR_SERVICE)
def preview_filters(body: PreviewBody, person: Person, context: Context) -> Preview:
    """Return what rules would drop, and why, without changing anything."""
    return commands.preview(body, person, context)


handler = api.handler
