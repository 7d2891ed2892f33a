"""/api/applications: the state of a person's applications, and the person's commands on them."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import commands
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

settings.require(
    *settings.SERVICE_CALLS,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people)


@api.get("/api/applications", auth=USER_OR_SERVICE)
def show_applications(query: commands.ApplicationQuery, person: Person) -> commands.Applications:
    """Return a page of the applications of the person's account, the newest first."""
    with postgres.session() as connection:
        return commands.list_applications(query, person=person, connection=connection)


@api.get("/api/applications/{id}", auth=USER_OR_SERVICE)
def show_application(id: str, person: Person) -> commands.ApplicationWithHistory:
    """Return one application, with its history."""
    with postgres.session() as connection:
        return commands.read_application(id, person=person, connection=connection)


@api.post("/api/applications/{id}/confirm", auth=USER_OR_SERVICE)
def confirm_application(id: str, person: Person, caller: Caller) -> commands.ApplicationWithHistory:
    """Record that the person has done the last step on hh.ru."""
    with postgres.session() as connection:
        return commands.confirm(
            id, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/applications/{id}/cancel", auth=USER_OR_SERVICE)
def cancel_application(id: str, person: Person, caller: Caller) -> commands.ApplicationWithHistory:
    """Cancel an application before it is sent to hh.ru."""
    with postgres.session() as connection:
        return commands.cancel(
            id, person=person, caller=caller, connection=connection, now=clock.now()
        )


@api.post("/api/applications/{id}/retry", auth=USER_OR_SERVICE)
def retry_application(
    id: str, body: commands.RetryBody, person: Person, caller: Caller
) -> commands.ApplicationWithHistory:
    """Retry an application that hh.ru refused, optionally with another letter."""
    with postgres.session() as connection:
        return commands.retry(
            id, body, person=person, caller=caller, connection=connection, now=clock.now()
        )


handler = api.handler
