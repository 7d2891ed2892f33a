"""The vault: hh.ru's tokens of each account, one pair an account, as ciphertext alone.

They lie in ``account_tokens``, a table of Core's own: the original's ``hh_tokens`` is dropped by a
migration of the BFF's.

Each token is encrypted by KMS under ``{"account_id": …}``: copied to another account's row it does
not decrypt. ``refresh_hash`` (SHA-256) says which pair a row holds without decrypting it.

hh.ru: a pair lives 14 days; its refresh token gives the next pair once, and only after the access
token has expired. So a pair is renewed by one worker at a time, under a lease, and the next pair is
committed before anybody uses it, by comparing the hash of the one before: a login that came
meanwhile wins. Between hh.ru's answer and our commit the pair exists in that worker's memory alone.
If the worker dies there, the next one asks with the old token again: hh.ru gives a pair if it had
not seen it, else says ``already_refreshed``, and the person has to log in again.

What there is time for, in seconds (functions end after 28, and the lease after 30)::

    who waits      0 tries the lease and watches the row ... 4 watches the row ... 8 gives up: 503
    who has it     0 reads the row ... 8 asks hh.ru at the latest (a slot 4, an answer 13)
                   ... 25 has the answer, and tries to store it ... 28 the pair is lost
"""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import access_changes, replaced_tokens
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenNotExpired
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import encryption, leases, postgres
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts import access
    from ullgetthejob.hh.client import HHClient

    Connection = psycopg.Connection[dict[str, Any]]

LEASE_S = 30
LEASE_RETRY_TIMEOUT_S = 4.0
LEASE_RETRY_INTERVAL_S = (0.5, 1.5)
ROW_POLL_INTERVAL_S = (0.05, 0.15)
RENEWAL_WAIT_S = 8.0
HH_CALL_DEADLINE_S = 8.0
STORE_DEADLINE_S = 28.0
STORE_RETRY_INTERVAL_S = 0.2
EXPIRY_EXTENSION = timedelta(minutes=1)
REPLAY_WINDOW = timedelta(minutes=10)

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
# The original's table, which the BFF's migration may have dropped.
SELECT_ORIGINAL_TABLE_EXISTS = "SELECT to_regclass('hh_tokens') IS NOT NULL AS found"
DELETE_ORIGINAL_TOKENS = "DELETE FROM hh_tokens WHERE user_id = %(user_id)s"


@dataclass(frozen=True)
class EncryptedTokens:
    """A pair as it is stored: ciphertexts, the refresh token's hash, the seconds that it lives."""

    account_id: UUID
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    refresh_hash: bytes = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class _Row:
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    refresh_hash: bytes = field(repr=False)
    expires_at: datetime
    access_state: access.State
    access_reason: str | None

    def is_newer_than(self, seen: _Row) -> bool:
        """Whether the pair was replaced since, or its end put off. Raises
        :class:`HHRefreshRefused` when hh.ru has refused to renew it: it is asked once."""
        if self.refresh_hash == seen.refresh_hash and self.access_state == "reauth_required":
            raise _refusal(self.access_reason)
        return self.refresh_hash != seen.refresh_hash or self.expires_at > seen.expires_at


def encrypt(account_id: UUID, pair: TokenPair) -> EncryptedTokens:
    """Encrypt *pair* for *account_id*: the part of :func:`store` that needs no database.

    Raises :class:`Unavailable`.
    """
    context = _context(account_id)
    return EncryptedTokens(
        account_id,
        encryption.encrypt(pair.access_token, context),
        encryption.encrypt(pair.refresh_token, context),
        _hash(pair.refresh_token),
        pair.expires_in,
    )


def save(
    sealed: EncryptedTokens, *, user_id: UUID | None, connection: Connection, now: datetime
) -> None:
    """Make it the account's pair after a login, in the transaction that *connection* is in; the one
    before is put aside, to be revoked one day.

    *user_id*: who logged in, ``None`` for a login without a session. *now*: not later than hh.ru
    gave the pair.
    """
    replaced_tokens.archive(
        sealed.account_id, new_refresh_hash=sealed.refresh_hash, connection=connection
    )
    connection.execute(UPSERT_TOKENS, {**_values(sealed, now), "user_id": user_id})


