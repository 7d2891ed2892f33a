"""Deleting a person: the worker that finishes what :mod:`.deletion_request` began.

It works under the lease of the account's applications, so no application is being sent. Each step
can be repeated; a worker that ends in between leaves the deletion due, and the sweeper wakes the
next one:

    rows       the account's rows, in batches; a search that no other person saved goes too
    tokens     every pair is revoked at hh.ru. While hh.ru does not answer or refuses, the pairs
               alone are kept and revoked later, for three days; then they are deleted as they are
    sockets    the broadcaster closes them, because their users no longer exist
    the end    the account's row with all that refers to it, the audit log's names, items of
               DynamoDB

Messages that are still queued name an account that does not exist, and do nothing.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import token_renewal
from ullgetthejob.accounts.token_revocation import Revoked, revoke_all
from ullgetthejob.applications import submitter
from ullgetthejob.personal_data import deletion_request
from ullgetthejob.platform import leases
from ullgetthejob.platform.telemetry import count, log_transition, logger
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.realtime import connections, event_log

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.context import Context

LEASE_S = 120  # the function's timeout
ROWS_BUDGET_S = 40.0  # the revocations have 15, and hh.ru's slowest answer 28
ROWS_PER_BATCH = 1000
BUSY_PAUSE = timedelta(seconds=30)
SOCKETS_PAUSE = timedelta(seconds=3)
REVOCATION_PAUSE = timedelta(minutes=5)  # the first; then as long as it has taken until now
REVOCATION_TIMEOUT = timedelta(days=3)

SELECT_DELETION = """
    SELECT deletion_requested_at, deletion_due_at <= %(now)s AS is_due
    FROM accounts WHERE id = %(account_id)s AND deletion_requested_at IS NOT NULL
"""
UPDATE_DELETION_DUE = """
    UPDATE accounts SET deletion_due_at = %(due_at)s WHERE id = %(account_id)s
"""
DELETE_PART_OF_LEDGER = """
    DELETE FROM application_ledger WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM application_ledger WHERE account_id = %(account_id)s LIMIT %(most)s
    ))
"""
DELETE_PART_OF_NOTIFIED = """
    DELETE FROM account_vacancies WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM account_vacancies WHERE account_id = %(account_id)s LIMIT %(most)s
    ))
"""
DELETE_PART_OF_EVENTS = """
    DELETE FROM events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM events WHERE account_id = %(account_id)s LIMIT %(most)s
    ))
"""
UPDATE_PART_OF_AUDIT_ANONYMOUS = """
    UPDATE audit_log SET user_id = NULL, account_id = NULL, request_id = NULL
    WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM audit_log WHERE account_id = %(account_id)s LIMIT %(most)s
    ))
"""
PARTS = (
    DELETE_PART_OF_LEDGER,
    DELETE_PART_OF_NOTIFIED,
    DELETE_PART_OF_EVENTS,
    UPDATE_PART_OF_AUDIT_ANONYMOUS,
)
SELECT_SEARCHES = """
    SELECT id, query_id FROM saved_searches WHERE account_id = %(account_id)s ORDER BY id
"""
# A person who saves the same search at this moment holds the row until the end of that.
LOCK_QUERY = "SELECT FROM search_queries WHERE id = %(query_id)s FOR UPDATE"
SELECT_RUNNING = "SELECT FROM fetch_runs WHERE query_id = %(query_id)s AND state = 'running'"
DELETE_SEARCH = "DELETE FROM saved_searches WHERE id = %(id)s"
DELETE_QUERY_UNUSED = """
    DELETE FROM search_queries WHERE id = %(query_id)s
        AND (SELECT 1 FROM saved_searches WHERE query_id = %(query_id)s LIMIT 1) IS NULL
"""
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR UPDATE"
SELECT_PAIRS = """
    SELECT refresh_hash FROM account_tokens WHERE account_id = %(account_id)s
    UNION ALL SELECT refresh_hash FROM replaced_tokens WHERE account_id = %(account_id)s
"""
SELECT_PARKED = """
    SELECT code_hash FROM hh_logins WHERE account_id = %(account_id)s AND state = 'exchanged'
