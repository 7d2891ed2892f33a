"""Giving up: what is not out is cancelled, and what waits behind it moves up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import ledger
from ullgetthejob.applications.campaigns import line

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.applications.campaigns.campaign import Campaign

    Connection = psycopg.Connection[dict[str, Any]]

AT_ONCE = 500  # applications that are cancelled at once, and a minute
NOT_OUT = ledger.MAY_FOLLOW["cancelled"]

CANCEL_PENDING = """
    UPDATE application_queue q
    SET status = 'failed', core_state = 'cancelled', last_error = 'campaign_cancelled',
        updated_at = %(utc)s
    FROM campaigns c
    WHERE c.workflow_id = q.workflow_id AND c.state = 'cancelled'
      AND (q.status IN ('pending', 'customizing') OR q.status = 'ready' AND q.core_state IS NULL)
      AND (%(workflow_id)s::uuid IS NULL OR q.workflow_id = %(workflow_id)s)
"""
NOT_OUT_OF_CAMPAIGN = """
    SELECT id FROM application_ledger
    WHERE workflow_id = %(workflow_id)s AND state = ANY(%(states)s) LIMIT %(most)s
"""
GIVEN_UP = """
    SELECT l.id, l.account_id, c.state = 'cancelled' AS cancelled
    FROM application_ledger l JOIN campaigns c ON c.workflow_id = l.workflow_id
    LEFT JOIN application_queue q ON q.id = l.queue_item_id
    WHERE l.workflow_id IS NOT NULL AND l.state = ANY(%(states)s)
      AND (c.state = 'cancelled' OR q.id IS NULL)
    LIMIT %(most)s
"""


def give_up(campaign: Campaign, *, connection: Connection, now: datetime) -> None:
    """Cancel what is not out of a cancelled campaign. The sweeper does what is left of many, or
    after a crash; none of it goes out meanwhile."""
    values = _values(campaign.workflow_id, now)
    connection.execute(CANCEL_PENDING, values)
    for row in connection.execute(NOT_OUT_OF_CAMPAIGN, values).fetchall():
        _cancel(row["id"], "campaign_cancelled", connection, now)
    line.close_ranks(campaign.account_id, connection=connection, now=now)


def sweep(*, connection: Connection, now: datetime) -> int:
    """Cancel what is not out of campaigns that were cancelled, and of items that were deleted: how
    many."""
    values = _values(None, now)
    connection.execute(CANCEL_PENDING, values)
    cancelled, accounts = 0, set()
    for row in connection.execute(GIVEN_UP, values).fetchall():
        reason = "campaign_cancelled" if row["cancelled"] else "removed_from_queue"
        cancelled += _cancel(row["id"], reason, connection, now)
        accounts.add(row["account_id"])
    for account_id in accounts:
        line.close_ranks(account_id, connection=connection, now=now)
    return cancelled


def _values(workflow_id: UUID | None, now: datetime) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "states": list(NOT_OUT),
        "most": AT_ONCE,
        "utc": now.replace(tzinfo=None),
    }


def _cancel(id: UUID, reason: str, connection: Connection, now: datetime) -> int:
    """Cancel an application that is not out: 1, or 0 if it went out meanwhile."""
    try:
        ledger.move(id, "cancelled", reason=reason, connection=connection, now=now)
    except ledger.Moved:
        return 0
    return 1
