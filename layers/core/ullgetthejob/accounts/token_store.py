"""The token store: hh.ru's tokens of each account, one pair an account, as ciphertext only.

They are kept in ``account_tokens``, a table of Core's own: the original's ``hh_tokens`` is dropped
by a migration of the BFF's.

Each token is encrypted by KMS under ``{"account_id": …}``: copied to another account's row it does
not decrypt. ``refresh_hash`` (SHA-256) identifies the pair of a row without decrypting it. How a
pair is renewed: :mod:`.token_renewal`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import replaced_tokens
from ullgetthejob.hh.errors import HHRefreshRefused
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import encryption, postgres
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import logger, trace

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts import access
    from ullgetthejob.platform.postgres import Connection

SELECT_TOKENS = """
    SELECT t.access_token, t.refresh_token, t.refresh_hash, t.expires_at,
           a.access_state, a.access_reason
    FROM account_tokens t JOIN accounts a ON a.id = t.account_id
    WHERE t.account_id = %(account_id)s
"""
UPSERT_TOKENS = """
    INSERT INTO account_tokens (account_id, user_id, access_token, refresh_token, refresh_hash,
                                expires_at, inserted_at, updated_at)
    VALUES (%(account_id)s, %(user_id)s, %(access_token)s, %(refresh_token)s,
            %(refresh_hash)s, %(expires_at)s, %(utc)s, %(utc)s)
    ON CONFLICT (account_id) DO UPDATE SET
        user_id = excluded.user_id,
        access_token = excluded.access_token,
        refresh_token = excluded.refresh_token,
        refresh_hash = excluded.refresh_hash,
        previous_refresh_hash = NULL,
        refreshed_at = NULL,
        expires_at = excluded.expires_at,
        updated_at = excluded.updated_at
"""
UPDATE_TOKENS_REPLACED = """
    UPDATE account_tokens
    SET access_token = %(access_token)s, refresh_token = %(refresh_token)s,
        refresh_hash = %(refresh_hash)s, previous_refresh_hash = refresh_hash,
        refreshed_at = %(now)s, expires_at = %(expires_at)s, updated_at = %(utc)s
    WHERE account_id = %(account_id)s AND refresh_hash = %(old_hash)s
"""
UPDATE_TOKENS_EXPIRY = """
    UPDATE account_tokens SET expires_at = greatest(expires_at, %(expires_at)s)
    WHERE account_id = %(account_id)s AND refresh_hash = %(refresh_hash)s
"""
UPDATE_TOKENS_CIPHERTEXT = """
    UPDATE account_tokens SET access_token = %(access_token)s, refresh_token = %(refresh_token)s
    WHERE account_id = %(account_id)s AND refresh_hash = %(refresh_hash)s
"""
LOCK_TOKENS = """
    SELECT FROM account_tokens WHERE account_id = %(account_id)s AND refresh_hash = %(refresh_hash)s
    FOR UPDATE
"""
SELECT_ACCOUNT_BY_REFRESH_TOKEN = """
    SELECT account_id, refresh_hash, refreshed_at FROM account_tokens
    WHERE refresh_hash = %(hash)s OR previous_refresh_hash = %(hash)s
"""  # noqa: S105
DELETE_TOKENS = (
    "DELETE FROM account_tokens WHERE account_id = %(account_id)s RETURNING refresh_hash"
)
# The original's table may have been dropped by a migration of the BFF's.
SELECT_ORIGINAL_TABLE_EXISTS = "SELECT to_regclass('hh_tokens') IS NOT NULL AS found"
DELETE_ORIGINAL_TOKENS = "DELETE FROM hh_tokens WHERE user_id = %(user_id)s"


@dataclass(frozen=True)
class EncryptedTokens:
    """A pair to be stored: ciphertexts, the refresh token's hash, and the access token's lifetime
    in seconds."""

    account_id: UUID
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    refresh_hash: bytes = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class StoredTokens:
    """A pair as it is stored, with the account's access state. *expires_at*: of the access
    token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    refresh_hash: bytes = field(repr=False)
    expires_at: datetime
    access_state: access.State
    access_reason: str | None

    def is_newer_than(self, seen: StoredTokens) -> bool:
        """Return whether the pair was replaced after *seen* was read, or its expiry extended.

        Raises :class:`HHRefreshRefused` when hh.ru has refused to renew it: hh.ru is asked once.
        """
        if self.refresh_hash == seen.refresh_hash and self.access_state == "reauth_required":
            raise reauth_required(self.access_reason)
        return self.refresh_hash != seen.refresh_hash or self.expires_at > seen.expires_at


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def encrypt(account_id: UUID, pair: TokenPair) -> EncryptedTokens:
    """Encrypt *pair* for *account_id*: the part of storing it that needs no database.

    Raises :class:`Unavailable`.
    """
    context = _context(account_id)
    return EncryptedTokens(
        account_id,
        encryption.encrypt(pair.access_token, context),
        encryption.encrypt(pair.refresh_token, context),
        hash_refresh_token(pair.refresh_token),
        pair.expires_in,
    )


