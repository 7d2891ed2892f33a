"""A person's resumes at hh.ru, raising them, and how well they fit a vacancy."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people, resumes
from ullgetthejob.accounts.people import Person
from ullgetthejob.fit import commands as fit
from ullgetthejob.fit.models import FitAnswer, FitQuery, WeightsAnswer, WeightsBody
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER, USER_OR_SERVICE, Api
from ullgetthejob.resume_raises import commands as raises
from ullgetthejob.resume_raises.models import ListedResumes, RaiseAnswer, ScheduleBody

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


@api.get("/api/hh/resumes", auth=USER)
def show_resumes(person: Person, context: Context) -> ListedResumes:
    """Return all resumes of the person, which employers see each, and when it was raised."""
    return raises.list_resumes(person, context)


@api.get("/api/hh/resumes/{id}", auth=USER)
def show_resume(id: str, person: Person, context: Context) -> resumes.ResumeAnswer:
    """Return one full resume, with the fields that the BFF's import needs at the top level."""
    return resumes.read_resume(id, person, context)


@api.get("/api/hh/resumes/{id}/raise", auth=USER_OR_SERVICE)
def show_raise(id: str, person: Person, context: Context) -> RaiseAnswer:
    """Return when a resume was raised, with hh.ru's proof, and when it is raised next."""
    return raises.show_state(id, person, context)


@api.post("/api/hh/resumes/{id}/raise", auth=USER_OR_SERVICE)
def raise_resume(id: str, person: Person, context: Context) -> RaiseAnswer:
    """Raise a resume to the top of employers' searches, once for a press."""
    return raises.raise_now(id, person, context)


@api.put("/api/hh/resumes/{id}/raise-schedule", auth=USER_OR_SERVICE)
def replace_schedule(id: str, body: ScheduleBody, person: Person, context: Context) -> RaiseAnswer:
    """Replace the schedule on which a resume is raised."""
    return raises.replace_schedule(id, body, person, context)


@api.get("/api/jobs/{id}/fit", auth=USER_OR_SERVICE)
def show_fit(id: str, query: FitQuery, person: Person, context: Context) -> FitAnswer:
    """Return how well the person's resume fits a job, 0 to 100, with the reasons in words."""
    return fit.show_fit(id, query, person, context)


@api.get("/api/fit/weights", auth=USER_OR_SERVICE)
def show_weights(person: Person, context: Context) -> WeightsAnswer:
    """Return how much each part of the fit counts for the person's account."""
    return fit.show_weights(person, context)


@api.put("/api/fit/weights", auth=USER_OR_SERVICE)
def replace_weights(body: WeightsBody, person: Person, context: Context) -> WeightsAnswer:
    """Replace the weights; one that is left out has its default again."""
    return fit.replace_weights(body, person, context)


handler = api.handler