def encrypt_and_save(
    account_id: UUID,
    user_id: UUID | None,
    pair: TokenPair,
    *,
    connection: Connection,
    now: datetime,
) -> None:
    """:func:`seal` and :func:`keep`."""
    save(encrypt(account_id, pair), user_id=user_id, connection=connection, now=now)


def read(account_id: UUID, *, connection: Connection, now: datetime) -> TokenPair:
    """The pair as it stands, expired or not. *expires_in* is what is left.

    Raises :class:`HHRefreshRefused` (``not_connected``, ``tokens_unreadable``),
    :class:`Unavailable`.
    """
    return _pair(account_id, _row(account_id, connection), now)


def delete(account_id: UUID, *, connection: Connection) -> bytes | None:
    """Delete the pair, in the transaction that *connection* is in; its hash, if there was one."""
    row = connection.execute(DELETE_TOKENS, {"account_id": account_id}).fetchone()
    return bytes(row["refresh_hash"]) if row else None


def hash_of(account_id: UUID, *, connection: Connection) -> bytes | None:
    """Which pair the account has, by its hash; ``None`` without one."""
    row = connection.execute(SELECT_TOKENS, {"account_id": account_id}).fetchone()
    return bytes(row["refresh_hash"]) if row else None


def delete_original(user_id: UUID, *, connection: Connection) -> None:
    """Delete what the original kept of a user's, in the transaction that *connection* is in."""
    row = connection.execute(SELECT_ORIGINAL_TABLE_EXISTS).fetchone()
    if row is not None and row["found"]:
        connection.execute(DELETE_ORIGINAL_TOKENS, {"user_id": user_id})


def find_account(refresh_token: str, *, connection: Connection) -> UUID | None:
    """The account whose pair *refresh_token* belongs to, or belonged to before the last renewal."""
    found = connection.execute(
        SELECT_ACCOUNT_BY_REFRESH_TOKEN, {"hash": _hash(refresh_token)}
    ).fetchone()
    return None if found is None else found["account_id"]


def exchange(refresh_token: str, *, hh: HHClient, now: datetime) -> TokenPair:
    """The pair that follows *refresh_token*, for a trusted server.

    A token of the vault: the account's pair, renewed first if it has expired; the one before is
    answered with the same pair for :data:`REPEATABLE_FOR`. Any other is hh.ru's to judge, and the
    pair that it gives is not kept. Raises what :meth:`AccountToken.pair` does, and
    :class:`HHTokenNotExpired` for a token that the vault does not know.
    """
    refresh_hash = _hash(refresh_token)
    with postgres.session() as connection:
        found = connection.execute(
            SELECT_ACCOUNT_BY_REFRESH_TOKEN, {"hash": refresh_hash}
        ).fetchone()
    if found is None:
        return hh.refresh(refresh_token)
    is_the_one_before = bytes(found["refresh_hash"]) != refresh_hash
    if is_the_one_before and now > found["refreshed_at"] + REPLAY_WINDOW:
        raise _refusal("already_refreshed")
    return AccountToken(found["account_id"], hh=hh, now=now).pair()


