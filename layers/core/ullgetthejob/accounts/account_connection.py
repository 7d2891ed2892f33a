"""Connecting: the account of an hh.ru user, and the sessions that are attached to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ullgetthejob.accounts import deleted_accounts, token_store
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from ullgetthejob.platform.postgres import Connection
SELECT_ACCOUNT_BY_HH_USER = "SELECT id FROM accounts WHERE hh_user_id = %(hh_user_id)s"
INSERT_ACCOUNT = """
    INSERT INTO accounts (hh_user_id, access_changed_at, created_at)
    VALUES (%(hh_user_id)s, %(now)s, %(now)s) ON CONFLICT DO NOTHING
"""
UPDATE_ACCOUNT_CONNECTED = """
    UPDATE accounts
    SET access_state = CASE WHEN %(until)s::timestamptz IS NULL THEN 'ok' ELSE 'limited_until' END,
        access_reason = NULL, access_until = %(until)s, captcha_url = NULL,
        access_tries = 0,
        access_changed_at = %(now)s,
        negotiations_due_at = %(now)s
    WHERE id = %(account_id)s AND NOT (access_state = 'limited_until' AND access_until > %(now)s)
"""
SELECT_HH_USER = "SELECT hh_user_id FROM accounts WHERE id = %(account_id)s"
LOCK_USER_ACCOUNT = "SELECT account_id FROM users WHERE id = %(user_id)s FOR UPDATE"
# For a session that is new here, or had another account, everything issued to it before ends. One
# that is connected to another account moves only if it may; decided in this statement, so that two
# concurrent logins cannot both pass.
UPSERT_USER_ACCOUNT = """
    INSERT INTO users AS u (id, email, password_hash, account_id, tokens_valid_from, inserted_at,
                            updated_at)
    VALUES (%(user_id)s, %(email)s, '!', %(account_id)s, %(after_now)s, %(utc)s, %(utc)s)
    ON CONFLICT (id) DO UPDATE SET
        account_id = excluded.account_id,
        tokens_valid_from = CASE WHEN u.account_id IS DISTINCT FROM excluded.account_id
            THEN greatest(%(now)s, u.tokens_valid_from) + interval '1 microsecond'
            ELSE u.tokens_valid_from END,
        updated_at = excluded.updated_at
    WHERE %(may_move)s OR u.account_id IS NULL OR u.account_id = excluded.account_id OR EXISTS (
        SELECT FROM accounts a
        WHERE a.id = u.account_id AND a.access_reason IN ('disconnected', 'account_not_found')
    )
    RETURNING tokens_valid_from
"""


class AccountChangeForbidden(Exception):
    """The session is connected to another account, and nothing proves that its person wants to
    change that."""


def get_or_create_account(hh_user_id: str, *, connection: Connection, now: datetime) -> UUID:
    """Return the id of the account of hh.ru's user; a new account has no tokens yet."""
    values = {"hh_user_id": hh_user_id, "now": now}
    connection.execute(INSERT_ACCOUNT, values)
    row = connection.execute(SELECT_ACCOUNT_BY_HH_USER, values).fetchone()
    if row is None:
        return get_or_create_account(hh_user_id, connection=connection, now=now)
    return UUID(str(row["id"]))


def attach_session(
    account_id: UUID, session_id: UUID, *, may_move: bool, connection: Connection, now: datetime
) -> datetime:
    """Attach the session to the account, in the transaction that *connection* is in; return the
    time from which its tokens are valid.

    *may_move*: whether a session that is connected to another account may leave it. Raises
    :class:`AccountChangeForbidden`.
    """
    values = {
        "user_id": session_id,
        "account_id": account_id,
        "email": f"{session_id}@session.invalid",
        "may_move": may_move,
        "now": now,
        "after_now": now + timedelta(microseconds=1),
        "utc": now.replace(tzinfo=None),
    }
    previous = connection.execute(LOCK_USER_ACCOUNT, values).fetchone()
    row = connection.execute(UPSERT_USER_ACCOUNT, values).fetchone()
    if row is None:
        raise AccountChangeForbidden
    if previous and previous["account_id"] not in (None, account_id):
        # for the broadcaster, which closes the sockets that this session has there
        event_log.notify_after_commit(previous["account_id"], connection=connection)
    token_store.delete_original(session_id, connection=connection)
    valid_from = row["tokens_valid_from"]
    return max(now, valid_from) if valid_from else now


def mark_connected(account_id: UUID, *, connection: Connection, now: datetime) -> None:
    """Set the account's access state to ok, unless hh.ru limits its applications at *now* or the
    person deleted an account that has just applied, and make its negotiations due."""
    values: dict[str, Any] = {"account_id": account_id, "now": now, "until": None}
    row = connection.execute(SELECT_HH_USER, values).fetchone()
    if row is not None:
        values["until"] = deleted_accounts.apply_again_at(
            row["hh_user_id"], connection=connection, now=now
        )
    connection.execute(UPDATE_ACCOUNT_CONNECTED, values)
