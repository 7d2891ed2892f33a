"""Token renewal: a valid access token of an account, renewed at hh.ru when it has expired.

hh.ru: a pair is valid for 14 days; its refresh token returns the next pair once, and only after the
access token has expired. So a pair is renewed by one worker at a time, under a lease, and the next
pair is committed before it is used, by comparing the hash of the pair before: a concurrent login
wins. Between hh.ru's answer and our commit the pair exists only in that worker's memory. If its
process ends there, the next worker asks with the old token again: hh.ru returns a pair if it had
not seen that token, else says ``already_refreshed``, and the person has to log in again.

Time budget in seconds (functions end after 28, and the lease after 30)::

    waiting worker   0 tries the lease and polls the row ... 4 polls the row ... 8 gives up: 503
    lease holder     0 reads the row ... 8 calls hh.ru at the latest (a slot 4, an answer 13)
                     ... 25 has the answer, and tries to store it ... 28 the pair is lost
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ullgetthejob.accounts import access_changes, token_store
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenNotExpired
from ullgetthejob.platform import leases, postgres
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count, log_transition, logger, trace

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.accounts.token_store import EncryptedTokens, StoredTokens
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.oauth import TokenPair

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


def exchange(refresh_token: str, *, hh: HHClient, now: datetime) -> TokenPair:
    """Return the pair that follows *refresh_token*, for a trusted server.

    For a token of the store: the account's pair, renewed first if it has expired; the token before
    it gets the same pair for :data:`REPLAY_WINDOW`. Any other is sent to hh.ru, and the pair that
    it returns is not stored. Raises what :meth:`AccountToken.pair` does, and
    :class:`HHTokenNotExpired` for a token that is not in the store.
    """
    with postgres.session() as connection:
        row = token_store.find_row(refresh_token, connection=connection)
    if row is None:
        return hh.refresh(refresh_token)
    is_previous = bytes(row["refresh_hash"]) != token_store.hash_refresh_token(refresh_token)
    if is_previous and now > row["refreshed_at"] + REPLAY_WINDOW:
        raise token_store.reauth_required("already_refreshed")
    return AccountToken(row["account_id"], hh=hh, now=now).pair()


class AccountToken:
    """The access token of one account, for the duration of one piece of work.

    A :class:`~ullgetthejob.hh.app_token.TokenSource`. Not to be used within a transaction: a new
    pair is committed before it is used. All methods raise :class:`HHRefreshRefused` when the person
    has to log in again (when hh.ru said so, it is in the account's access state already), and
    :class:`Unavailable` when another worker is renewing the pair, or Postgres, KMS, DynamoDB or
    hh.ru do not answer.
    """

    def __init__(self, account_id: UUID, *, hh: HHClient, now: datetime) -> None:
        self._account_id = account_id
        self._hh = hh
        self._started, self._started_at = time.monotonic(), now
        self._cached: str | None = None
        self._cached_until = now

    def current(self) -> str:
        """Return a token that has not expired, renewed if necessary."""
        if self._cached is None or self._now() >= self._cached_until:
            self._cached = self._decrypt_row(self._valid_row())
        return self._cached

    def renewed(self, refused: str, reason: str | None = None, /) -> str:
        """Return another token than *refused*, which hh.ru refused with *reason*.

        It is that of a pair that was stored since; or, if *refused* has only expired, a renewed
        one.
        """
        self._cached = None
        row = self._read_row()
        token = self._decrypt_row(row)
        if token == refused:
            token = self._decrypt_row(self._renew(row, reason or "token_refused"))
        self._cached = token
        return token

    def pair(self) -> TokenPair:
        """Return the whole pair, renewed if necessary."""
        return token_store.decrypt_pair(self._account_id, self._valid_row(), now=self._now())

    def _now(self) -> datetime:
        """Return domain time: a token may expire while long work is in progress."""
        return self._started_at + timedelta(seconds=time.monotonic() - self._started)

    def _read_row(self) -> StoredTokens:
        with postgres.session() as connection:
            return token_store.read_row(self._account_id, connection=connection)

    def _decrypt_row(self, row: StoredTokens) -> str:
        token = token_store.decrypt_access_token(self._account_id, row)
        self._cached_until = row.expires_at
        return token

    def _valid_row(self) -> StoredTokens:
        row = self._read_row()
        return row if self._now() < row.expires_at else self._renew(row)

    # ── renewing ─────────────────────────────────────────────────────────────────────────────────

    def _renew(self, seen: StoredTokens, reason: str | None = None) -> StoredTokens:
        """Return the row after *seen*, renewed by this or another worker. *reason*: why hh.ru
        refused the access token."""
        _require_no_transaction()
        began = try_lease_at = time.monotonic()
        while (elapsed := time.monotonic() - began) < RENEWAL_WAIT_S:
            if elapsed < LEASE_RETRY_TIMEOUT_S and time.monotonic() >= try_lease_at:
                lease = leases.acquire(
                    lease_name(self._account_id), seconds=LEASE_S, now=self._now()
                )
                if lease is not None:
                    try:
                        return self._renew_under_lease(seen, reason, began)
                    finally:
                        _release(lease)
                try_lease_at = time.monotonic() + _jitter(LEASE_RETRY_INTERVAL_S)
            time.sleep(_jitter(ROW_POLL_INTERVAL_S))
            row = self._read_row()
            if row.is_newer_than(seen):
                return row
        raise _renewal_in_progress()

    def _renew_under_lease(
        self, seen: StoredTokens, reason: str | None, began: float
    ) -> StoredTokens:
        """Renew the pair as the lease's holder, unless another worker already did, and return its
        row."""
        row = self._read_row()
        if row.is_newer_than(seen):
            return row
        may_refresh = reason in (None, "token_expired")
        if not may_refresh and self._now() < row.expires_at:
            self._require_reauth(row, reason)
            return self._read_row()
        refresh_token = token_store.decrypt_refresh_token(self._account_id, row)
        if time.monotonic() - began > HH_CALL_DEADLINE_S:
            raise _renewal_in_progress()
        called_at = self._now()
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
            self._replace(row, pair, called_at, began + STORE_DEADLINE_S)
        return self._read_row()

    def _replace(self, row: StoredTokens, pair: TokenPair, now: datetime, deadline: float) -> None:
        """Commit *pair*, which exists only here, in place of *row*'s; retry until *deadline*."""
        import psycopg

        encrypted: EncryptedTokens | None = None
        while True:
            try:
                encrypted = encrypted or token_store.encrypt(self._account_id, pair)
                with postgres.session() as connection:
                    replaced = token_store.replace(encrypted, row, connection=connection, now=now)
                break
            except (Unavailable, psycopg.Error) as error:
                if time.monotonic() > deadline:
                    logger.error("a renewed pair of tokens is lost", **trace(error))
                    count("HhTokenPairLost")
                    raise
                logger.warning("a renewed pair of tokens is not stored yet", **trace(error))
                if not isinstance(error, Unavailable):  # such as a server that is now read-only
                    postgres.close()
                time.sleep(STORE_RETRY_INTERVAL_S)
        if replaced:
            log_transition("tokens", "expired", "valid", account_id=self._account_id)
            count("HhTokenRefreshed")
        else:
            self._revoke(pair)

    def _revoke(self, pair: TokenPair) -> None:
        """Revoke a renewed pair that was not stored, because the account has another pair by now or
        was disconnected: nothing would revoke it later."""
        try:
            self._hh.revoke(pair.access_token)
        except (HHError, Unavailable) as error:
            logger.warning("an unused pair could not be revoked", **trace(error))

    def _extend_expiry(self, row: StoredTokens) -> None:
        """Extend the expiry of a token that hh.ru, whose clock is behind ours, calls valid: not
        every call should try to renew it."""
        logger.warning("hh.ru says that a token has not expired")
        with postgres.session() as connection:
            token_store.extend_expiry(
                self._account_id, row, until=self._now() + EXPIRY_EXTENSION, connection=connection
            )

    def _require_reauth(self, row: StoredTokens, reason: str | None) -> None:
        """Store that the person has to log in again, where waiting workers read it, and raise
        :class:`HHRefreshRefused`. Does nothing when the row has another pair by now."""
        with postgres.session() as connection, connection.transaction():
            if not token_store.lock_row(self._account_id, row, connection=connection):
                return
            access_changes.change_access(
                self._account_id,
                "reauth_required",
                reason=reason,
                connection=connection,
                now=self._now(),
            )
        log_transition("tokens", "expired", "refused", reason=reason, account_id=self._account_id)
        count("HhTokenRefreshRefused")
        raise token_store.reauth_required(reason)


def lease_name(account_id: UUID) -> str:
    """Return the name of the lease under which the account's pair is renewed."""
    return f"hh-token#{account_id}"


def _require_no_transaction() -> None:
    from psycopg.pq import TransactionStatus

    if postgres.connection().info.transaction_status != TransactionStatus.IDLE:
        raise RuntimeError("tokens are renewed outside of transactions")


def _release(lease: leases.Lease) -> None:
    """Release the lease; one that cannot be released ends by itself."""
    try:
        lease.release()
    except Unavailable:
        logger.warning("a lease could not be released")


def _jitter(span: tuple[float, float]) -> float:
    return random.uniform(*span)  # noqa: S311 - no secret


def _renewal_in_progress() -> Unavailable:
    return Unavailable(
        "hh.ru's access token is being renewed; try again shortly",
        retry_after_s=2,
        code="token_refresh_in_progress",
    )
