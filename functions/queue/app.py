"""/api/queue/*: campaigns, each with many vacancies under one workflow id."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.campaigns import commands, models, progress
from ullgetthejob.platform import clock, postgres, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import SERVICE, Api

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people)


@api.post("/api/queue/add", auth=SERVICE)
def add_vacancies(body: models.AddBody, person: Person, caller: Caller) -> models.AddedToCampaign:
    """Add vacancies to a campaign, each once; without workflow_id, to a new one."""
    with postgres.session() as pg:
        return commands.add_jobs(body, person=person, caller=caller, connection=pg, now=clock.now())


@api.post("/api/queue/batch-customize", auth=SERVICE)
def count_vacancies(body: models.CustomizeBody, person: Person) -> models.CampaignAnswer:
    """Record the number of vacancies of the campaign, and nothing else."""
    with postgres.session() as pg:
        return commands.count_jobs(body, person=person, connection=pg, now=clock.now())


@api.post("/api/queue/start-workflow", auth=SERVICE)
def start_campaign(
    body: models.WorkflowBody, person: Person, caller: Caller
) -> models.CampaignAnswer:
    """Start a campaign; starting it again changes nothing."""
    with postgres.session() as pg:
        return commands.start(body, person=person, caller=caller, connection=pg, now=clock.now())


@api.post("/api/queue/{act}", auth=SERVICE)
def change_campaign(
    act: str, body: models.WorkflowBody, person: Person, caller: Caller
) -> models.CampaignAnswer:
    """Pause a campaign (unsent applications stay unsent), resume it, or cancel it, by *act*."""
    with postgres.session() as pg:
        return commands.change(
            act, body, person=person, caller=caller, connection=pg, now=clock.now()
        )


@api.get("/api/queue/status", auth=SERVICE)
def show_campaign(query: models.StatusQuery, person: Person) -> models.CampaignStatus:
    """Return a campaign, its progress, and a page of its items."""
    with postgres.session() as pg:
        return progress.status(query, person=person, connection=pg, now=clock.now())


@api.get("/api/queue/progress", auth=SERVICE)
def show_campaign_progress(query: models.WorkflowQuery, person: Person) -> models.CampaignProgress:
    """Return the progress of a campaign, and when it may be completed."""
    with postgres.session() as pg:
        return progress.progress(query.workflow_id, person=person, connection=pg, now=clock.now())


handler = api.handler
