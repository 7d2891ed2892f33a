"""/api/schedules: saved searches, which run by themselves, or now."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.hh.environment import client
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Answer, Api
from ullgetthejob.vacancies import saved_searches
from ullgetthejob.vacancies.saved_searches import (
    ChangeBody,
    CreateBody,
    Deleted,
    Fetched,
    SavedSearchAnswer,
    SavedSearches,
)

api = Api(people)


@api.post("/api/schedules", who=USER_OR_SERVICE)
def create_schedule(body: CreateBody, person: Person, caller: Caller) -> Answer[SavedSearchAnswer]:
    """Save a search (201); the same filters again are answered with the first one (200)."""
    with postgres.session() as connection:
        saved, is_new = saved_searches.create(
            body,
            person=person,
            caller=caller,
            hh=client(),
            connection=connection,
            now=clock.now(),
        )
    return Answer(201 if is_new else 200, saved)


@api.get("/api/schedules", who=USER_OR_SERVICE)
def show_schedules(person: Person) -> SavedSearches:
    """The saved searches of the person's account, the oldest first."""
    with postgres.session() as connection:
        return saved_searches.show_all(person=person, connection=connection)


@api.get("/api/schedules/{id}", who=USER_OR_SERVICE)
def show_schedule(id: str, person: Person) -> SavedSearchAnswer:
    """One saved search, with its next run and its last."""
    with postgres.session() as connection:
        return saved_searches.show(id, person=person, connection=connection)


@api.patch("/api/schedules/{id}", who=USER_OR_SERVICE)
def change_schedule(id: str, body: ChangeBody, person: Person, caller: Caller) -> SavedSearchAnswer:
    """Change some of a saved search; what is left out stays."""
    with postgres.session() as connection:
        return saved_searches.change(
            id,
            body,
            person=person,
            caller=caller,
            hh=client(),
            connection=connection,
            now=clock.now(),
        )


@api.delete("/api/schedules/{id}", who=USER_OR_SERVICE)
def delete_schedule(id: str, person: Person, caller: Caller) -> Deleted:
    """Forget a saved search."""
    with postgres.session() as connection:
        return saved_searches.delete(
            id, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/schedules/{id}/fetch", who=USER_OR_SERVICE)
def fetch_schedule(id: str, person: Person, caller: Caller) -> Fetched:
    """Ask hh.ru now; answers with the run, which may still go on."""
    with postgres.session() as connection:
        return saved_searches.fetch_now(
            id,
            person=person,
            hh=client(),
            connection=connection,
            clock=clock.now,
            request_id=caller.request_id,
        )


handler = api.handler
