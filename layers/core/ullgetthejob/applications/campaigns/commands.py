"""The commands of a campaign: add vacancies, start, pause, resume and cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4, uuid5

from ullgetthejob.applications import application_states, ledger
from ullgetthejob.applications.campaigns import cancellation, item_intake, send_schedule
from ullgetthejob.applications.campaigns.answers import AddedToCampaign
from ullgetthejob.applications.campaigns.progress import answer
from ullgetthejob.applications.campaigns.store import find, get_or_create, transition
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import Conflict, NotFound

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.answers import CampaignAnswer
    from ullgetthejob.applications.campaigns.models import (
        AddBody,
        CustomizeBody,
        WorkflowBody,
    )
    from ullgetthejob.applications.campaigns.store import Campaign, State
    from ullgetthejob.platform.authentication import Caller
    from ullgetthejob.platform.context import Context

LOCK_CAMPAIGN = "SELECT FROM campaigns WHERE workflow_id = %(workflow_id)s FOR UPDATE"
UPDATE_CAMPAIGN_JOB_COUNT = """
    UPDATE campaigns SET job_count = %(job_count)s, updated_at = %(now)s
    WHERE workflow_id = %(workflow_id)s
"""
INSERT_QUEUE_ITEMS = """
    INSERT INTO application_queue (workflow_id, user_id, job_id, job_external_id, status, payload,
                                   priority, next_run_at, created_at, updated_at)
    SELECT %(workflow_id)s, %(user_id)s, (SELECT id FROM jobs WHERE external_id = %(vacancy_id)s),
           %(vacancy_id)s, 'pending', %(payload)s::jsonb, %(priority)s, %(utc)s, %(utc)s, %(utc)s
    WHERE NOT EXISTS (SELECT FROM application_queue
                      WHERE workflow_id = %(workflow_id)s AND job_external_id = %(vacancy_id)s)
"""
# The time of a pause does not count towards the expiry of an application.
UPDATE_APPLICATIONS_EXPIRY = """
    UPDATE application_ledger SET expires_at = greatest(expires_at, %(expires_at)s)
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(states)s)
"""


def add_jobs(body: AddBody, person: Person, context: Context) -> AddedToCampaign:
    """Add vacancies to a campaign, each once; to a new campaign without *workflow_id* (with an
    ``Idempotency-Key``: the same one again). Raises :class:`NotFound`, :class:`NeedsPerson`."""
    connection, now = context.connection, context.now()
    workflow_id = body.workflow_id or _new_id(person, context.caller)
    queued = 0
    with connection.transaction():
        campaign = get_or_create(workflow_id, person=person, connection=connection, now=now)
        connection.execute(LOCK_CAMPAIGN, {"workflow_id": workflow_id})
        for job in body.jobs:
            own = job.model_copy(update={"repost": job.repost or body.repost})
            payload = own.model_dump_json(
                exclude={"job_external_id", "priority"}, exclude_none=True, exclude_defaults=True
            )
            values = {
                "workflow_id": workflow_id,
                "user_id": person.user_id,
                "vacancy_id": job.job_external_id,
                "payload": payload,
                "priority": job.priority,
                "utc": now.replace(tzinfo=None),
            }
            queued += connection.execute(INSERT_QUEUE_ITEMS, values).rowcount
    current = answer(campaign, f"{queued} added", person=person, connection=connection, now=now)
    return AddedToCampaign(**dict(current), queued_count=queued, queuedCount=queued)


def count_jobs(body: CustomizeBody, person: Person, context: Context) -> CampaignAnswer:
    """Record how many vacancies the campaign has; the BFF writes the letters. Raises
    :class:`NotFound`, :class:`NeedsPerson`."""
    connection, now = context.connection, context.now()
    with connection.transaction():
        get_or_create(body.workflow_id, person=person, connection=connection, now=now)
        values = {"workflow_id": body.workflow_id, "job_count": body.job_count, "now": now}
        connection.execute(UPDATE_CAMPAIGN_JOB_COUNT, values)
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    return answer(campaign, "counted", person=person, connection=connection, now=now)


def change(command: str, body: WorkflowBody, person: Person, context: Context) -> CampaignAnswer:
    """Start, pause, resume or cancel a campaign; idempotent.

    Raises :class:`NotFound` also for another account's, and for an unknown *command*;
    :class:`Conflict` where the campaign's state does not allow it; :class:`NeedsPerson`.
    """
    commands = {
        "start": start,
        "pause": pause,
        "resume": resume,
        "cancel": cancel,
    }
    if command not in commands:
        raise NotFound("there is no such route")
    return commands[command](body, person, context)


def start(body: WorkflowBody, person: Person, context: Context) -> CampaignAnswer:
    """Start a campaign. A campaign that runs, or is paused, keeps its state. Raises
    :class:`NotFound`, :class:`NeedsPerson`; :class:`Conflict` for a cancelled one."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    get_or_create(body.workflow_id, person=person, connection=connection, now=now)
    if campaign.state == "cancelled":
        raise _wrong_state(campaign, "started")
    campaign = transition(campaign, "running", ["created"], "campaign.start", person, context)
    if campaign.state == "running":
        item_intake.create_applications(campaign, context)
    message = "started" if campaign.state == "running" else "the campaign is paused"
    return answer(campaign, message, person=person, connection=connection, now=now)


