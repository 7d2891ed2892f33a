"""Deferral: applications that wait for quota come due one after another, none all at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ullgetthejob.applications import ledger
from ullgetthejob.applications.ledger import Application

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

# What *until* holds up, the oldest first: whatever is due and not out yet, what waits for quota no
# longer than that, and the one that is being made. Others in preparation were interrupted: whether
# they have their token already is looked at when their turn comes.
SELECT_DEFERRABLE = f"""
    SELECT {ledger.COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s
      AND (state = 'waiting_quota' AND due_at <= %(until)s
           OR state = 'queued' AND due_at <= %(now)s
           OR state = 'preparing' AND id = %(id)s)
      AND {ledger.CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, created_at, id
"""  # noqa: S608
SELECT_NEXT_DEFERRED = f"""
    SELECT {ledger.COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {ledger.CAMPAIGN_RUNS}
    ORDER BY workflow_id IS NOT NULL, due_at, created_at, id LIMIT 1
"""  # noqa: S608
SELECT_LAST_DEFERRED_AT = """
    SELECT max(due_at) AS last FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND workflow_id IS NULL
"""


def defer_queued(
    account_id: UUID,
    *,
    first: datetime,
    every: timedelta,
    connection: Connection,
    now: datetime,
    id: UUID | None = None,
) -> None:
    """Let what is due wait for quota, one after another from *first* on: no herd at each token.

    *id*: the one that is being made, which is not due.
    """
    values = {"account_id": account_id, "until": first, "now": now, "id": id}
    for place, row in enumerate(connection.execute(SELECT_DEFERRABLE, values).fetchall()):
        due_at = first + place * every
        if (row["state"], row["due_at"]) == ("waiting_quota", due_at):
            continue
        with contextlib.suppress(ledger.ConcurrentUpdate):
            ledger.transition(
                row["id"],
                "waiting_quota",
                source=[row["state"]],
                reason="quota",
                due_at=due_at,
                connection=connection,
                now=now,
            )


def next_deferred(account_id: UUID, *, connection: Connection) -> Application | None:
    """The first of those that wait for quota, due or not."""
    row = connection.execute(SELECT_NEXT_DEFERRED, {"account_id": account_id}).fetchone()
    return Application(**row) if row else None


def last_deferred_at(account_id: UUID, *, connection: Connection) -> datetime | None:
    """When the last of those that wait for quota, campaigns aside, comes due."""
    row = connection.execute(SELECT_LAST_DEFERRED_AT, {"account_id": account_id}).fetchone()
    return row["last"] if row else None
