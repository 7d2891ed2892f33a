"""How far a campaign is, and when it may be done: what callers are answered."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.applications.campaigns import send_schedule
from ullgetthejob.applications.campaigns.models import (
    CampaignAnswer,
    CampaignProgress,
    CampaignStatus,
    ItemAnswer,
    ItemCounts,
)
from ullgetthejob.applications.campaigns.store import find

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.models import StatusQuery
    from ullgetthejob.applications.campaigns.store import Campaign

    Connection = psycopg.Connection[dict[str, Any]]

ONE_HOUR = timedelta(hours=1)
SELECT_QUEUE_ITEMS = """
    SELECT q.id, q.job_external_id, q.status, q.last_error, q.attempts,
           CASE WHEN q.status = 'pending' THEN 'pending' ELSE coalesce(q.core_state, q.status) END
               AS state,
           q.next_run_at AT TIME ZONE 'UTC' AS next_run_at,
           q.created_at AT TIME ZONE 'UTC' AS created_at, l.id AS application_id
    FROM application_queue q LEFT JOIN application_ledger l
        ON l.workflow_id = q.workflow_id AND l.queue_item_id = q.id
    WHERE q.workflow_id = %(workflow_id)s
    ORDER BY q.priority, q.created_at, q.id LIMIT %(limit)s OFFSET %(offset)s
"""
# What the BFF wrote over an item counts as it stands there, not as Core saw it last.
COUNT_QUEUE_ITEMS = """
    SELECT status, CASE WHEN status = 'pending' THEN 'pending' ELSE core_state END AS state,
           count(*) AS items
    FROM application_queue WHERE workflow_id = %(workflow_id)s GROUP BY 1, 2
"""
NEEDS_PERSON_STATES = ("needs_person", "handoff")


def progress(
    workflow_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> CampaignProgress:
    """How far the campaign is. Raises :class:`NotFound` also for another account's."""
    campaign = find(workflow_id, person=person, connection=connection, now=now)
    rows = connection.execute(COUNT_QUEUE_ITEMS, {"workflow_id": workflow_id}).fetchall()
    shown = _counted(rows, "status")
    states = _counted(rows, "state")
    counts = ItemCounts(**{name: shown.get(name, 0) for name in ItemCounts.model_fields})
    needs_person = sum(states.get(state, 0) for state in NEEDS_PERSON_STATES)
    cancelled = states.get("cancelled", 0)
    so_far = answer(campaign, campaign.state, person=person, connection=connection, now=now)
    return CampaignProgress(
        **dict(so_far),
        total=sum(shown.values()),
        completed=counts.submitted,
        submitted=counts.submitted,
        failed=counts.failed - needs_person - cancelled,
        waiting=so_far.pending_count,
        needs_person=needs_person,
        cancelled=cancelled,
        progress=counts,
        states=states,
    )


def status(
    query: StatusQuery, *, person: Person, connection: Connection, now: datetime
) -> CampaignStatus:
    """The campaign and a page of its items. Raises :class:`NotFound` also for another account's."""
    so_far = progress(query.workflow_id, person=person, connection=connection, now=now)
    values = {
        "workflow_id": query.workflow_id,
        "limit": query.per_page,
        "offset": query.page * query.per_page,
    }
    items = connection.execute(SELECT_QUEUE_ITEMS, values).fetchall()
    return CampaignStatus(
        **dict(so_far),
        items=[ItemAnswer(**item) for item in items],
        page=query.page,
        per_page=query.per_page,
    )


def answer(
    campaign: Campaign,
    message: str,
    *,
    person: Person,
    connection: Connection,
    now: datetime,
) -> CampaignAnswer:
    """Where the campaign stands, with *message*: what was done."""
    rows = connection.execute(COUNT_QUEUE_ITEMS, {"workflow_id": campaign.workflow_id}).fetchall()
    shown = _counted(rows, "status")
    left = sum(items for status, items in shown.items() if status not in ("submitted", "failed"))
    done = campaign.state == "running" and shown and not left
    completion = None
    if left:
        completion = send_schedule.forecast_completion(
            campaign, person=person, connection=connection, now=now
        )
    return CampaignAnswer(
        workflow_id=campaign.workflow_id,
        workflowId=campaign.workflow_id,
        status="completed" if done else campaign.state,
        job_count=campaign.job_count,
        pending_count=left,
        hours_needed=round((completion - now) / ONE_HOUR, 1) if completion else None,
        estimated_completion=completion,
        estimatedCompletion=completion,
        message=message,
    )


def _counted(rows: list[dict[str, Any]], by: Literal["status", "state"]) -> dict[str, int]:
    """How many items there are by *by*; those without are left out."""
    counted: dict[str, int] = {}
    for row in rows:
        if row[by] is not None:
            counted[row[by]] = counted.get(row[by], 0) + row["items"]
    return counted
