"""Storage of autopilots, and of the standing campaign of each.

A saved search has at most one campaign that is not cancelled: its standing campaign, which is
created with the first vacancy. Locks: the campaign's row before the account's, as attempts and the
intake of items lock them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import postgres

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.autopilot.models import ApplySettings
    from ullgetthejob.platform.postgres import Connection

TIME_TO_LIVE = timedelta(days=14)  # of an application that waits, as of a new one
COLUMNS = """
    saved_search_id, mode, letter_template_id, hh_resume_id, max_per_day, bucket_share,
    working_hours, time_zone, min_fit
"""
SELECT_AUTOPILOT = f"""
    SELECT {COLUMNS} FROM autopilots WHERE saved_search_id = %(saved_search_id)s
"""  # noqa: S608
UPSERT_AUTOPILOT = """
    INSERT INTO autopilots (
        saved_search_id, account_id, mode, letter_template_id, hh_resume_id, max_per_day,
        bucket_share, working_hours, time_zone, min_fit, since_match, created_at, updated_at
    )
    VALUES (
        %(saved_search_id)s, %(account_id)s, %(mode)s, %(letter_template_id)s, %(hh_resume_id)s,
        %(max_per_day)s, %(bucket_share)s, %(working_hours)s::jsonb, %(time_zone)s, %(min_fit)s,
        coalesce(%(since_match)s::bigint, 0), %(now)s, %(now)s
    )
    ON CONFLICT (saved_search_id) DO UPDATE SET
        mode = excluded.mode, letter_template_id = excluded.letter_template_id,
        hh_resume_id = excluded.hh_resume_id, max_per_day = excluded.max_per_day,
        bucket_share = excluded.bucket_share, working_hours = excluded.working_hours,
        time_zone = excluded.time_zone, min_fit = excluded.min_fit,
        since_match = coalesce(%(since_match)s::bigint, autopilots.since_match),
        updated_at = excluded.updated_at
"""
UPDATE_SINCE_MATCH = """
    UPDATE autopilots SET since_match = 0 WHERE saved_search_id = %(saved_search_id)s
"""
SELECT_LAST_MATCH = "SELECT last_match FROM search_queries WHERE id = %(query_id)s"
LOCK_STANDING_CAMPAIGN = """
    SELECT FROM campaigns WHERE saved_search_id = %(saved_search_id)s AND state <> 'cancelled'
    FOR UPDATE
"""
UPDATE_STANDING_CAMPAIGN_OFF = """
    UPDATE campaigns SET state = 'paused', is_held = false, updated_at = %(now)s
    WHERE saved_search_id = %(saved_search_id)s
        AND (state = 'running' OR state = 'paused' AND is_held)
    RETURNING workflow_id, account_id, state
"""
UPDATE_STANDING_CAMPAIGN_ON = """
    UPDATE campaigns SET
        state = CASE WHEN account.autopilot_paused_at IS NULL THEN 'running' ELSE 'paused' END,
        is_held = account.autopilot_paused_at IS NOT NULL, updated_at = %(now)s
    FROM accounts AS account
    WHERE saved_search_id = %(saved_search_id)s AND state = 'paused'
        AND account.id = campaigns.account_id
    RETURNING workflow_id, campaigns.account_id, state
"""
# The time of a pause does not count towards the expiry of what waits.
UPDATE_WAITING_RENEWED = """
    UPDATE application_ledger SET expires_at = greatest(expires_at, %(expires_at)s)
    FROM campaigns AS campaign
    WHERE campaign.saved_search_id = %(saved_search_id)s AND campaign.state = 'paused'
        AND application_ledger.workflow_id = campaign.workflow_id
        AND application_ledger.state IN ('queued', 'preparing', 'waiting_quota')
"""
UPDATE_STANDING_CAMPAIGN_CANCELLED = """
    UPDATE campaigns SET state = 'cancelled', is_held = false, updated_at = %(now)s
    WHERE saved_search_id = %(saved_search_id)s AND state <> 'cancelled'
    RETURNING workflow_id, account_id, state
"""
SELECT_SEARCH_NAME = "SELECT name FROM saved_searches WHERE id = %(saved_search_id)s"


def find(saved_search_id: UUID, *, connection: Connection) -> dict[str, Any] | None:
    """Return the autopilot's row; ``None`` where the search never had it set."""
    values = {"saved_search_id": saved_search_id}
    return connection.execute(SELECT_AUTOPILOT, values).fetchone()


def upsert(
    search: dict[str, Any],
    settings: ApplySettings,
    *,
    since_match: int | None,
    connection: Connection,
    now: datetime,
) -> None:
    """Store the settings of a saved search. *search*: its row. *since_match*: from which match on
    vacancies are applied to; ``None``: as before."""
    hours = settings.working_hours
    values = {
        **settings.model_dump(exclude={"working_hours"}),
        "saved_search_id": search["id"],
        "account_id": search["account_id"],
        "working_hours": hours and hours.model_dump_json(exclude_defaults=True),
        "since_match": since_match,
        "now": now,
    }
    connection.execute(UPSERT_AUTOPILOT, values)


def read_last_match(query_id: UUID, *, connection: Connection) -> int:
    """Return the number of the latest match of a canonical search."""
    row = connection.execute(SELECT_LAST_MATCH, {"query_id": query_id}).fetchone()
    return int(row["last_match"]) if row else 0


def lock_campaign(saved_search_id: UUID, *, connection: Connection) -> None:
    """Lock the standing campaign, which is locked before the account."""
    connection.execute(LOCK_STANDING_CAMPAIGN, {"saved_search_id": saved_search_id})


def renew_waiting(saved_search_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Give what waits in a standing campaign that is paused the time to live of new applications;
    these are locked before the account, too."""
    values = {"saved_search_id": saved_search_id, "expires_at": now + TIME_TO_LIVE}
    connection.execute(UPDATE_WAITING_RENEWED, values)


def change_campaign(
    sql: str,
    saved_search_id: UUID,
    before: str,
    *,
    connection: Connection,
    now: datetime,
) -> bool:
    """Change the state of the standing campaign, *before*, by *sql*; return whether it was."""
    values = {"saved_search_id": saved_search_id, "now": now}
    changed = connection.execute(sql, values).fetchall()
    for row in changed:
        postgres.log_transition(
            connection,
            "campaign",
            before,
            row["state"],
            workflow_id=row["workflow_id"],
            account_id=row["account_id"],
        )
    return bool(changed)


def read_search_name(saved_search_id: UUID, *, connection: Connection) -> str | None:
    """Return the name of a saved search, which is also its campaign's."""
    row = connection.execute(SELECT_SEARCH_NAME, {"saved_search_id": saved_search_id}).fetchone()
    return row["name"] if row else None
