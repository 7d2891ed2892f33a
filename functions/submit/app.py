"""POST /api/applications/submit: accepts an application, which the submitter sends to hh.ru."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.acceptance import SubmitBody, Submitted, accept
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people)


@api.post("/api/applications/submit", auth=SERVICE, answers=(202,))
def submit_application(body: SubmitBody, person: Person, caller: Caller) -> Response[Submitted]:
    """Accept an application; a repeated request returns the existing one."""
    with postgres.session() as connection:
        accepted = accept(
            body, person=person, caller=caller, connection=connection, now=clock.now()
        )
    return Response(202, accepted)


handler = api.handler
