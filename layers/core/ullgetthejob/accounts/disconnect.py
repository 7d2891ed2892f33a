"""Disconnecting: hh.ru forgets Core, Core forgets the tokens, and what proved the sessions ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from ullgetthejob.accounts import access_changes, audit, vault
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenRefused
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.realtime import events

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

# Why a pair is not renewed that hh.ru has forgotten for good. With any other reason it may live on:
# a locked account is unlocked one day, and a pair that Core lost or cannot read is still hh.ru's.
FORGOTTEN_BY_HH = {
    *("token_revoked", "token_deactivated", "token_not_found"),
    *("account_not_found", "not_connected", "disconnected"),
}
# Every session of the account: JWTs, and the tickets and sockets that were had with them. Strictly
# later than any token of this very moment.
END_SESSIONS = """
    UPDATE users
    SET tokens_valid_from = greatest(%(now)s, tokens_valid_from) + interval '1 microsecond'
    WHERE id = %(user_id)s OR account_id = %(account_id)s
"""


class Disconnected(BaseModel):
    """Core has forgotten the tokens."""

    success: Literal[True] = True
    revoked: bool = Field(
        description="whether hh.ru has forgotten Core too; if not, the person removes Core in the "
        "settings of hh.ru"
    )


def disconnect(
    person: Person, *, caller: Caller, hh: HHClient, connection: Connection, now: datetime
) -> Disconnected:
    """End the connection of the person's account, for all of its sessions.

    Core's part is done also when hh.ru does not answer.
    """
    account_id, revoked = person.account_id, True
    if account_id is not None:
        revoked = _revoke(account_id, hh=hh, now=now)
    values = {"user_id": person.user_id, "account_id": account_id, "now": now}
    with connection.transaction():  # rows in the order in which a login takes them
        connection.execute(END_SESSIONS, values)
        if account_id is not None:
            # for the broadcaster, which ends the sockets of sessions that have ended
            events.ring_after_commit(account_id, connection=connection)
            vault.forget(account_id, connection=connection)
            access_changes.change(
                account_id, "reauth_required", reason="disconnected", connection=connection, now=now
            )
        audit.write(
            "disconnect",
            "ok" if revoked else "not_revoked_at_hh",
            caller=caller,
            user_id=person.user_id,
            account_id=account_id,
            connection=connection,
            now=now,
        )
    logger.info("disconnected", revoked=revoked)
    count("Disconnects")
    return Disconnected(revoked=revoked)


def _revoke(account_id: UUID, *, hh: HHClient, now: datetime) -> bool:
    """Whether hh.ru takes the account's tokens no more. hh.ru: only a live access token can be
    revoked (its refresh token dies with it), so an expired one is refreshed first."""
    token = vault.AccountToken(account_id, hh=hh, now=now)
    try:
        access_token = token.current()
        try:
            hh.revoke(access_token)
        except HHTokenRefused as error:
            hh.revoke(token.renewed(access_token, error.reason))
    except HHRefreshRefused as error:
        return error.reason in FORGOTTEN_BY_HH
    except (HHError, Unavailable) as error:
        logger.warning("tokens could not be revoked", error_type=type(error).__name__)
        return False
    return True
