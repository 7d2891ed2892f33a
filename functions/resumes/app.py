"""A person's resumes and status at hh.ru, and how well the resumes fit a vacancy."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people, resumes
from ullgetthejob.accounts.people import Person
from ullgetthejob.accounts.resumes import ResumeAnswer, Resumes, Status, list_resumes, read_resume
from ullgetthejob.fit import commands, models
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER, USER_OR_SERVICE, Api

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
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


@api.get("/api/jobs/{id}/fit", auth=USER_OR_SERVICE)
def show_fit(id: str, query: models.FitQuery, person: Person, context: Context) -> models.FitAnswer:
    """Return how well the person's resume fits a job, 0 to 100, with the reasons in words."""
    return commands.show_fit(id, query, person, context)


@api.get("/api/fit/weights", auth=USER_OR_SERVICE)
def show_weights(person: Person, context: Context) -> models.WeightsAnswer:
    """Return how much each part of the fit counts for the person's account."""
    return commands.show_weights(person, context)


@api.put("/api/fit/weights", auth=USER_OR_SERVICE)
def replace_weights(
    body: models.WeightsBody, person: Person, context: Context
) -> models.WeightsAnswer:
    """Replace the weights; one that is left out has its default again."""
    return commands.replace_weights(body, person, context)


handler = api.handler