def save(
    encrypted: EncryptedTokens, *, user_id: UUID | None, connection: Connection, now: datetime
) -> None:
    """Store the account's pair of a login, in the transaction that *connection* is in; the pair
    before it is kept as replaced, to be revoked later.

    *user_id*: the user that logged in, ``None`` for a login without a session. *now*: not later
    than hh.ru returned the pair.
    """
    replaced_tokens.archive(
        encrypted.account_id, new_refresh_hash=encrypted.refresh_hash, connection=connection
    )
    connection.execute(UPSERT_TOKENS, {**_values(encrypted, now), "user_id": user_id})


def replace(
    encrypted: EncryptedTokens, old: StoredTokens, *, connection: Connection, now: datetime
) -> bool:
    """Store a renewed pair in place of *old*; return whether the account still had *old*."""
    values = {**_values(encrypted, now), "old_hash": old.refresh_hash}
    return connection.execute(UPDATE_TOKENS_REPLACED, values).rowcount > 0


def extend_expiry(
    account_id: UUID, row: StoredTokens, *, until: datetime, connection: Connection
) -> None:
    """Let *row*'s access token expire at *until* at the earliest, if the account still has it."""
    values = {
        "account_id": account_id,
        "refresh_hash": row.refresh_hash,
        "expires_at": _utc(until),
    }
    connection.execute(UPDATE_TOKENS_EXPIRY, values)


def delete(account_id: UUID, *, connection: Connection) -> bytes | None:
    """Delete the account's pair, in the transaction that *connection* is in; return its hash, or
    ``None`` without one."""
    row = connection.execute(DELETE_TOKENS, {"account_id": account_id}).fetchone()
    return bytes(row["refresh_hash"]) if row else None


def delete_original(user_id: UUID, *, connection: Connection) -> None:
    """Delete the user's tokens in the original's table, in the transaction that *connection* is
    in."""
    row = connection.execute(SELECT_ORIGINAL_TABLE_EXISTS).fetchone()
    if row is not None and row["found"]:
        connection.execute(DELETE_ORIGINAL_TOKENS, {"user_id": user_id})


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def read(account_id: UUID, *, connection: Connection, now: datetime) -> TokenPair:
    """Return the account's pair, expired or not; *expires_in*: seconds from *now*.

    Raises :class:`HHRefreshRefused` (``not_connected``, ``tokens_unreadable``),
    :class:`Unavailable`.
    """
    return decrypt_pair(account_id, read_row(account_id, connection=connection), now=now)


def read_row(account_id: UUID, *, connection: Connection) -> StoredTokens:
    """Return the account's pair as it is stored. Raises :class:`HHRefreshRefused`
    (``not_connected``)."""
    row = connection.execute(SELECT_TOKENS, {"account_id": account_id}).fetchone()
    if row is None:
        raise reauth_required("not_connected")
    return StoredTokens(
        row["access_token"],
        row["refresh_token"],
        bytes(row["refresh_hash"]),
        row["expires_at"].replace(tzinfo=UTC),
        row["access_state"],
        row["access_reason"],
    )


def lock_row(account_id: UUID, row: StoredTokens, *, connection: Connection) -> bool:
    """Lock *row* in the transaction that *connection* is in; return whether the account still has
    it."""
    values = {"account_id": account_id, "refresh_hash": row.refresh_hash}
    return connection.execute(LOCK_TOKENS, values).fetchone() is not None


def hash_of(account_id: UUID, *, connection: Connection) -> bytes | None:
    """Return the hash that identifies the account's pair; ``None`` without one."""
    row = connection.execute(SELECT_TOKENS, {"account_id": account_id}).fetchone()
    return bytes(row["refresh_hash"]) if row else None


