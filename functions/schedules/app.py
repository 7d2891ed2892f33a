"""/api/schedules: saved searches, which run on a schedule or on request."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Api, Response
from ullgetthejob.saved_searches import commands, models

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.BROADCASTER_QUEUE_URL,
    settings.FETCH_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

api = Api(people)


@api.post("/api/schedules", auth=USER_OR_SERVICE, answers=(201, 200))
def save_search(
    body: models.CreateBody, person: Person, caller: Caller
) -> Response[models.OneSearch]:
    """Save a search (201); the same filters again return the existing one (200)."""
    with postgres.session() as pg:
        search, is_new = commands.create_search(
            body, person, caller, hh=client(), connection=pg, now=clock.now()
        )
    return Response(201 if is_new else 200, search)


@api.get("/api/schedules", auth=USER_OR_SERVICE)
def show_searches(person: Person) -> models.SavedSearches:
    """Return the saved searches of the person's account, the oldest first."""
    with postgres.session() as pg:
        return commands.list_searches(person, connection=pg)


@api.get("/api/schedules/{id}", auth=USER_OR_SERVICE)
def show_search(id: str, person: Person) -> models.OneSearch:
    """Return one saved search, with its next run and its last."""
    with postgres.session() as pg:
        return commands.read_search(id, person, connection=pg)


@api.patch("/api/schedules/{id}", auth=USER_OR_SERVICE)
def edit_search(
    id: str, body: models.ChangeBody, person: Person, caller: Caller
) -> models.OneSearch:
    """Change the given fields of a saved search; omitted ones stay."""
    with postgres.session() as pg:
        return commands.change_search(
            id, body, person, caller, hh=client(), connection=pg, now=clock.now()
        )


@api.delete("/api/schedules/{id}", auth=USER_OR_SERVICE)
def forget_search(id: str, person: Person, caller: Caller) -> models.Deleted:
    """Delete a saved search."""
    with postgres.session() as pg:
        return commands.delete_search(id, person, caller, connection=pg, now=clock.now())


@api.post("/api/schedules/{id}/fetch", auth=USER_OR_SERVICE)
def run_search(id: str, person: Person, caller: Caller) -> models.Fetched:
    """Run a saved search now, and return the run, which may continue in the background."""
    with postgres.session() as pg:
        return commands.run_search(id, person, caller, hh=client(), connection=pg, clock=clock.now)


handler = api.handler
