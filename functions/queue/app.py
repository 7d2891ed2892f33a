"""/api/queue/*: campaigns, each with many vacancies; with dry_run, what would come of them."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.campaigns import commands, dry_run, models, progress
from ullgetthejob.applications.campaigns.answers import AddedToCampaign, CampaignAnswer
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, Api

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context)


@api.post("/api/queue/add", auth=SERVICE)
def add_vacancies(
    body: models.AddBody, person: Person, context: Context
) -> AddedToCampaign | dry_run.CampaignDryRun:
    """Add vacancies to a campaign, each once; without workflow_id, to a new one."""
    return (dry_run.of_jobs if body.dry_run else commands.add_jobs)(body, person, context)


@api.post("/api/queue/batch-customize", auth=SERVICE)
def count_vacancies(body: models.CustomizeBody, person: Person, context: Context) -> CampaignAnswer:
    """Record the number of vacancies of the campaign, and nothing else."""
    return commands.count_jobs(body, person, context)


@api.post("/api/queue/start-workflow", auth=SERVICE)
def start_campaign(
    body: models.StartBody, person: Person, context: Context
) -> CampaignAnswer | dry_run.CampaignDryRun:
    """Start a campaign; starting it again changes nothing."""
    return (dry_run.of_campaign if body.dry_run else commands.start)(body, person, context)


@api.post("/api/queue/{act}", auth=SERVICE)
def change_campaign(
    act: str, body: models.WorkflowBody, person: Person, context: Context
) -> CampaignAnswer:
    """Pause a campaign (unsent applications stay unsent), resume it, or cancel it, by *act*."""
    return commands.change(act, body, person, context)


@api.get("/api/queue/status", auth=SERVICE)
def show_campaign(
    query: models.StatusQuery, person: Person, context: Context
) -> models.CampaignStatus:
    """Return a campaign, its progress, and a page of its items."""
    return progress.status(query, person, context)


@api.get("/api/queue/progress", auth=SERVICE)
def show_campaign_progress(
    query: models.WorkflowQuery, person: Person, context: Context
) -> models.CampaignProgress:
    """Return the progress of a campaign, and when it may be completed."""
    return progress.progress(query.workflow_id, person, context)


handler = api.handler
