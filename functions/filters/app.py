"""/api/filters: the rules for vacancies that a person does not want to apply to."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.filters import commands
from ullgetthejob.applications.filters.models import (
    FiltersAnswer,
    FiltersBody,
    Preview,
    PreviewBody,
)
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

settings.require(*settings.SERVICE_CALLS)

api = Api(people)


@api.get("/api/filters", auth=USER_OR_SERVICE)
def show_filters(person: Person) -> FiltersAnswer:
    """Return the rules of the person's account."""
    with postgres.session() as connection:
        return commands.show(person=person, connection=connection)


@api.put("/api/filters", auth=USER_OR_SERVICE)
def replace_filters(body: FiltersBody, person: Person, caller: Caller) -> FiltersAnswer:
    """Replace all rules; the new ones also apply to applications that are already queued."""
    with postgres.session() as connection:
        return commands.replace(
            body, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/filters/preview", auth=USER_OR_SERVICE)
def preview_filters(body: PreviewBody, person: Person) -> Preview:
    """Return what rules would drop, and why, without changing anything."""
    with postgres.session() as connection:
        return commands.preview(body, person=person, connection=connection, now=clock.now())


handler = api.handler
