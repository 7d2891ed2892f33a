"""GET /api/hh/status, /api/hh/resumes and /api/hh/resumes/{id}: a person's resumes at hh.ru."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people, resumes
from ullgetthejob.accounts.people import Person
from ullgetthejob.accounts.resumes import ResumeAnswer, Resumes, Status, list_resumes, read_resume
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER, Api

settings.require(
    *settings.USER_TOKENS,
    *settings.HH_CALLS,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.get("/api/hh/status", auth=USER)
def show_status(person: Person, context: Context) -> Status:
    """Return whether the person is connected to hh.ru, as far as Core knows."""
    return resumes.show_status(person, context)


@api.get("/api/hh/resumes", auth=USER)
def show_resumes(person: Person, context: Context) -> Resumes:
    """Return all resumes of the person."""
    return list_resumes(person, context)


@api.get("/api/hh/resumes/{id}", auth=USER)
def show_resume(id: str, person: Person, context: Context) -> ResumeAnswer:
    """Return one full resume, with the fields that the BFF's import needs at the top level."""
    return read_resume(id, person, context)


handler = api.handler
