"""Replaced token pairs: those that an account had before its present one.

Each login at hh.ru returns a new pair, and the account keeps the last one; earlier ones stay valid
at hh.ru until they are revoked. They are kept, as ciphertext, only to be revoked when the person
disconnects. A pair that was renewed is not among them: hh.ru ends it itself.

A login that was interrupted after hh.ru returned its pair has that pair parked in ``hh_logins``:
see :mod:`.login`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

INSERT_REPLACED_TOKENS = """
    INSERT INTO replaced_tokens (refresh_hash, account_id, access_token, refresh_token, expires_at,
                                 received_at)
    SELECT refresh_hash, account_id, access_token, refresh_token, expires_at AT TIME ZONE 'UTC',
           coalesce(refreshed_at, updated_at AT TIME ZONE 'UTC')
    FROM account_tokens WHERE account_id = %(account_id)s AND refresh_hash <> %(refresh_hash)s
    FOR UPDATE
    ON CONFLICT (refresh_hash) DO NOTHING
"""
SELECT_REPLACED_TOKENS = """
    SELECT refresh_hash, access_token, refresh_token, expires_at, received_at
    FROM replaced_tokens WHERE account_id = %(account_id)s ORDER BY received_at DESC
"""
DELETE_REPLACED_TOKENS = (
    "DELETE FROM replaced_tokens WHERE account_id = %(account_id)s RETURNING refresh_hash"
)
# A login that is still in progress is left to the callback that handles it. A parked pair has an
# account when its session was deleted.
SELECT_PARKED_LOGINS = """
    SELECT code_hash, pair, started_at FROM hh_logins
    WHERE state = 'exchanged' AND started_at < %(before)s
      AND (account_id = %(account_id)s
           OR user_id IN (SELECT id FROM users WHERE account_id = %(account_id)s))
    ORDER BY started_at DESC
"""
UPDATE_PARKED_LOGINS_CLEARED = """
    UPDATE hh_logins
    SET state = 'refused', pair = NULL, refusal = 'login_interrupted', finished_at = %(now)s
    WHERE state = 'exchanged' AND code_hash = ANY(%(hashes)s)
"""
LOGIN_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True)
class ReplacedPair:
    """A pair as ciphertexts. *expires_at*: when its access token expires."""

    refresh_hash: bytes = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    received_at: datetime


@dataclass(frozen=True)
class ParkedPair:
    """The pair of a login that was interrupted: both tokens in one ciphertext."""

    code_hash: bytes = field(repr=False)
    pair: str = field(repr=False)
    started_at: datetime


def archive(account_id: UUID, *, new_refresh_hash: bytes, connection: Connection) -> None:
    """Store the account's present pair as replaced, unless it is the new one, in the transaction
    that *connection* is in."""
    values = {"account_id": account_id, "refresh_hash": new_refresh_hash}
    connection.execute(INSERT_REPLACED_TOKENS, values)


def list_replaced(account_id: UUID, *, connection: Connection) -> list[ReplacedPair]:
    """Return the account's replaced pairs, the latest first."""
    rows = connection.execute(SELECT_REPLACED_TOKENS, {"account_id": account_id}).fetchall()
    return [ReplacedPair(**{**row, "refresh_hash": bytes(row["refresh_hash"])}) for row in rows]


def list_parked(account_id: UUID, *, connection: Connection, now: datetime) -> list[ParkedPair]:
    """Return the pairs of the account's sessions whose logins were interrupted."""
    values = {"account_id": account_id, "before": now - LOGIN_TIMEOUT}
    rows = connection.execute(SELECT_PARKED_LOGINS, values).fetchall()
    return [ParkedPair(**{**row, "code_hash": bytes(row["code_hash"])}) for row in rows]


def delete(
    account_id: UUID, parked_hashes: Collection[bytes], *, connection: Connection, now: datetime
) -> set[bytes]:
    """Delete the replaced pairs and those parked under *parked_hashes*, in the transaction that
    *connection* is in; return the hashes of the replaced pairs."""
    values = {"hashes": list(parked_hashes), "now": now}
    connection.execute(UPDATE_PARKED_LOGINS_CLEARED, values)
    rows = connection.execute(DELETE_REPLACED_TOKENS, {"account_id": account_id}).fetchall()
    return {bytes(row["refresh_hash"]) for row in rows}


def is_expired(pair: ReplacedPair, now: datetime) -> bool:
    """Return whether its access token has expired, so that hh.ru revokes it only after a
    refresh."""
    return pair.expires_at.astimezone(UTC) <= now
