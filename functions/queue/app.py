"""/api/queue/*: campaigns, many vacancies under one workflow id."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.campaigns import commands, progress
from ullgetthejob.applications.campaigns import models as c
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import SERVICE, Api

api = Api(people)


@api.post("/api/queue/add", auth=SERVICE)
def add_vacancies(body: c.AddBody, person: Person, caller: Caller) -> c.AddedToCampaign:
    """Put vacancies into a campaign, each once; without workflow_id, into a new one."""
    with postgres.session() as pg:
        return commands.add_jobs(body, person=person, caller=caller, connection=pg, now=clock.now())


@api.post("/api/queue/batch-customize", auth=SERVICE)
def count_vacancies(body: c.CustomizeBody, person: Person) -> c.CampaignAnswer:
    """Record how many vacancies the campaign has; nothing else happens."""
    with postgres.session() as pg:
        return commands.count_jobs(body, person=person, connection=pg, now=clock.now())


@api.post("/api/queue/start-workflow", auth=SERVICE)
def start_campaign(body: c.WorkflowBody, person: Person, caller: Caller) -> c.CampaignAnswer:
    """Let a campaign run; to start it twice is to start it once."""
    with postgres.session() as pg:
        return commands.start(body, person=person, caller=caller, connection=pg, now=clock.now())


@api.post("/api/queue/{act}", auth=SERVICE)
def change_campaign(
    act: str, body: c.WorkflowBody, person: Person, caller: Caller
) -> c.CampaignAnswer:
    """pause: nothing goes out that is not out; resume: it goes on; cancel: it is given up."""
    with postgres.session() as pg:
        return commands.change(
            act, body, person=person, caller=caller, connection=pg, now=clock.now()
        )


@api.get("/api/queue/status", auth=SERVICE)
def show_campaign(query: c.StatusQuery, person: Person) -> c.CampaignStatus:
    """A campaign, how far it is, and a page of its items."""
    with postgres.session() as pg:
        return progress.status(query, person=person, connection=pg, now=clock.now())


@api.get("/api/queue/progress", auth=SERVICE)
def show_campaign_progress(query: c.WorkflowQuery, person: Person) -> c.CampaignProgress:
    """How far a campaign is, and when it may be done."""
    with postgres.session() as pg:
        return progress.progress(query.workflow_id, person=person, connection=pg, now=clock.now())


handler = api.handler
