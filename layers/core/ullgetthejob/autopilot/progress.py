"""The progress of autopilots, as the answers about saved searches show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ullgetthejob.autopilot import ceilings, pace
from ullgetthejob.autopilot.models import ApplyAnswer, ApplyCounts, to_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

SELECT_AUTOPILOTS = """
    SELECT pilot.*, campaign.workflow_id, campaign.state AS campaign_state,
           account.autopilot_paused_at,
           coalesce(pilot.time_zone, search.time_zone) AS zone
    FROM autopilots AS pilot
    JOIN accounts AS account ON account.id = pilot.account_id
    JOIN saved_searches AS search ON search.id = pilot.saved_search_id
    LEFT JOIN campaigns AS campaign
        ON campaign.saved_search_id = pilot.saved_search_id AND campaign.state <> 'cancelled'
    WHERE pilot.account_id = %(account_id)s AND pilot.saved_search_id = ANY(%(search_ids)s)
"""
# The status that the BFF wrote over an item counts, not the one that Core wrote last.
COUNT_ITEMS = """
    SELECT campaign.saved_search_id, count(*) AS found,
           count(*) FILTER (WHERE item.status <> 'pending' AND item.core_state = 'review')
               AS in_review,
           count(*) FILTER (
               WHERE item.status = 'pending'
                   OR item.core_state IN ('queued', 'preparing', 'waiting_quota')
           ) AS waiting
    FROM campaigns AS campaign JOIN application_queue AS item
        ON item.workflow_id = campaign.workflow_id
    WHERE campaign.saved_search_id = ANY(%(search_ids)s) AND campaign.account_id = %(account_id)s
    GROUP BY campaign.saved_search_id
"""
SELECT_NEXT_SENDS = """
    SELECT campaign.saved_search_id, min(application.due_at) AS next_send_at
    FROM campaigns AS campaign JOIN application_ledger AS application
        ON application.workflow_id = campaign.workflow_id
    WHERE campaign.saved_search_id = ANY(%(search_ids)s) AND campaign.account_id = %(account_id)s
        AND campaign.state = 'running'
        AND application.state IN ('queued', 'preparing', 'waiting_quota')
    GROUP BY campaign.saved_search_id
"""


def list_answers(
    account_id: UUID,
    search_ids: Sequence[UUID],
    *,
    connection: Connection,
    now: datetime,
) -> dict[UUID, ApplyAnswer]:
    """Return the autopilots of those of the account's saved searches that have one set."""
    values = {"account_id": account_id, "search_ids": list(search_ids)}
    pilots = connection.execute(SELECT_AUTOPILOTS, values).fetchall()
    if not pilots:
        return {}
    counted = _by_search(connection.execute(COUNT_ITEMS, values).fetchall())
    next_sends = _by_search(connection.execute(SELECT_NEXT_SENDS, values).fetchall())
    sent = ceilings.list_sent(account_id, list(search_ids), connection=connection, now=now)
    answers: dict[UUID, ApplyAnswer] = {}
    for row in pilots:
        search_id = row["saved_search_id"]
        times = sent.get(search_id, [])
        today = now.astimezone(ZoneInfo(row["zone"])).date()
        items = counted.get(search_id, {})
        counts = ApplyCounts(
            **{name: items.get(name, 0) for name in ("found", "in_review", "waiting")},
            sent_today=sum(at.astimezone(ZoneInfo(row["zone"])).date() == today for at in times),
            sent_in_24h=sum(at > now - pace.DAY for at in times),
            next_send_at=next_sends.get(search_id, {}).get("next_send_at"),
        )
        answers[search_id] = ApplyAnswer(
            **dict(to_settings(row)),
            workflow_id=row["workflow_id"],
            is_paused=row["mode"] != "off" and _is_paused(row),
            counts=counts,
        )
    return answers


def _is_paused(row: dict[str, Any]) -> bool:
    """Return whether the campaign is paused, or will be when it is created."""
    if row["campaign_state"] is None:
        return row["autopilot_paused_at"] is not None
    return bool(row["campaign_state"] == "paused")


def _by_search(rows: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    return {row["saved_search_id"]: row for row in rows}
