"""POST /api/applications/submit: accepts an application, which the submitter sends to hh.ru."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.acceptance import SubmitBody, Submitted, accept
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context)


@api.post("/api/applications/submit", auth=SERVICE, answers=(202,))
def submit_application(body: SubmitBody, person: Person, context: Context) -> Response[Submitted]:
    """Accept an application; a repeated request returns the existing one."""
    return Response(202, accept(body, person, context))


handler = api.handler
