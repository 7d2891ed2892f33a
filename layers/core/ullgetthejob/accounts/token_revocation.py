"""Revoking: every pair of an account that Core has is given back to hh.ru.

hh.ru: only a live access token can be revoked (its refresh token dies with it), so an expired one
is refreshed first. What cannot be revoked is said, pair by pair: the person then removes Core in
the settings of hh.ru, which ends all of them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, Field

from ullgetthejob.accounts import replaced_tokens, token_store
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenRefused
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import encryption
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.hh.client import HHClient

    Connection = psycopg.Connection[dict[str, Any]]

# Why a pair is not renewed that hh.ru has forgotten for good. With any other reason it may live on:
# a locked account is unlocked one day, and a pair that Core lost or cannot read is still hh.ru's.
INACTIVE_LIFETIME = {
    *("token_revoked", "token_deactivated", "token_not_found"),
    *("account_not_found", "not_connected", "disconnected"),
}
MAX_CONCURRENT_LOGINS = 3
BUDGET_S = 15.0  # after which no other pair is begun with: the function has 28


class NotRevoked(BaseModel):
    """A pair that hh.ru may still take."""

    received_at: AwareDatetime | None = Field(
        description="when hh.ru gave it; null: it is not known"
    )
    reason: str = Field(description="why it could not be revoked, as a snake_case word")


@dataclass
class Revoked:
    """What became of the pairs: those tried, by hash, and those that may live on."""

    tried: set[bytes] = field(default_factory=set)
    tried_parked: set[bytes] = field(default_factory=set)
    not_revoked: list[NotRevoked] = field(default_factory=list)

    def note(self, reason: str | None, received_at: datetime | None) -> None:
        """Say of a pair why it may live on; nothing without a *reason*."""
        if reason is not None:
            self.not_revoked.append(NotRevoked(received_at=received_at, reason=reason))


def revoke_all(account_id: UUID, *, hh: HHClient, connection: Connection, now: datetime) -> Revoked:
    """Revoke the account's pair, those that it had before, and those of logins that were cut off.
    Nothing is forgotten here."""
    ends = time.monotonic() + BUDGET_S
    done = Revoked()
    _revoke_present(account_id, done, hh=hh, connection=connection, now=now)
    for pair in replaced_tokens.list_replaced(account_id, connection=connection):
        if pair.refresh_hash not in done.tried:
            late = time.monotonic() >= ends
            reason = "no_time" if late else _revoke_replaced(account_id, pair, hh=hh, now=now)
            done.tried.add(pair.refresh_hash)
            done.note(reason, pair.received_at)
    for parked in replaced_tokens.list_parked(account_id, connection=connection, now=now):
        late = time.monotonic() >= ends
        reason = "no_time" if late else _revoke_parked(parked, hh=hh)
        done.tried_parked.add(parked.code_hash)
        done.note(reason, parked.started_at)
    return done


def _revoke_present(
    account_id: UUID, done: Revoked, *, hh: HHClient, connection: Connection, now: datetime
) -> None:
    """Revoke the account's pair; again, where a login gives it another meanwhile."""
    for _ in range(MAX_CONCURRENT_LOGINS):
        before = token_store.hash_of(account_id, connection=connection)
        if before is None:
            return
        reason = _revoke_current(account_id, hh=hh, now=now)
        after = token_store.hash_of(account_id, connection=connection)
        aside = replaced_tokens.list_replaced(account_id, connection=connection)
        if before not in {pair.refresh_hash for pair in aside}:  # after: it was refreshed
            done.tried |= {hash for hash in (before, after) if hash is not None}
            done.note(reason, None)
            return
        if reason is None:
            done.tried.add(before)


def _revoke_current(account_id: UUID, *, hh: HHClient, now: datetime) -> str | None:
    """Why hh.ru may still take the account's pair; ``None``: it does not."""
    token = token_store.AccountToken(account_id, hh=hh, now=now)
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
    """The same of a pair that the account had before, which nobody else renews."""
    context = {"account_id": str(account_id)}
    try:
        if not replaced_tokens.is_expired(pair, now):
            try:
                hh.revoke(encryption.decrypt(pair.access_token, context))
                return None
            except HHTokenRefused:  # expired by hh.ru's clock
                pass
        renewed = hh.refresh(encryption.decrypt(pair.refresh_token, context))
        hh.revoke(renewed.access_token)
    except (HHError, Unavailable, encryption.Undecryptable) as error:
        return _reason(error)
    return None


def _revoke_parked(parked: replaced_tokens.ParkedPair, *, hh: HHClient) -> str | None:
    """The same of the pair of a login that was cut off."""
    try:
        kept = encryption.decrypt(parked.pair, {"login": parked.code_hash.hex()})
        pair = TokenPair(*json.loads(kept))
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
        return None if error.reason in INACTIVE_LIFETIME else (error.reason or error.code)
    logger.warning("tokens could not be revoked", error_type=type(error).__name__)
    return str(getattr(error, "code", "hh_unavailable"))
