"""Token revocation: every pair that Core has of an account is revoked at hh.ru.

hh.ru: only a valid access token can be revoked (its refresh token ends with it), so an expired one
is refreshed first. Pairs that cannot be revoked are reported one by one: the person then removes
Core in the settings of hh.ru, which ends all of them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import replaced_tokens, token_renewal, token_store
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenRefused
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import encryption
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.context import Context

# The reasons of a refused renewal after which a pair is no longer valid at hh.ru. With any other,
# it may still be: a locked account is unlocked one day, and hh.ru still accepts a pair that Core
# lost or cannot read.
ENDED_REASONS = {
    *("token_revoked", "token_deactivated", "token_not_found"),
    *("account_not_found", "not_connected", "disconnected"),
}
MAX_CONCURRENT_LOGINS = 3
REVOCATION_BUDGET_S = 15.0  # no revocation starts later: the function has 28


class NotRevoked(Model):
    """A pair of tokens that hh.ru may still accept."""

    received_at: AwareDatetime | None = Field(description="when hh.ru issued it; null: not known")
    reason: str = Field(description="why it could not be revoked, as a snake_case word")


@dataclass
class Revoked:
    """The result of revoking: the hashes of the pairs that were tried, and the pairs that hh.ru may
    still accept."""

    tried: set[bytes] = field(default_factory=set)
    tried_parked: set[bytes] = field(default_factory=set)
    not_revoked: list[NotRevoked] = field(default_factory=list)

    def add(self, reason: str | None, received_at: datetime | None) -> None:
        """Add a pair that was not revoked for *reason*; nothing without a reason."""
        if reason is not None:
            self.not_revoked.append(NotRevoked(received_at=received_at, reason=reason))


def revoke_all(account_id: UUID, context: Context) -> Revoked:
    """Revoke the account's pair, its replaced pairs, and those of interrupted logins; return the
    result. Nothing is deleted here."""
    deadline = time.monotonic() + REVOCATION_BUDGET_S
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    revoked = Revoked()
    _revoke_present(account_id, revoked, context)
    for pair in replaced_tokens.list_replaced(account_id, connection=connection):
        if pair.refresh_hash not in revoked.tried:
            late = time.monotonic() >= deadline
            reason = (
                "no_time" if late else _revoke_replaced(account_id, pair, hh=context.hh, now=now)
            )
            revoked.tried.add(pair.refresh_hash)
            revoked.add(reason, pair.received_at)
    for parked in replaced_tokens.list_parked(account_id, connection=connection, now=now):
        late = time.monotonic() >= deadline
        reason = "no_time" if late else _revoke_parked(parked, hh=context.hh)
        revoked.tried_parked.add(parked.code_hash)
        revoked.add(reason, parked.started_at)
    return revoked


def _revoke_present(account_id: UUID, revoked: Revoked, context: Context) -> None:
    """Revoke the account's pair, and once more if a concurrent login replaces it."""
    connection = context.connection
    for _ in range(MAX_CONCURRENT_LOGINS):
        before = token_store.hash_of(account_id, connection=connection)
        if before is None:
            return
        reason = _revoke_current(account_id, hh=context.hh, now=context.now())
        after = token_store.hash_of(account_id, connection=connection)
        replaced = replaced_tokens.list_replaced(account_id, connection=connection)
        if before not in {pair.refresh_hash for pair in replaced}:  # after: it was refreshed
            revoked.tried |= {before} if after is None else {before, after}
            revoked.add(reason, None)
            return
        if reason is None:
            revoked.tried.add(before)


def _revoke_current(account_id: UUID, *, hh: HHClient, now: datetime) -> str | None:
    """Revoke the account's pair; return why hh.ru may still accept it, ``None``: it does not."""
    token = token_renewal.AccountToken(account_id, hh=hh, now=now)
    try:
        access_token = token.current()
        try:
            hh.revoke(access_token)
        except HHTokenRefused as error:
            hh.revoke(token.renewed(access_token, error.reason))
    except (HHError, Unavailable) as error:
        return _reason(error)
    return None


def _revoke_replaced(
    account_id: UUID, pair: replaced_tokens.ReplacedPair, *, hh: HHClient, now: datetime
) -> str | None:
    """Revoke a replaced pair, which nothing else renews; return why hh.ru may still accept it."""
    encryption_context = {"account_id": str(account_id)}
    try:
        if not replaced_tokens.is_expired(pair, now):
            try:
                hh.revoke(encryption.decrypt(pair.access_token, encryption_context))
                return None
            except HHTokenRefused:  # expired by hh.ru's clock
                pass
        renewed = hh.refresh(encryption.decrypt(pair.refresh_token, encryption_context))
        hh.revoke(renewed.access_token)
    except (HHError, Unavailable, encryption.Undecryptable) as error:
        return _reason(error)
    return None


def _revoke_parked(parked: replaced_tokens.ParkedPair, *, hh: HHClient) -> str | None:
    """Revoke the pair of an interrupted login; return why hh.ru may still accept it."""
    try:
        tokens = encryption.decrypt(parked.pair, {"login": parked.code_hash.hex()})
        pair = TokenPair(*json.loads(tokens))
        try:
            hh.revoke(pair.access_token)
        except HHTokenRefused:
            hh.revoke(hh.refresh(pair.refresh_token).access_token)
    except (HHError, Unavailable, encryption.Undecryptable) as error:
        return _reason(error)
    return None


def _reason(error: Exception) -> str | None:
    if isinstance(error, encryption.Undecryptable):
        return "tokens_unreadable"
    if isinstance(error, HHRefreshRefused):
        return None if error.reason in ENDED_REASONS else (error.reason or error.code)
    logger.warning("tokens could not be revoked", error_type=type(error).__name__)
    return str(getattr(error, "code", "hh_unavailable"))
