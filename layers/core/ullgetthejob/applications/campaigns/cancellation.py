"""Cancellation: applications that were not sent are cancelled, and the schedule is compacted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ullgetthejob.applications import application_states, ledger
from ullgetthejob.applications.campaigns import send_schedule
from ullgetthejob.platform import periodic

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.campaigns.store import Campaign
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

CANCEL_BATCH = 500  # applications that are cancelled at once, and in each minute
SCAN_BATCH = 500  # applications that are checked for their item, on each side of the start
CANCELLED_WITHIN = timedelta(days=1)
UNSENT_STATES_SQL = application_states.ALLOWED_SOURCES["cancelled"]

UPDATE_QUEUE_ITEMS_CANCELLED = """
    UPDATE application_queue q
    SET status = 'failed', core_state = 'cancelled', last_error = 'campaign_cancelled',
        updated_at = %(utc)s
    WHERE (SELECT state FROM campaigns WHERE workflow_id = q.workflow_id) = 'cancelled'
      AND (q.status IN ('pending', 'customizing') OR q.status = 'ready' AND q.core_state IS NULL)
      AND (%(workflow_id)s::uuid IS NULL OR q.workflow_id = %(workflow_id)s)
"""
SELECT_UNSENT_OF_CAMPAIGN = """
    SELECT id FROM application_ledger
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(states)s) LIMIT %(most)s
"""
# States as literals, so that the planner knows that the index of unsent applications has them all.
SELECT_UNSENT_OF_CANCELLED_CAMPAIGNS = f"""
    SELECT l.id, l.account_id, 'campaign_cancelled' AS reason
    FROM campaigns c CROSS JOIN LATERAL (
        SELECT id, account_id FROM application_ledger
        WHERE workflow_id = c.workflow_id AND state IN {UNSENT_STATES_SQL} LIMIT %(most)s
    ) l
    WHERE c.state = 'cancelled' AND c.updated_at > %(cancelled_after)s LIMIT %(most)s
"""  # noqa: S608
# No record says which items were deleted, so each unsent application's item is looked up (LIMIT 1:
# by its key, not by a join of two whole tables): all of them, or SCAN_BATCH on each side of a start
# that is random. An application that was not checked yet is not sent without its item. This also
# finds what is left of campaigns that were cancelled long ago.
SELECT_UNSENT_OF_DELETED_ITEMS = f"""
    SELECT l.id, l.account_id, CASE campaign.state WHEN 'cancelled' THEN 'campaign_cancelled'
               ELSE 'removed_from_queue' END AS reason
    FROM (
        (SELECT id, account_id, queue_item_id, workflow_id FROM application_ledger
         WHERE workflow_id IS NOT NULL AND state IN {UNSENT_STATES_SQL} AND id >= %(from)s
         ORDER BY id LIMIT %(looked_at)s)
        UNION ALL
        (SELECT id, account_id, queue_item_id, workflow_id FROM application_ledger
         WHERE workflow_id IS NOT NULL AND state IN {UNSENT_STATES_SQL} AND id < %(from)s
         ORDER BY id LIMIT %(looked_at)s)
    ) AS l LEFT JOIN LATERAL (
        SELECT q.id FROM application_queue q WHERE q.id = l.queue_item_id LIMIT 1
    ) AS item ON true LEFT JOIN LATERAL (
        SELECT state FROM campaigns WHERE workflow_id = l.workflow_id LIMIT 1
    ) AS campaign ON true
    WHERE item.id IS NULL OR campaign.state = 'cancelled' LIMIT %(most)s
"""  # noqa: S608


def cancel_pending(campaign: Campaign, *, connection: Connection, now: datetime) -> None:
    """Cancel the unsent applications of a cancelled campaign. The sweeper cancels those beyond
    :data:`CANCEL_BATCH`, or left by a crash; none of them is sent until then."""
    values = _values(campaign.workflow_id, now)
    connection.execute(UPDATE_QUEUE_ITEMS_CANCELLED, values)
    for row in connection.execute(SELECT_UNSENT_OF_CAMPAIGN, values).fetchall():
        _cancel(row["id"], "campaign_cancelled", connection, now)
    send_schedule.compact_schedule(campaign.account_id, connection=connection, now=now)


def sweep(context: Context) -> int:
    """Cancel the unsent applications of cancelled campaigns and of deleted items; return how
    many."""
    connection, now = context.connection, context.now()
    values = _values(None, now)
    connection.execute(UPDATE_QUEUE_ITEMS_CANCELLED, values)
    accounts: set[UUID] = set()

    def cancel(row: dict[str, Any]) -> int:
        accounts.add(row["account_id"])
        return _cancel(row["id"], row["reason"], connection, now)

    try:
        return sum(
            periodic.for_each(connection.execute(statement, values).fetchall(), cancel)
            for statement in (SELECT_UNSENT_OF_CANCELLED_CAMPAIGNS, SELECT_UNSENT_OF_DELETED_ITEMS)
        )
    finally:
        for account_id in accounts:
            send_schedule.compact_schedule(account_id, connection=connection, now=now)


def _values(workflow_id: UUID | None, now: datetime) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "states": list(UNSENT_STATES_SQL),
        "most": CANCEL_BATCH,
        "looked_at": SCAN_BATCH,
        "from": uuid4(),
        "cancelled_after": now - CANCELLED_WITHIN,
        "utc": now.replace(tzinfo=None),
    }


def _cancel(ledger_id: UUID, reason: str, connection: Connection, now: datetime) -> int:
    """Cancel an unsent application; return 1, or 0 if it was sent concurrently."""
    try:
        ledger.transition(ledger_id, "cancelled", reason=reason, connection=connection, now=now)
    except ledger.ConcurrentUpdate:
        return 0
    return 1
