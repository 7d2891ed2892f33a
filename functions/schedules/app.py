"""/api/schedules: saved searches, which run on a schedule or on request."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Api, Response
from ullgetthejob.saved_searches import commands as saved

api = Api(people)


@api.post("/api/schedules", auth=USER_OR_SERVICE, answers=(201, 200))
def save_search(
    body: saved.CreateBody, person: Person, caller: Caller
) -> Response[saved.OneSearch]:
    """Save a search (201); the same filters again return the existing one (200)."""
    with postgres.session() as pg:
        search, is_new = saved.create_search(
            body, person, caller, hh=client(), connection=pg, now=clock.now()
        )
    return Response(201 if is_new else 200, search)


@api.get("/api/schedules", auth=USER_OR_SERVICE)
def show_searches(person: Person) -> saved.SavedSearches:
    """Return the saved searches of the person's account, the oldest first."""
    with postgres.session() as pg:
        return saved.list_searches(person, connection=pg)


@api.get("/api/schedules/{id}", auth=USER_OR_SERVICE)
def show_search(id: str, person: Person) -> saved.OneSearch:
    """Return one saved search, with its next run and its last."""
    with postgres.session() as pg:
        return saved.read_search(id, person, connection=pg)


@api.patch("/api/schedules/{id}", auth=USER_OR_SERVICE)
def edit_search(id: str, body: saved.ChangeBody, person: Person, caller: Caller) -> saved.OneSearch:
    """Change the given fields of a saved search; omitted ones stay."""
    with postgres.session() as pg:
        return saved.change_search(
            id, body, person, caller, hh=client(), connection=pg, now=clock.now()
        )


@api.delete("/api/schedules/{id}", auth=USER_OR_SERVICE)
def forget_search(id: str, person: Person, caller: Caller) -> saved.Deleted:
    """Delete a saved search."""
    with postgres.session() as pg:
        return saved.delete_search(id, person, caller, connection=pg, now=clock.now())


@api.post("/api/schedules/{id}/fetch", auth=USER_OR_SERVICE)
def run_search(id: str, person: Person, caller: Caller) -> saved.Fetched:
    """Run a saved search now, and return the run, which may continue in the background."""
    with postgres.session() as pg:
        return saved.run_search(id, person, caller, hh=client(), connection=pg, clock=clock.now)


handler = api.handler
