"""/api/applications: where a person's applications stand, and what the person does about them."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import commands
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

api = Api(people)


@api.get("/api/applications", auth=USER_OR_SERVICE)
def show_applications(query: commands.ApplicationQuery, person: Person) -> commands.Applications:
    """A page of the applications of the person's account, the newest first."""
    with postgres.session() as connection:
        return commands.list_applications(query, person=person, connection=connection)


@api.get("/api/applications/{id}", auth=USER_OR_SERVICE)
def show_application(id: str, person: Person) -> commands.ApplicationWithHistory:
    """One application, with its history."""
    with postgres.session() as connection:
        return commands.read_application(id, person=person, connection=connection)


@api.post("/api/applications/{id}/confirm", auth=USER_OR_SERVICE)
def confirm_application(id: str, person: Person, caller: Caller) -> commands.ApplicationWithHistory:
    """The person has done the last step on hh.ru."""
    with postgres.session() as connection:
        return commands.confirm(
            id, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/applications/{id}/cancel", auth=USER_OR_SERVICE)
def cancel_application(id: str, person: Person, caller: Caller) -> commands.ApplicationWithHistory:
    """Give an application up before it goes out."""
    with postgres.session() as connection:
        return commands.cancel(
            id, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/applications/{id}/retry", auth=USER_OR_SERVICE)
def retry_application(
    id: str, body: commands.RetryBody, person: Person, caller: Caller
) -> commands.ApplicationWithHistory:
    """Try again what hh.ru did not take, maybe with another letter."""
    with postgres.session() as connection:
        return commands.retry(
            id, body, person=person, caller=caller, connection=connection, now=clock.now()
        )


handler = api.handler
