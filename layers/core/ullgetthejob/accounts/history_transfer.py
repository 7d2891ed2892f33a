"""History transfer: past applications belong to the account, not to one of its sessions.

The BFF reads ``applications`` and ``application_queue`` by its present session's id, so a new login
would see nothing that was sent before. The rows are moved to the session that logged in last; what
another session of the same person submits after that stays with that session until the next login.
(Core's own answers are the account's, for every session.) When a session leaves an account for
another, the rows of the first account go to its newest remaining session, else to a placeholder
user of the account, which cannot log in.

``parsed_cvs`` stay with their session: only the BFF knows to which person they belong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

# Rows are locked in the order of their ids: two concurrent logins wait for each other.
UPDATE_APPLICATIONS_OWNER = """
    WITH old AS (
        SELECT a.id FROM application_ledger l JOIN applications a ON a.id = l.application_id
        WHERE l.account_id = %(account_id)s AND a.user_id <> %(user_id)s
        ORDER BY a.id FOR NO KEY UPDATE OF a
    )
    UPDATE applications a SET user_id = %(user_id)s FROM old WHERE a.id = old.id
"""
# An item of a campaign that Core does not know yet belongs to the session that wrote it.
UPDATE_QUEUE_ITEMS_OWNER = """
    WITH old AS (
        SELECT q.id FROM application_queue q JOIN users u ON u.id = q.user_id
        LEFT JOIN campaigns c ON c.workflow_id = q.workflow_id
        WHERE u.account_id = %(account_id)s AND q.user_id <> %(user_id)s
          AND coalesce(c.account_id, u.account_id) = u.account_id
        ORDER BY q.id FOR NO KEY UPDATE OF q
    )
    UPDATE application_queue q SET user_id = %(user_id)s FROM old WHERE q.id = old.id
"""
SELECT_ACCOUNTS_LEFT = """
    SELECT l.account_id FROM applications a JOIN application_ledger l ON l.application_id = a.id
    WHERE a.user_id = %(user_id)s AND l.account_id <> %(account_id)s
    UNION
    SELECT c.account_id FROM application_queue q CROSS JOIN LATERAL (
        SELECT account_id FROM campaigns WHERE workflow_id = q.workflow_id LIMIT 1
    ) AS c
    WHERE q.user_id = %(user_id)s AND c.account_id <> %(account_id)s
"""
SELECT_NEWEST_USER_OF_ACCOUNT = """
    SELECT id FROM users WHERE account_id = %(account_id)s ORDER BY updated_at DESC, id LIMIT 1
"""
INSERT_USER_OF_ACCOUNT = """
    INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)
    VALUES (%(account_id)s, %(email)s, '!', %(account_id)s, %(utc)s, %(utc)s)
    ON CONFLICT (id) DO NOTHING
"""
UPDATE_APPLICATIONS_RETURNED = """
    UPDATE applications a SET user_id = %(heir)s FROM application_ledger l
    WHERE l.application_id = a.id AND l.account_id = %(account_id)s AND a.user_id = %(user_id)s
"""
UPDATE_QUEUE_ITEMS_RETURNED = """
    UPDATE application_queue q SET user_id = %(heir)s FROM campaigns c
    WHERE c.workflow_id = q.workflow_id AND c.account_id = %(account_id)s
      AND q.user_id = %(user_id)s
"""


def transfer_history(account_id: UUID, user_id: UUID, context: Context) -> None:
    """Move the account's history to *user_id*, which has logged in, and rows of other accounts
    that *user_id* has back to those accounts. A repetition changes and records nothing."""
    connection = context.connection
    values = {"account_id": account_id, "user_id": user_id}
    with connection.transaction():
        return_history(account_id, user_id, context)
        moved = connection.execute(UPDATE_APPLICATIONS_OWNER, values).rowcount
        moved += connection.execute(UPDATE_QUEUE_ITEMS_OWNER, values).rowcount
        if moved:
            _audit(account_id, user_id, context)
            logger.info("history transferred", rows=moved)


def return_history(account_id: UUID, user_id: UUID, context: Context) -> None:
    """Move rows of other accounts than *account_id* that *user_id* has back to those accounts, in
    the transaction of the context's connection."""
    connection = context.connection
    values = {"account_id": account_id, "user_id": user_id}
    for row in connection.execute(SELECT_ACCOUNTS_LEFT, values).fetchall():
        _return_to_account(row["account_id"], user_id, connection, context.now())
        _audit(row["account_id"], user_id, context)


def _return_to_account(
    account_id: UUID, user_id: UUID, connection: Connection, now: datetime
) -> None:
    values: dict[str, Any] = {
        "account_id": account_id,
        "user_id": user_id,
        "email": f"{account_id}@session.invalid",
        "utc": now.replace(tzinfo=None),
    }
    heir = connection.execute(SELECT_NEWEST_USER_OF_ACCOUNT, values).fetchone()
    if heir is None:
        connection.execute(INSERT_USER_OF_ACCOUNT, values)
    values["heir"] = heir["id"] if heir else account_id
    connection.execute(UPDATE_APPLICATIONS_RETURNED, values)
    connection.execute(UPDATE_QUEUE_ITEMS_RETURNED, values)


def _audit(account_id: UUID, user_id: UUID, context: Context) -> None:
    audit.write("history.move", "ok", context, user_id=user_id, account_id=account_id)