class AccountToken:
    """The access token of one account, for as long as one piece of work lasts.

    A :class:`~ullgetthejob.hh.app_token.TokenSource`. Not to be used within a transaction: a new
    pair is committed before it is used. All methods raise :class:`HHRefreshRefused` when the person
    has to log in again (where hh.ru said so, the account's access state says it already), and
    :class:`Unavailable` when somebody else is renewing the pair, or Postgres, KMS, DynamoDB or
    hh.ru do not answer.
    """

    def __init__(self, account_id: UUID, *, hh: HHClient, now: datetime) -> None:
        self._account_id = account_id
        self._hh = hh
        self._started, self._started_at = time.monotonic(), now
        self._known: str | None = None
        self._known_until = now

    def current(self) -> str:
        """A token that has not expired, renewed if need be."""
        if self._known is None or self._now() >= self._known_until:
            self._known = self._decrypt_row(self._valid_row())
        return self._known

    def renewed(self, refused: str, reason: str | None = None, /) -> str:
        """Another token than *refused*, which hh.ru refused with *reason*.

        That of a pair that was stored meanwhile; or, if it has only expired, a renewed one.
        """
        self._known = None
        row = self._row()
        token = self._decrypt_row(row)
        if token == refused:
            token = self._decrypt_row(self._renew(row, reason or "token_refused"))
        self._known = token
        return token

    def pair(self) -> TokenPair:
        """The whole pair, renewed if need be."""
        return _pair(self._account_id, self._valid_row(), self._now())

    def _now(self) -> datetime:
        """Domain time: work that takes long meets the end of a token."""
        return self._started_at + timedelta(seconds=time.monotonic() - self._started)

    def _row(self) -> _Row:
        with postgres.session() as connection:
            return _row(self._account_id, connection)

    def _decrypt_row(self, row: _Row) -> str:
        opened = _decrypt(self._account_id, row.access_token)
        if opened.by_previous_key:
            _move_to_current_key(self._account_id, row)
        self._known_until = row.expires_at
        return opened.text

    def _valid_row(self) -> _Row:
        row = self._row()
        return row if self._now() < row.expires_at else self._renew(row)

    # ── renewing ─────────────────────────────────────────────────────────────────────────────────

    def _renew(self, seen: _Row, reason: str | None = None) -> _Row:
        """The row after *seen*, whoever renews it. *reason*: hh.ru refused the access token."""
        _require_no_transaction()
        began = try_lease_at = time.monotonic()
        while (elapsed := time.monotonic() - began) < RENEWAL_WAIT_S:
            if elapsed < LEASE_RETRY_TIMEOUT_S and time.monotonic() >= try_lease_at:
                lease = leases.acquire(
                    f"hh-token#{self._account_id}", seconds=LEASE_S, now=self._now()
                )
                if lease is not None:
                    try:
                        return self._renew_alone(seen, reason, began)
                    finally:
                        _release(lease)
                try_lease_at = time.monotonic() + _jitter(LEASE_RETRY_INTERVAL_S)
            time.sleep(_jitter(ROW_POLL_INTERVAL_S))
            row = self._row()
            if row.is_newer_than(seen):
                return row
        raise _in_progress()

    def _renew_alone(self, seen: _Row, reason: str | None, began: float) -> _Row:
        """What the holder of the lease does; another may have done it before."""
        row = self._row()
        if row.is_newer_than(seen):
            return row
        may_refresh = reason in (None, "token_expired")
        if not may_refresh and self._now() < row.expires_at:
            self._require_reauth(row, reason)
            return self._row()
        refresh_token = _decrypt(self._account_id, row.refresh_token).text
        if time.monotonic() - began > HH_CALL_DEADLINE_S:
            raise _in_progress()
        asked_at = self._now()
        try:
            pair = self._hh.refresh(refresh_token)
        except HHTokenNotExpired:
            if may_refresh:
                self._extend_expiry(row)
            else:
                self._require_reauth(row, reason)
        except HHRefreshRefused as error:
            self._require_reauth(row, error.reason)
        else:
            self._replace(row, pair, asked_at, began + STORE_DEADLINE_S)
        return self._row()

    def _replace(self, row: _Row, pair: TokenPair, now: datetime, until: float) -> None:
        """Commit *pair*, which nobody else has, in place of *row*'s; tried until *until*."""
        import psycopg

        sealed: EncryptedTokens | None = None
        while True:
            try:
                sealed = sealed or encrypt(self._account_id, pair)
                values = {**_values(sealed, now), "old_hash": row.refresh_hash}
                with postgres.session() as connection:
                    replaced = connection.execute(UPDATE_TOKENS_REPLACED, values).rowcount
                break
            except (Unavailable, psycopg.Error) as error:
                if time.monotonic() > until:
                    logger.error("a renewed pair of tokens is lost", **trace(error))
                    count("HhTokenPairLost")
                    raise
                logger.warning("a renewed pair of tokens is not stored yet", **trace(error))
                if not isinstance(error, Unavailable):  # such as a server that only reads by now
                    postgres.close()
                time.sleep(STORE_RETRY_INTERVAL_S)
        if replaced:
            logger.info("tokens renewed")
            count("HhTokenRefreshed")
        else:
            self._return_pair(pair)

    def _return_pair(self, pair: TokenPair) -> None:
        """The account has another pair meanwhile, or was disconnected: nobody would revoke this
        one later."""
        try:
            self._hh.revoke(pair.access_token)
        except (HHError, Unavailable) as error:
            logger.warning("a pair of no use could not be revoked", **trace(error))

    def _extend_expiry(self, row: _Row) -> None:
        """hh.ru's clock is behind ours: the token is good, and not every call should ask."""
        logger.warning("hh.ru says that a token has not expired")
        values = {
            "account_id": self._account_id,
            "refresh_hash": row.refresh_hash,
            "expires_at": _utc(self._now() + EXPIRY_EXTENSION),
        }
        with postgres.session() as connection:
            connection.execute(UPDATE_TOKENS_EXPIRY, values)

    def _require_reauth(self, row: _Row, reason: str | None) -> None:
        """The person has to log in again, and whoever waits learns it from the access state:
        raises :class:`HHRefreshRefused`. Does nothing when the row has another pair meanwhile."""
        values = {"account_id": self._account_id, "refresh_hash": row.refresh_hash}
        with postgres.session() as connection, connection.transaction():
            if connection.execute(LOCK_TOKENS, values).fetchone() is None:
                return
            access_changes.change_access(
                self._account_id,
                "reauth_required",
                reason=reason,
                connection=connection,
                now=self._now(),
            )
        logger.warning("tokens are no good any more", reason=reason)
        count("HhTokenRefreshRefused")
        raise _refusal(reason)


