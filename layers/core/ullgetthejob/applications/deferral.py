"""Deferral: applications that wait for quota come due one after another, not all at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ullgetthejob.applications import ledger
from ullgetthejob.applications.application import COLUMNS

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

# The applications that are deferred until *until*, the oldest first: those that are due and were
# not sent yet, those that wait for quota no longer than that, and the one in preparation. Those of
# an autopilot that wait for a slot of their own are left in it. Others in
# preparation were interrupted: whether they have a token already is checked when they come due.
SELECT_DEFERRABLE = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s
      AND (state = 'waiting_quota' AND due_at <= %(until)s
           OR state = 'queued' AND due_at <= %(now)s
           OR state = 'preparing' AND id = %(preparing_id)s)
      AND {ledger.CAMPAIGN_RUNS} AND NOT ({ledger.IS_PACED} AND due_at > %(now)s)
    ORDER BY workflow_id IS NOT NULL, created_at, id
"""  # noqa: S608
SELECT_NEXT_DEFERRED = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND state = 'waiting_quota' AND {ledger.CAMPAIGN_RUNS}
      AND NOT {ledger.IS_PACED}
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
    preparing_id: UUID | None = None,
) -> None:
    """Defer what is due for the account: one application at *first*, each further one *every*
    later, so that they do not all wake at each token.

    *preparing_id*: the application in preparation, which is not due.
    """
    values = {
        "account_id": account_id,
        "until": first,
        "now": now,
        "preparing_id": preparing_id,
    }
    for position, row in enumerate(connection.execute(SELECT_DEFERRABLE, values).fetchall()):
        due_at = first + position * every
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


def last_deferred_at(account_id: UUID, *, connection: Connection) -> datetime | None:
    """Return when the last application that waits for quota, outside campaigns, comes due."""
    row = connection.execute(SELECT_LAST_DEFERRED_AT, {"account_id": account_id}).fetchone()
    return row["last"] if row else None
