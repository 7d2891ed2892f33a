"""The progress of a campaign and the forecast of its completion, as callers get them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime

from ullgetthejob.applications import application_states
from ullgetthejob.applications.campaigns import send_schedule
from ullgetthejob.applications.campaigns.answers import CampaignAnswer
from ullgetthejob.applications.campaigns.models import (
    CampaignProgress,
    CampaignStatus,
    ItemAnswer,
    ItemCounts,
)
from ullgetthejob.applications.campaigns.store import find
from ullgetthejob.autopilot import store as autopilot_store
from ullgetthejob.platform import paging

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.models import StatusQuery
    from ullgetthejob.applications.campaigns.store import Campaign
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

ONE_HOUR = timedelta(hours=1)
SELECT_QUEUE_ITEMS = """
    SELECT q.id, q.job_external_id, q.status, q.last_error, q.attempts,
           CASE WHEN q.status = 'pending' THEN 'pending' ELSE coalesce(q.core_state, q.status) END
               AS state,
           q.next_run_at AT TIME ZONE 'UTC' AS next_run_at,
           q.created_at AT TIME ZONE 'UTC' AS created_at, l.id AS application_id,
           coalesce(q.priority, 0) AS priority
    FROM application_queue q LEFT JOIN application_ledger l
        ON l.workflow_id = q.workflow_id AND l.queue_item_id = q.id
    WHERE q.workflow_id = %(workflow_id)s
        AND (%(after_id)s::uuid IS NULL OR (coalesce(q.priority, 0), q.created_at, q.id)
            > (%(after_priority)s, %(after_created_at)s::timestamptz AT TIME ZONE 'UTC',
               %(after_id)s))
    ORDER BY coalesce(q.priority, 0), q.created_at, q.id LIMIT %(limit)s OFFSET %(offset)s
"""
KEYSET = paging.Keyset(tuple[int, AwareDatetime, UUID], "priority", "created_at", "id")
# The status that the BFF wrote over an item counts, not the one that Core wrote last.
COUNT_QUEUE_ITEMS = """
    SELECT status, CASE WHEN status = 'pending' THEN 'pending' ELSE core_state END AS state,
           count(*) AS items
    FROM application_queue WHERE workflow_id = %(workflow_id)s GROUP BY 1, 2
"""


def progress(workflow_id: UUID, person: Person, context: Context) -> CampaignProgress:
    """Return the campaign's progress. Raises :class:`NotFound` also for another account's."""
    connection, now = context.connection, context.now()
    campaign = find(workflow_id, person=person, connection=connection, now=now)
    rows = _count_items(campaign, connection)
    statuses = _count_by(rows, "status")
    states = _count_by(rows, "state")
    counts = ItemCounts(**{name: statuses.get(name, 0) for name in ItemCounts.model_fields})
    needs_person = sum(states.get(state, 0) for state in application_states.NEEDS_PERSON)
    cancelled = states.get("cancelled", 0)
    current = _answer(
        campaign, statuses, campaign.state, person=person, connection=connection, now=now
    )
    return CampaignProgress(
        **dict(current),
        total=sum(statuses.values()),
        completed=counts.submitted,
        submitted=counts.submitted,
        failed=counts.failed - needs_person - cancelled,
        waiting=current.pending_count,
        needs_person=needs_person,
        cancelled=cancelled,
        progress=counts,
        states=states,
    )


def status(query: StatusQuery, person: Person, context: Context) -> CampaignStatus:
    """Return the campaign and a page of its items. Raises :class:`NotFound` also for another
    account's."""
    current = progress(query.workflow_id, person, context)
    values = {"workflow_id": query.workflow_id, **KEYSET.values(query)}
    found = context.connection.execute(SELECT_QUEUE_ITEMS, values).fetchall()
    items, next_cursor = KEYSET.split(found, query)
    return CampaignStatus(
        **dict(current),
        items=[ItemAnswer(**item) for item in items],
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def answer(
    campaign: Campaign,
    message: str,
    *,
    person: Person,
    connection: Connection,
    now: datetime,
) -> CampaignAnswer:
    """Return the campaign's state and forecast. *message*: what was done."""
    statuses = _count_by(_count_items(campaign, connection), "status")
    return _answer(campaign, statuses, message, person=person, connection=connection, now=now)


def _answer(
    campaign: Campaign,
    statuses: dict[str, int],
    message: str,
    *,
    person: Person,
    connection: Connection,
    now: datetime,
) -> CampaignAnswer:
    left = sum(items for name, items in statuses.items() if name not in ("submitted", "failed"))
    is_completed = campaign.state == "running" and statuses and not left
    completion = None
    if left:
        completion = send_schedule.forecast_completion(
            campaign, person=person, connection=connection, now=now
        )
    name = None
    if campaign.saved_search_id is not None:
        name = autopilot_store.read_search_name(campaign.saved_search_id, connection=connection)
    return CampaignAnswer(
        workflow_id=campaign.workflow_id,
        workflowId=campaign.workflow_id,
        saved_search_id=campaign.saved_search_id,
        name=name,
        status="completed" if is_completed else campaign.state,
        job_count=campaign.job_count,
        pending_count=left,
        hours_needed=round((completion - now) / ONE_HOUR, 1) if completion else None,
        estimated_completion=completion,
        estimatedCompletion=completion,
        message=message,
    )


def _count_items(campaign: Campaign, connection: Connection) -> list[dict[str, Any]]:
    """Return the rows of :data:`COUNT_QUEUE_ITEMS`."""
    values = {"workflow_id": campaign.workflow_id}
    return connection.execute(COUNT_QUEUE_ITEMS, values).fetchall()


def _count_by(rows: list[dict[str, Any]], column: Literal["status", "state"]) -> dict[str, int]:
    """Return the number of items for each value of *column*, without nulls."""
    counts: dict[str, int] = {}
    for row in rows:
        if row[column] is not None:
            counts[row[column]] = counts.get(row[column], 0) + row["items"]
    return counts
