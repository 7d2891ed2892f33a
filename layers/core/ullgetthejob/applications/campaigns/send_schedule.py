"""The account's send schedule: the applications that wait for quota, and when each may be sent.

Single applications come first, then campaigns one after another. The submitter decides when an
application is sent; the forecast here spares it deferring hundreds one by one, and shows a person
when a campaign may be completed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.accounts import people
from ullgetthejob.applications import application_states, ledger
from ullgetthejob.platform import queues
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.rate_limits import availability

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.store import Campaign
    from ullgetthejob.platform.postgres import Connection

# All applications that wait, and those up to the last one of the campaign; those of other campaigns
# that wait for the ceilings of an autopilot take no quota until then.
COUNT_WAITING_APPLICATIONS = f"""
    SELECT count(*) AS waiting,
           count(*) FILTER (WHERE workflow_id IS NULL OR workflow_id = %(workflow_id)s
                            OR due_at <= (SELECT max(due_at) FROM application_ledger
                                          WHERE workflow_id = %(workflow_id)s
                                            AND state = ANY(%(states)s))) AS before_last
    FROM application_ledger
    WHERE account_id = %(account_id)s AND state = ANY(%(states)s) AND {ledger.CAMPAIGN_RUNS}
      AND (workflow_id = %(workflow_id)s OR NOT {ledger.IS_PACED})
"""  # noqa: S608
# The items from which applications will be created, of this campaign and of those that run.
COUNT_PENDING_ITEMS = """
    SELECT count(*) AS items FROM application_queue q
    WHERE (q.status = 'pending' OR q.status = 'ready' AND q.core_state IS NULL)
      AND q.workflow_id = ANY(%(workflow_id)s::uuid || ARRAY(
          SELECT workflow_id FROM campaigns
          WHERE account_id = %(account_id)s AND state = 'running'))
"""
LOCK_DEFERRED = f"""
    SELECT id, due_at FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {ledger.CAMPAIGN_RUNS}
      AND NOT {ledger.IS_PACED}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id FOR UPDATE
"""  # noqa: S608
COUNT_QUEUED = f"""
    SELECT count(*) AS queued FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'queued' AND {ledger.CAMPAIGN_RUNS}
      AND NOT {ledger.IS_PACED}
"""  # noqa: S608
UPDATE_APPLICATIONS_DUE_AT = """
    WITH moved AS (
        UPDATE application_ledger l SET due_at = m.due_at
        FROM unnest(%(ids)s::uuid[], %(due_at)s::timestamptz[]) AS m (id, due_at)
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
    """Return when each of *items* further applications may be sent, after those that wait."""
    person = people.find_by_account(campaign.account_id, user_id=campaign.user_id)
    ahead = _count_waiting(campaign, connection)["waiting"]
    try:
        send_times = availability.forecast_account(
            campaign.account_id, person.access, ahead + items, connection=connection, now=now
        )
    except Unavailable:
        return [now] * items
    return send_times[ahead:]


def forecast_completion(
    campaign: Campaign, *, person: Person, connection: Connection, now: datetime
) -> datetime | None:
    """Return when the last application of the campaign may be sent; ``None`` if unknown."""
    if campaign.state not in ("created", "running"):
        return None
    if person.access.at(now).state not in ("ok", "limited_until"):
        return None
    pending = connection.execute(COUNT_PENDING_ITEMS, vars(campaign)).fetchone()
    counts = _count_waiting(campaign, connection)
    ahead = counts["before_last"]
    if pending is not None and pending["items"]:
        ahead = counts["waiting"] + pending["items"]
    try:
        send_times = availability.forecast_account(
            campaign.account_id, person.access, ahead, connection=connection, now=now
        )
    except Unavailable:
        return None
    return send_times[-1] if send_times else now


def compact_schedule(account_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Move the applications that wait for quota to the earliest times that are free, after those
    that are queued, and notify the account if the first is due."""
    person = people.find_by_account(account_id, user_id=account_id)
    values = {"account_id": account_id}
    with connection.transaction():
        deferred = connection.execute(LOCK_DEFERRED, values).fetchall()
        if not deferred:
            return
        counted = connection.execute(COUNT_QUEUED, values).fetchone()
        ahead = counted["queued"] if counted else 0
        try:
            send_times = availability.forecast_account(
                account_id, person.access, ahead + len(deferred), connection=connection, now=now
            )[ahead:]
        except Unavailable:
            return
        earlier = [
            (row["id"], send_at)
            for row, send_at in zip(deferred, send_times, strict=True)
            if send_at < row["due_at"]
        ]
        moved = {
            "ids": [ledger_id for ledger_id, _ in earlier],
            "due_at": [send_at for _, send_at in earlier],
        }
        connection.execute(UPDATE_APPLICATIONS_DUE_AT, moved)
    if send_times and send_times[0] <= now:
        queues.notify(ledger.QUEUE, {"account_id": str(account_id)})


def _count_waiting(campaign: Campaign, connection: Connection) -> dict[str, int]:
    """Return how many applications wait (``waiting``), and how many of them are sent up to the last
    one of the campaign (``before_last``)."""
    values = {
        "account_id": campaign.account_id,
        "workflow_id": campaign.workflow_id,
        "states": list(application_states.WAITING),
    }
    return connection.execute(COUNT_WAITING_APPLICATIONS, values).fetchone() or {}
