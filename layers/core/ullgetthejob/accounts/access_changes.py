"""Storing an account's access state, and announcing changes with ``account.updated`` events.

Separate from :mod:`.access`, which every function imports: storing a state also sends a wake-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.accounts import method_status
from ullgetthejob.accounts.access import Access, State, to_answer
from ullgetthejob.platform import postgres
from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

UPDATE_ACCOUNT_ACCESS = """
    UPDATE accounts
    SET access_state = %(state)s, access_reason = %(reason)s, access_until = %(until)s,
        captcha_url = %(captcha_url)s,
        access_tries = %(tries)s,
        -- The negotiation sync is what finds out whether a captcha was solved.
        negotiations_due_at = CASE WHEN %(state)s = 'captcha'
            THEN least(negotiations_due_at, %(until)s) ELSE negotiations_due_at END,
        access_changed_at = CASE
            WHEN (access_state, access_reason) IS NOT DISTINCT FROM (%(state)s, %(reason)s)
            THEN access_changed_at ELSE %(now)s END
    WHERE id = %(account_id)s
      AND (%(seen)s::timestamptz IS NULL OR access_changed_at = %(seen)s)
      AND (access_state, access_reason, access_until, captcha_url) IS DISTINCT FROM
          (%(state)s, %(reason)s, %(until)s::timestamptz, %(captcha_url)s)
    -- The statement sees the row as it was before.
    RETURNING (SELECT old.access_state FROM accounts old WHERE old.id = accounts.id) AS before
"""
SELECT_ACCOUNT_ACCESS = """
    SELECT access_state, access_reason, access_changed_at, access_until, captcha_url, access_tries
    FROM accounts WHERE id = %(account_id)s
"""


def change_access(
    account_id: UUID,
    state: State,
    *,
    connection: Connection,
    now: datetime,
    reason: str | None = None,
    until: datetime | None = None,
    captcha_url: str | None = None,
    seen: Access | None = None,
    tries: int = 0,
) -> Access:
    """Store the state and return the state that is stored afterwards; an unchanged one keeps its
    *since*.

    *tries*: how often access was lost in a row, which makes the next pause longer.
    *seen*: the state that the call started from. If it has changed since (a new login, say), what
    the call found out is outdated, and nothing is stored.
    """
    values = {
        "account_id": account_id,
        "state": state,
        "reason": reason,
        "until": until,
        "captcha_url": captcha_url,
        "now": now,
        "seen": seen.since if seen else None,
        "tries": tries,
    }
    with connection.transaction():
        changed = connection.execute(UPDATE_ACCOUNT_ACCESS, values).fetchone()
        row = connection.execute(SELECT_ACCOUNT_ACCESS, values).fetchone()
        access = Access() if row is None else Access.of(row)
        if changed:
            payload = to_answer(access).model_dump(mode="json")
            event_log.append(account_id, "account.updated", payload, connection=connection, now=now)
            postgres.log_transition(
                connection,
                "access",
                changed["before"],
                state,
                reason=reason,
                account_id=account_id,
            )
    if changed:
        count("AccessChanged")
        if state != "ok":
            count("AccessLost")
    return access


def publish_methods(account_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Append an ``account.updated`` event with the access state and the methods that are closed to
    the account."""
    row = connection.execute(SELECT_ACCOUNT_ACCESS, {"account_id": account_id}).fetchone()
    if row is None:
        return
    methods = method_status.list_methods(account_id, connection=connection)
    payload = to_answer(Access.of(row).at(now)).model_dump(mode="json")
    payload["closed_methods"] = [
        method.model_dump(mode="json") for method in methods if method.state == "closed"
    ]
    event_log.append(account_id, "account.updated", payload, connection=connection, now=now)
