"""When the person of a deleted account may apply again.

hh.ru's 200 in 24 hours and Core's token bucket are counted per account; deleting it must not start
either anew. So that a person who connects hh.ru again within 24 hours of the last application goes
on applying no sooner, one row is left of the account: a digest of hh.ru's id of the person, keyed
with the secret that signs Core's tokens, and a time. A day later it is deleted.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ullgetthejob.platform import secrets, settings

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

WINDOW = timedelta(hours=24)
PURPOSE = b"ullgetthejob deleted account "

SELECT_LAST_ATTEMPT = """
    SELECT max(at) AS at FROM application_attempts
    WHERE account_id = %(account_id)s AND at > %(since)s
"""
UPSERT_DELETED_ACCOUNT = """
    INSERT INTO deleted_accounts (hh_user_digest, apply_again_at)
    VALUES (%(digest)s, %(at)s)
    ON CONFLICT (hh_user_digest) DO UPDATE
    SET apply_again_at = greatest(deleted_accounts.apply_again_at, excluded.apply_again_at)
"""
SELECT_APPLY_AGAIN_AT = """
    SELECT max(apply_again_at) AS at FROM deleted_accounts
    WHERE hh_user_digest = ANY(%(digests)s) AND apply_again_at > %(now)s
"""
DELETE_OLD_DELETED_ACCOUNTS = """
    DELETE FROM deleted_accounts WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM deleted_accounts WHERE apply_again_at <= %(now)s LIMIT %(most)s
    ))
"""


def remember(account_id: UUID, hh_user_id: str, *, connection: Connection, now: datetime) -> None:
    """Store until when the person of a deleted account may not apply, if that is later than *now*,
    in the transaction that *connection* is in."""
    values = {"account_id": account_id, "since": now - WINDOW}
    row = connection.execute(SELECT_LAST_ATTEMPT, values).fetchone()
    if row is None or row["at"] is None:
        return
    digest = _digests(hh_user_id)[0]
    values = {"digest": digest, "at": row["at"] + WINDOW}
    connection.execute(UPSERT_DELETED_ACCOUNT, values)


def apply_again_at(hh_user_id: str, *, connection: Connection, now: datetime) -> datetime | None:
    """Return when the person may apply again; ``None``: at once."""
    values = {"digests": _digests(hh_user_id), "now": now}
    row = connection.execute(SELECT_APPLY_AGAIN_AT, values).fetchone()
    found: datetime | None = row["at"] if row else None
    return found


def delete_old(*, connection: Connection, now: datetime, most: int) -> int:
    """Delete at most *most* rows that no longer count; return how many."""
    return connection.execute(DELETE_OLD_DELETED_ACCOUNTS, {"now": now, "most": most}).rowcount


def _digests(hh_user_id: str) -> list[bytes]:
    """Return the digest under the signing secret, and under the one before its rotation."""
    keys = (
        secrets.require(settings.SECRET_KEY_BASE),
        secrets.read(settings.SECRET_KEY_BASE_PREVIOUS),
    )
    return [
        hmac.digest(key.encode(), PURPOSE + hh_user_id.encode(), "sha256") for key in keys if key
    ]
