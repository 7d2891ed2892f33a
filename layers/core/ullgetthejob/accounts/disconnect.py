"""Disconnecting: hh.ru forgets Core, Core forgets the tokens, and what proved the sessions ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from ullgetthejob.accounts import access, audit, vault
from ullgetthejob.hh.errors import HHError, HHRefreshRefused, HHTokenRefused
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

# Every session of the account: JWTs, and the tickets and sockets that were had with them.
END_SESSIONS = """
    UPDATE users SET tokens_valid_from = %(valid_from)s
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
    # strictly later than any token of this very moment
    values = {
        "user_id": person.user_id,
        "account_id": account_id,
        "valid_from": now + timedelta(microseconds=1),
    }
    with connection.transaction():
        if account_id is not None:
            vault.forget(account_id, connection=connection)
            access.change(
                account_id, "reauth_required", reason="disconnected", connection=connection, now=now
            )
        connection.execute(END_SESSIONS, values)
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
    except HHRefreshRefused:
        return True
    except (HHError, Unavailable) as error:
        logger.warning("tokens could not be revoked", error_type=type(error).__name__)
        return False
    return True
