"""The account's line: what waits for quota, and when each may go out.

What was submitted by itself goes first, then campaigns one behind the other. The applier decides
when the moment has come; what is worked out here spares it to put hundreds off one by one, and lets
a person see when a campaign may be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import people
from ullgetthejob.applications import application_states, ledger
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.rate_limits import availability

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.store import Campaign

    Connection = psycopg.Connection[dict[str, Any]]

# Whatever waits, and what goes before the last one of the campaign.
SELECT_SCHEDULE = f"""
    SELECT count(*) AS everybody,
           count(*) FILTER (WHERE workflow_id IS NULL OR workflow_id = %(workflow_id)s
                            OR due_at <= (SELECT max(due_at) FROM application_ledger
                                          WHERE workflow_id = %(workflow_id)s
                                            AND state = ANY(%(states)s))) AS before_last
    FROM application_ledger
    WHERE account_id = %(account_id)s AND state = ANY(%(states)s) AND {ledger.CAMPAIGN_RUNS}
"""  # noqa: S608
# What will be taken up, of this campaign and of those that run.
SELECT_PENDING_ITEMS = """
    SELECT count(*) AS items FROM application_queue q LEFT JOIN campaigns c USING (workflow_id)
    WHERE (q.status = 'pending' OR q.status = 'ready' AND q.core_state IS NULL)
      AND (q.workflow_id = %(workflow_id)s
           OR c.account_id = %(account_id)s AND c.state = 'running')
"""
SELECT_DEFERRED = f"""
    SELECT id, due_at FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {ledger.CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id FOR UPDATE
"""  # noqa: S608
UPDATE_APPLICATIONS_DUE_AT = """
    WITH moved AS (
        UPDATE application_ledger l SET due_at = m.due_at
        FROM unnest(%(ids)s::uuid[], %(moments)s::timestamptz[]) AS m (id, due_at)
        WHERE l.id = m.id RETURNING l.application_id, l.queue_item_id, l.due_at
    ), shown AS (
        UPDATE applications a SET rate_limited_until = moved.due_at AT TIME ZONE 'UTC'
        FROM moved WHERE a.id = moved.application_id
    )
    UPDATE application_queue q SET next_run_at = moved.due_at AT TIME ZONE 'UTC'
    FROM moved WHERE q.id = moved.queue_item_id
"""


def forecast_items(
    campaign: Campaign, items: int, *, connection: Connection, now: datetime
) -> list[datetime]:
    """When the next *items* come due, behind what waits."""
    person = people.find_by_account(campaign.account_id, user_id=campaign.user_id)
    ahead = _pending_items(campaign, connection)["everybody"]
    try:
        moments = availability.forecast_account(
            campaign.account_id, person.access, ahead + items, connection=connection, now=now
        )
    except Unavailable:
        return [now] * items
    return moments[ahead:]


def forecast_completion(
    campaign: Campaign, *, person: Person, connection: Connection, now: datetime
) -> datetime | None:
    """When the last one of the campaign may go out; ``None`` where nobody can say."""
    if campaign.state not in ("created", "running"):
        return None
    if person.access.at(now).state not in ("ok", "limited_until"):
        return None
    to_come = connection.execute(SELECT_PENDING_ITEMS, vars(campaign)).fetchone()
    line = _pending_items(campaign, connection)
    waits = line["before_last"]
    if to_come is not None and to_come["items"]:
        waits = line["everybody"] + to_come["items"]
    try:
        moments = availability.forecast_account(
            campaign.account_id, person.access, waits, connection=connection, now=now
        )
    except Unavailable:
        return None
    return moments[-1] if moments else now


def compact_schedule(account_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Let those that wait for quota take the places of those that no longer do."""
    person = people.find_by_account(account_id, user_id=account_id)
    values = {"account_id": account_id}
    with connection.transaction():
        line = connection.execute(SELECT_DEFERRED, values).fetchall()
        try:
            moments = availability.forecast_account(
                account_id, person.access, len(line), connection=connection, now=now
            )
        except Unavailable:
            return
        earlier = [
            (row["id"], moment)
            for row, moment in zip(line, moments, strict=True)
            if moment < row["due_at"]
        ]
        ids, new_moments = [id for id, _ in earlier], [moment for _, moment in earlier]
        connection.execute(UPDATE_APPLICATIONS_DUE_AT, {"ids": ids, "moments": new_moments})
    if moments and moments[0] <= now:
        queues.notify(ledger.QUEUE, {"account_id": str(account_id)})


def _pending_items(campaign: Campaign, connection: Connection) -> dict[str, int]:
    values = {
        "account_id": campaign.account_id,
        "workflow_id": campaign.workflow_id,
        "states": list(application_states.WAITING),
    }
    return connection.execute(SELECT_SCHEDULE, values).fetchone() or {}
