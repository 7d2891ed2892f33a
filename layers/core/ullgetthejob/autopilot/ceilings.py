"""The ceilings of an autopilot, applied to what was sent: when its next applications may be sent.

What counts is in the ledger: the attempts of its campaigns' applications that reached hh.ru, or may
have. They are read under the account's lock where an attempt begins, so that no number of workers
makes one too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.autopilot.pace import LOOK_BACK, Pace, forecast
from ullgetthejob.platform.working_hours import WorkingHours

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.autopilot.pace import Bucket, Slot
    from ullgetthejob.platform.postgres import Connection

SELECT_PACE = """
    SELECT pilot.saved_search_id, pilot.account_id, pilot.max_per_day, pilot.bucket_share,
           coalesce(pilot.working_hours, search.working_hours) AS working_hours,
           coalesce(pilot.time_zone, search.time_zone) AS time_zone
    FROM campaigns AS campaign
    JOIN autopilots AS pilot ON pilot.saved_search_id = campaign.saved_search_id
    JOIN saved_searches AS search ON search.id = pilot.saved_search_id
    WHERE campaign.workflow_id = %(workflow_id)s
"""
SELECT_SENT = """
    SELECT attempt.at, campaign.saved_search_id
    FROM application_attempts AS attempt
    JOIN application_ledger AS application ON application.id = attempt.ledger_id
    JOIN campaigns AS campaign ON campaign.workflow_id = application.workflow_id
    LEFT JOIN application_outcomes AS result ON result.attempt_id = attempt.id
    WHERE attempt.account_id = %(account_id)s AND attempt.at > %(since)s
        AND campaign.saved_search_id = ANY(%(search_ids)s) AND coalesce(result.counts, true)
    ORDER BY attempt.at
"""


def list_slots(
    workflow_id: UUID, count: int, *, bucket: Bucket, connection: Connection, now: datetime
) -> list[Slot]:
    """Return when the next *count* applications of a campaign may be sent; nothing where it is no
    autopilot's. *bucket*: the person's."""
    row = connection.execute(SELECT_PACE, {"workflow_id": workflow_id}).fetchone()
    if row is None:
        return []
    search_id = row["saved_search_id"]
    sent = list_sent(row["account_id"], [search_id], connection=connection, now=now)
    return forecast(to_pace(row), sent.get(search_id, ()), count, bucket=bucket, now=now)


def list_sent(
    account_id: UUID, search_ids: list[UUID], *, connection: Connection, now: datetime
) -> dict[UUID, list[datetime]]:
    """Return when each autopilot sent applications lately, the earliest first."""
    values = {"account_id": account_id, "search_ids": search_ids, "since": now - LOOK_BACK}
    sent: dict[UUID, list[datetime]] = {}
    for row in connection.execute(SELECT_SENT, values).fetchall():
        sent.setdefault(row["saved_search_id"], []).append(row["at"])
    return sent


def to_pace(row: dict[str, Any]) -> Pace:
    """Return the ceilings in a row, whose hours and zone are resolved."""
    hours = row["working_hours"]
    return Pace(
        row["max_per_day"],
        row["bucket_share"],
        None if hours is None else WorkingHours.model_validate(hours),
        row["time_zone"],
    )
