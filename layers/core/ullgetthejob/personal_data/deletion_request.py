"""Deleting a person: the request, after which the deletion is certain.

One transaction ends every session of the account and deletes what belongs to sessions: users, the
BFF's rows of applications and campaigns, CVs, logins. What remains of the account no longer leads
to hh.ru's user: the same person who logs in again gets a new account. The transaction also makes
the deletion due, so that the worker (:mod:`.deletion`) and the sweeper finish it, whatever ends in
between. Nothing is sent for the account from then on.

A repeated request finds no user any more and is answered the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import (
    audit,
    deleted_accounts,
    history_transfer,
    replaced_tokens,
    token_store,
)
from ullgetthejob.personal_data import tables
from ullgetthejob.personal_data.models import DeletionAccepted
from ullgetthejob.platform import postgres, queues, settings
from ullgetthejob.platform.telemetry import count
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context

QUEUE = settings.APPLIER_QUEUE_URL
REASON = "account_deleted"
FOREVER = timedelta(days=3650)

# Users first, then the account: the order in which a login locks them.
LOCK_USERS_OF_PERSON = """
    SELECT id FROM users WHERE id = %(user_id)s OR account_id = %(account_id)s
    ORDER BY id FOR UPDATE
"""
LOCK_ACCOUNT = "SELECT hh_user_id FROM accounts WHERE id = %(account_id)s FOR UPDATE"
# The pair of an interrupted login is revoked by the worker; a login in progress ends by itself.
UPDATE_PARKED_LOGINS_OWNER = """
    UPDATE hh_logins SET account_id = %(account_id)s, user_id = NULL
    WHERE user_id = ANY(%(user_ids)s) AND state = 'exchanged'
"""
DELETE_LOGINS = """
    DELETE FROM hh_logins
    WHERE (user_id = ANY(%(user_ids)s) OR account_id = %(account_id)s)
        AND (state IN ('done', 'refused') OR state = 'sent' AND started_at < %(before)s)
"""
DELETE_STATE_BINDINGS = "DELETE FROM state_bound_sessions WHERE user_id = ANY(%(user_ids)s)"
DELETE_PARSED_CVS = "DELETE FROM parsed_cvs WHERE user_id = ANY(%(user_ids)s)"
DELETE_APPLICATIONS_SHOWN = """
    DELETE FROM applications WHERE id IN (
        SELECT application_id FROM application_ledger WHERE account_id = %(account_id)s
    )
"""
DELETE_USERS = "DELETE FROM users WHERE id = ANY(%(user_ids)s)"
UPDATE_AUDIT_OF_USERS_ANONYMOUS = """
    UPDATE audit_log SET user_id = NULL, account_id = NULL, request_id = NULL
    WHERE user_id = ANY(%(user_ids)s)
"""
UPDATE_SEARCHES_PAUSED = "UPDATE saved_searches SET paused = true WHERE account_id = %(account_id)s"
# The access state lets the worker renew tokens, to revoke them, and allows no application.
UPDATE_ACCOUNT_DELETION_DUE = """
    UPDATE accounts
    SET hh_user_id = 'deleted ' || id, hh_counters = NULL, hh_counters_at = NULL,
        captcha_url = NULL, access_state = 'limited_until', access_reason = %(reason)s,
        access_until = %(forever)s, access_changed_at = %(now)s, negotiations_due_at = NULL,
        deletion_requested_at = %(now)s, deletion_due_at = %(now)s
    WHERE id = %(account_id)s
"""
SELECT_DELETIONS_DUE = """
    SELECT id FROM accounts WHERE deletion_due_at <= %(now)s ORDER BY deletion_due_at
    LIMIT %(most)s
"""


def request_deletion(person: Person, context: Context) -> DeletionAccepted:
    """Delete the person with all sessions; of an unknown user there is nothing to delete.

    Raises :class:`Unavailable`; nothing or all is done then.
    """
    context = context.with_fixed_time()
    connection, account_id = context.connection, person.account_id
    values: dict[str, Any] = {"user_id": person.user_id, "account_id": account_id}
    for row in connection.execute(tables.SELECT_USERS_OF_PERSON, values).fetchall():
        token_bucket.delete("submit", row["id"])  # of before the session had an account
    with connection.transaction():
        rows = connection.execute(LOCK_USERS_OF_PERSON, values).fetchall()
        user_ids = [row["id"] for row in rows]
        if user_ids:
            if account_id is not None:
                for user_id in user_ids:
                    history_transfer.return_history(account_id, user_id, context)
            _delete_sessions(account_id, user_ids, context)
            if account_id is not None:
                _make_due(account_id, context)
            audit.write("account.delete", "ok", context, user_id=None, account_id=None)
    if user_ids:
        count("DeletionsRequested")
    return DeletionAccepted()


def notify_due(context: Context, *, most: int) -> int:
    """Notify the worker of at most *most* accounts whose deletion is due; return how many."""
    values = {"now": context.now(), "most": most}
    rows = context.connection.execute(SELECT_DELETIONS_DUE, values).fetchall()
    queues.notify_accounts(QUEUE, (row["id"] for row in rows))
    return len(rows)


def notify(account_id: UUID, *, after_s: int = 0) -> None:
    """Send the worker a wake-up for the account."""
    queues.notify(QUEUE, {"account_id": str(account_id)}, after_s=after_s)


def _delete_sessions(account_id: UUID | None, user_ids: list[UUID], context: Context) -> None:
    """Delete what hangs on the users, and them."""
    connection = context.connection
    values = {
        "account_id": account_id,
        "user_ids": user_ids,
        "before": context.now() - replaced_tokens.LOGIN_TIMEOUT,
    }
    for statement in (
        UPDATE_PARKED_LOGINS_OWNER,
        DELETE_LOGINS,
        DELETE_STATE_BINDINGS,
        DELETE_PARSED_CVS,
        DELETE_APPLICATIONS_SHOWN,
        UPDATE_AUDIT_OF_USERS_ANONYMOUS,
    ):
        connection.execute(statement, values)
    for user_id in user_ids:
        token_store.delete_original(user_id, connection=connection)
    connection.execute(DELETE_USERS, values)  # with their CVs, items of campaigns, applications


def _make_due(account_id: UUID, context: Context) -> None:
    """Let the worker delete the account; unless another request did so before."""
    connection, now = context.connection, context.now()
    values = {"account_id": account_id, "now": now, "reason": REASON, "forever": now + FOREVER}
    row = connection.execute(LOCK_ACCOUNT, values).fetchone()
    if row is None:
        return
    deleted_accounts.remember(account_id, row["hh_user_id"], connection=connection, now=now)
    connection.execute(UPDATE_SEARCHES_PAUSED, values)
    connection.execute(UPDATE_ACCOUNT_DELETION_DUE, values)
    event_log.notify_after_commit(account_id, connection=connection)  # closes the sockets
    postgres.after_commit(connection, (QUEUE, account_id), lambda: notify(account_id))
