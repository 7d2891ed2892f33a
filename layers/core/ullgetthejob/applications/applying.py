"""Whether Core can apply for an account at all: where it cannot, applications are handed off at
once, and neither a token nor the daily limit has to allow that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.applications import ledger
from ullgetthejob.hh import method_access
from ullgetthejob.platform import queues

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.methods import Method
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

BATCH = 500  # accounts a minute
LOOKED_AT = 5_000  # waiting applications, the longest due first: those beyond follow next minute
_CLOSED = "method = 'apply' AND state = 'closed' AND probe_at > %(now)s"
_WAITS = f"""application_ledger.state = 'waiting_quota' AND application_ledger.due_at IS NOT NULL
            AND {ledger.CAMPAIGN_RUNS} AND NOT {ledger.IS_PACED}"""
# Accounts whose applications wait for a limit that no longer matters: applying is closed to all
# accounts, or to this one.
SELECT_ACCOUNTS_WAITING_IN_VAIN = f"""
    SELECT account_id FROM (
        SELECT account_id FROM (
            SELECT account_id FROM application_ledger
            WHERE EXISTS (SELECT FROM hh_method_access WHERE {_CLOSED} AND account_id IS NULL)
                AND {_WAITS}
            ORDER BY due_at LIMIT %(looked_at)s
        ) AS longest
        UNION
        SELECT m.account_id FROM hh_method_access m
        WHERE {_CLOSED} AND EXISTS (
            SELECT FROM application_ledger WHERE account_id = m.account_id AND {_WAITS}
        )
    ) AS found LIMIT %(most)s
"""  # noqa: S608


def is_closed(
    account_id: UUID, *, wanted_resume_id: str | None, connection: Connection, now: datetime
) -> bool:
    """Return whether hh.ru does not let Core apply: applying is closed, or there is no resume to
    apply with, since none is named and reading them is closed."""
    needed = list_needed(wanted_resume_id)
    found = method_access.read_all(account_id, connection=connection, wanted=needed)
    return any(access.is_closed(now) for access in found)


def list_needed(wanted_resume_id: str | None) -> tuple[Method, ...]:
    """Return the methods without which Core cannot apply; with a resume that is named, it need not
    read the resumes."""
    return ("apply",) if wanted_resume_id else ("apply", "resumes_read")


def notify_waiting(context: Context) -> int:
    """Notify the accounts with applications that wait for quota while applying is closed; return
    how many accounts there were."""
    values = {"now": context.now(), "most": BATCH, "looked_at": LOOKED_AT}
    rows = context.connection.execute(SELECT_ACCOUNTS_WAITING_IN_VAIN, values).fetchall()
    queues.notify_accounts(ledger.QUEUE, (row["account_id"] for row in rows))
    return len(rows)