def pause(body: WorkflowBody, person: Person, context: Context) -> CampaignAnswer:
    """Pause a campaign: nothing more of it is sent. Raises :class:`NotFound`, :class:`Conflict`,
    :class:`NeedsPerson`."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    get_or_create(body.workflow_id, person=person, connection=connection, now=now)
    if campaign.state == "cancelled":
        raise _wrong_state(campaign, "paused")
    source: list[State] = ["created", "running"]
    campaign = transition(campaign, "paused", source, "campaign.pause", person, context)
    send_schedule.compact_schedule(campaign.account_id, connection=connection, now=now)
    return answer(campaign, "paused", person=person, connection=connection, now=now)


def resume(body: WorkflowBody, person: Person, context: Context) -> CampaignAnswer:
    """Resume a paused campaign. Raises :class:`NotFound`, :class:`Conflict`."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    if campaign.state not in ("paused", "running"):
        raise _wrong_state(campaign, "resumed")
    values = {
        "workflow_id": body.workflow_id,
        "expires_at": now + ledger.APPLICATION_TTL,
        "states": list(application_states.WAITING),
    }
    if campaign.state == "paused":
        connection.execute(UPDATE_APPLICATIONS_EXPIRY, values)
    campaign = transition(campaign, "running", ["paused"], "campaign.resume", person, context)
    item_intake.create_applications(campaign, context)
    queues.notify(ledger.QUEUE, {"account_id": str(campaign.account_id)})
    return answer(campaign, "resumed", person=person, connection=connection, now=now)


def cancel(body: WorkflowBody, person: Person, context: Context) -> CampaignAnswer:
    """Cancel a campaign and its unsent applications. Raises :class:`NotFound`,
    :class:`NeedsPerson`."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    get_or_create(body.workflow_id, person=person, connection=connection, now=now)
    source: list[State] = ["created", "running", "paused"]
    campaign = transition(campaign, "cancelled", source, "campaign.cancel", person, context)
    cancellation.cancel_pending(campaign, connection=connection, now=now)
    return answer(campaign, "cancelled", person=person, connection=connection, now=now)


def _new_id(person: Person, caller: Caller) -> UUID:
    if caller.idempotency_key is None:
        return uuid4()
    return uuid5(person.owner_id, caller.idempotency_key)


def _wrong_state(campaign: Campaign, command: str) -> Conflict:
    return Conflict(
        f"a campaign that is {campaign.state} cannot be {command}",
        code="wrong_state",
        details={"state": campaign.state},
    )
