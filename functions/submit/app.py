"""POST /api/applications/submit: accepts an application, which the submitter sends to hh.ru, or,
with ``dry_run``, says what would come of it."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.acceptance import accept
from ullgetthejob.applications.gates import DryRun, dry_run
from ullgetthejob.applications.submission import SubmitBody, Submitted
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.post("/api/applications/submit", auth=SERVICE, answers=(202, 200))
def submit_application(
    body: SubmitBody, person: Person, context: Context
) -> Response[Submitted | DryRun]:
    """Accept an application (202); a repeated request returns the existing one. With dry_run,
    return what would come of it, gate by gate, and accept nothing (200)."""
    if body.dry_run:
        return Response(200, dry_run(body, person, context))
    return Response(202, accept(body, person, context))


handler = api.handler