"""
DELETE_LOGINS = "DELETE FROM hh_logins WHERE account_id = %(account_id)s"
DELETE_USERS = "DELETE FROM users WHERE account_id = %(account_id)s"
DELETE_ACCOUNT = "DELETE FROM accounts WHERE id = %(account_id)s"


def run(account_id: UUID, context: Context) -> bool:
    """Continue the deletion of the account; return whether it is being deleted, so that nothing
    else is to be done for it.

    Raises :class:`Unavailable`: the message is delivered again, and the sweeper sends others.
    """
    row = _read(account_id, context)
    if row is None:
        return False
    if not row["is_due"]:
        return True
    name = submitter.lease_name(account_id)
    lease = leases.acquire(name, seconds=LEASE_S, now=context.now())
    if lease is None:  # an application is being sent; its worker finds that the account is closed
        _postpone(account_id, BUSY_PAUSE, context)
        return True
    is_done = False
    try:
        if (row := _read(account_id, context)) is not None:
            is_done = _Deletion(account_id, row["deletion_requested_at"], context).run()
    finally:
        if is_done:
            leases.delete(name)
        else:
            lease.release()
    return True


def _read(account_id: UUID, context: Context) -> dict[str, Any] | None:
    values = {"account_id": account_id, "now": context.now()}
    return context.connection.execute(SELECT_DELETION, values).fetchone()


def _postpone(account_id: UUID, pause: timedelta, context: Context) -> None:
    """Let the deletion be due again after *pause*, and send a wake-up for a short one."""
    values = {"account_id": account_id, "due_at": context.now() + pause}
    context.connection.execute(UPDATE_DELETION_DUE, values)
    if pause <= BUSY_PAUSE:
        deletion_request.notify(account_id, after_s=int(pause.total_seconds()) + 1)


class _Deletion:
    """One run of the worker that holds the lease."""

    def __init__(self, account_id: UUID, requested_at: datetime, context: Context) -> None:
        self._account_id = account_id
        self._requested_at = requested_at
        self._context = context
        self._values = {"account_id": account_id, "most": ROWS_PER_BATCH}

    def run(self) -> bool:
        """Do all that can be done now; return whether the account is deleted."""
        pauses = [self._delete_rows()]
        revoked = revoke_all(self._account_id, self._context)
        pauses += [self._pause_of(revoked), self._close_sockets()]
        pause = max((pause for pause in pauses if pause is not None), default=None)
        if pause is None and self._delete_account(revoked):
            log_transition("account", "deleting", "deleted", account_id=self._account_id)
            count("AccountsDeleted")
            return True
        _postpone(self._account_id, pause or BUSY_PAUSE, self._context)
        return False

    def _delete_rows(self) -> timedelta | None:
        """Delete the account's rows in batches; return when to continue, ``None`` if all are
        deleted."""
        connection = self._context.connection
        ends = time.monotonic() + ROWS_BUDGET_S
        for statement in PARTS:
            while connection.execute(statement, self._values).rowcount >= ROWS_PER_BATCH:
                if time.monotonic() >= ends:
                    return timedelta(0)
        searches = connection.execute(SELECT_SEARCHES, self._values).fetchall()
        waits = [not self._delete_search(search) for search in searches]
        return BUSY_PAUSE if any(waits) else None

    def _delete_search(self, search: dict[str, Any]) -> bool:
        """Delete a saved search, with its query if no other has it; return whether that was
        possible: a run in progress ends first."""
        connection = self._context.connection
        with connection.transaction():
            connection.execute(LOCK_QUERY, search)
            if connection.execute(SELECT_RUNNING, search).fetchone() is not None:
                return False
            connection.execute(DELETE_SEARCH, search)
            connection.execute(DELETE_QUERY_UNUSED, search)
        return True

    def _pause_of(self, revoked: Revoked) -> timedelta | None:
        """Return after which pause the pairs are revoked again; ``None``: not at all."""
        if not revoked.not_revoked:
            return None
        waited = self._context.now() - self._requested_at
        if waited < REVOCATION_TIMEOUT:
            return max(REVOCATION_PAUSE, waited)
        logger.warning("tokens of a deleted account were not revoked")
        count("DeletionsNotRevoked")
        return None

    def _close_sockets(self) -> timedelta | None:
        """Let the broadcaster close the sockets; return when to look again, ``None`` if there are
        none."""
        if not connections.list_of_account(self._account_id):
            return None
        event_log.notify(self._account_id)
        return SOCKETS_PAUSE

    def _delete_account(self, revoked: Revoked) -> bool:
        """Delete what is left; return whether it is. A pair of a login that ended in the meantime
        has to be revoked first."""
        connection, account_id = self._context.connection, self._account_id
        token_bucket.delete("submit", account_id)
        leases.delete(token_renewal.lease_name(account_id))
        with connection.transaction():
            connection.execute(LOCK_ACCOUNT, self._values)
            pairs = connection.execute(SELECT_PAIRS, self._values).fetchall()
            parked = connection.execute(SELECT_PARKED, self._values).fetchall()
            if {bytes(row["refresh_hash"]) for row in pairs} - revoked.tried:
                return False
            if {bytes(row["code_hash"]) for row in parked} - revoked.tried_parked:
                return False
            for statement in (
                UPDATE_PART_OF_AUDIT_ANONYMOUS,
                DELETE_LOGINS,
                DELETE_USERS,
                DELETE_ACCOUNT,
            ):
                connection.execute(statement, self._values)
        return True
