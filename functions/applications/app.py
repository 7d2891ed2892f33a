"""/api/applications: the state of a person's applications, and the person's commands on them."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import commands, models
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

settings.require(
    *settings.SERVICE_CALLS,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context)


@api.get("/api/applications", auth=USER_OR_SERVICE)
def show_applications(
    query: models.ApplicationQuery, person: Person, context: Context
) -> models.Applications:
    """Return a page of the applications of the person's account, the newest first."""
    return commands.list_applications(query, person, context)


@api.get("/api/applications/{id}", auth=USER_OR_SERVICE)
def show_application(id: str, person: Person, context: Context) -> models.ApplicationWithHistory:
    """Return one application, with its history."""
    return commands.read_application(id, person, context)


@api.post("/api/applications/{id}/confirm", auth=USER_OR_SERVICE)
def confirm_application(id: str, person: Person, context: Context) -> models.ApplicationWithHistory:
    """Record that the person has done the last step on hh.ru."""
    return commands.confirm(id, person, context)


@api.post("/api/applications/{id}/cancel", auth=USER_OR_SERVICE)
def cancel_application(id: str, person: Person, context: Context) -> models.ApplicationWithHistory:
    """Cancel an application before it is sent to hh.ru."""
    return commands.cancel(id, person, context)


@api.post("/api/applications/{id}/retry", auth=USER_OR_SERVICE)
def retry_application(
    id: str, body: models.RetryBody, person: Person, context: Context
) -> models.ApplicationWithHistory:
    """Retry an application that hh.ru refused, optionally with another letter."""
    return commands.retry(id, body, person, context)


handler = api.handler