def _row(account_id: UUID, connection: Connection) -> _Row:
    found = connection.execute(SELECT_TOKENS, {"account_id": account_id}).fetchone()
    if found is None:
        raise _refusal("not_connected")
    return _Row(
        found["access_token"],
        found["refresh_token"],
        bytes(found["refresh_hash"]),
        found["expires_at"].replace(tzinfo=UTC),
        found["access_state"],
        found["access_reason"],
    )


def _pair(account_id: UUID, row: _Row, now: datetime) -> TokenPair:
    access_token, refresh_token = (
        _decrypt(account_id, ciphertext) for ciphertext in (row.access_token, row.refresh_token)
    )
    if access_token.by_previous_key or refresh_token.by_previous_key:
        _move_to_current_key(account_id, row)
    left = max(0, int((row.expires_at - now).total_seconds()))
    return TokenPair(access_token.text, refresh_token.text, left)


def _decrypt(account_id: UUID, ciphertext: str) -> encryption.Decrypted:
    try:
        return encryption.decrypt_with_key_info(ciphertext, _context(account_id))
    except encryption.Undecryptable:
        logger.error("tokens cannot be decrypted")
        raise _refusal("tokens_unreadable") from None


def _move_to_current_key(account_id: UUID, row: _Row) -> None:
    """Encrypt the pair anew. It can wait: whatever goes wrong, the next touch tries again."""
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


def _require_no_transaction() -> None:
    from psycopg.pq import TransactionStatus

    if postgres.connection().info.transaction_status != TransactionStatus.IDLE:
        raise RuntimeError("tokens are renewed outside of transactions")


def _release(lease: leases.Lease) -> None:
    """What was done is done; a lease that cannot be let go ends by itself."""
    try:
        lease.release()
    except Unavailable:
        logger.warning("a lease could not be released")


def _values(sealed: EncryptedTokens, now: datetime) -> dict[str, Any]:
    return {
        "account_id": sealed.account_id,
        "access_token": sealed.access_token,
        "refresh_token": sealed.refresh_token,
        "refresh_hash": sealed.refresh_hash,
        "expires_at": _utc(now + timedelta(seconds=sealed.expires_in)),
        "now": now,
        "utc": _utc(now),
    }


def _utc(moment: datetime) -> datetime:
    """For ``timestamp(0)``, UTC without zone: rounded down, so that no token looks good for longer
    than it is."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _context(account_id: UUID) -> dict[str, str]:
    return {"account_id": str(account_id)}


def _hash(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode()).digest()


def _jitter(span: tuple[float, float]) -> float:
    return random.uniform(*span)  # noqa: S311 - no secret


def _refusal(reason: str | None) -> HHRefreshRefused:
    error = HHRefreshRefused("the person has to log in at hh.ru again", details={"reason": reason})
    error.reason = reason
    return error


def _in_progress() -> Unavailable:
    return Unavailable(
        "hh.ru's access token is being renewed; try again shortly",
        retry_after_s=2,
        code="token_refresh_in_progress",
    )