def find_row(refresh_token: str, *, connection: Connection) -> dict[str, Any] | None:
    """Return ``account_id``, ``refresh_hash`` and ``refreshed_at`` of the pair to which
    *refresh_token* belongs, or belonged before the last renewal."""
    values = {"hash": hash_refresh_token(refresh_token)}
    return connection.execute(SELECT_ACCOUNT_BY_REFRESH_TOKEN, values).fetchone()


def find_account(refresh_token: str, *, connection: Connection) -> UUID | None:
    """Return the account to whose pair *refresh_token* belongs, or belonged before the last
    renewal."""
    row = find_row(refresh_token, connection=connection)
    return None if row is None else row["account_id"]


# ── decrypting ───────────────────────────────────────────────────────────────────────────────────


def decrypt_access_token(account_id: UUID, row: StoredTokens) -> str:
    """Return the access token of *row*. Raises :class:`HHRefreshRefused` (``tokens_unreadable``),
    :class:`Unavailable`."""
    decrypted = _decrypt(account_id, row.access_token)
    if decrypted.by_previous_key:
        _move_to_current_key(account_id, row)
    return decrypted.text


def decrypt_refresh_token(account_id: UUID, row: StoredTokens) -> str:
    """Return the refresh token of *row*. Raises what :func:`decrypt_access_token` raises."""
    return _decrypt(account_id, row.refresh_token).text


def decrypt_pair(account_id: UUID, row: StoredTokens, *, now: datetime) -> TokenPair:
    """Return the pair of *row*; *expires_in*: seconds from *now*. Raises what
    :func:`decrypt_access_token` raises."""
    access_token, refresh_token = (
        _decrypt(account_id, ciphertext) for ciphertext in (row.access_token, row.refresh_token)
    )
    if access_token.by_previous_key or refresh_token.by_previous_key:
        _move_to_current_key(account_id, row)
    left = max(0, int((row.expires_at - now).total_seconds()))
    return TokenPair(access_token.text, refresh_token.text, left)


def hash_refresh_token(refresh_token: str) -> bytes:
    """Return the hash by which a pair is identified."""
    return hashlib.sha256(refresh_token.encode()).digest()


def reauth_required(reason: str | None) -> HHRefreshRefused:
    """Return the error that says that the person has to log in again."""
    error = HHRefreshRefused("the person has to log in at hh.ru again", details={"reason": reason})
    error.reason = reason
    return error


def _decrypt(account_id: UUID, ciphertext: str) -> encryption.Decrypted:
    try:
        return encryption.decrypt_with_key_info(ciphertext, _context(account_id))
    except encryption.Undecryptable:
        logger.error("tokens cannot be decrypted")
        raise reauth_required("tokens_unreadable") from None


def _move_to_current_key(account_id: UUID, row: StoredTokens) -> None:
    """Encrypt the pair again by the current key. If that fails, the next read tries again."""
    import psycopg

    context = _context(account_id)
    try:
        values = {
            "account_id": account_id,
            "refresh_hash": row.refresh_hash,
            "access_token": encryption.encrypt(
                encryption.decrypt(row.access_token, context), context
            ),
            "refresh_token": encryption.encrypt(
                encryption.decrypt(row.refresh_token, context), context
            ),
        }
        with postgres.session() as connection:
            connection.execute(UPDATE_TOKENS_CIPHERTEXT, values)
    except (Unavailable, encryption.Undecryptable, psycopg.Error) as error:
        logger.warning("tokens stay encrypted by the previous key", **trace(error))


def _values(encrypted: EncryptedTokens, now: datetime) -> dict[str, Any]:
    return {
        "account_id": encrypted.account_id,
        "access_token": encrypted.access_token,
        "refresh_token": encrypted.refresh_token,
        "refresh_hash": encrypted.refresh_hash,
        "expires_at": _utc(now + timedelta(seconds=encrypted.expires_in)),
        "now": now,
        "utc": _utc(now),
    }


def _utc(moment: datetime) -> datetime:
    """Return *moment* for ``timestamp(0)``, UTC without zone: rounded down, so that no token seems
    valid for longer than it is."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _context(account_id: UUID) -> dict[str, str]:
    return {"account_id": str(account_id)}
