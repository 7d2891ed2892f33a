"""Disconnecting: hh.ru forgets Core, Core forgets the tokens, and what proved the sessions ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from ullgetthejob.accounts import access_changes, audit, replaced_tokens, token_store
from ullgetthejob.accounts.token_revocation import NotRevoked, Revoked, revoke_all
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

# Every session of the account: JWTs, and the tickets and sockets that were had with them. Strictly
# later than any token of this very moment.
UPDATE_USERS_REVOKED = """
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
    not_revoked: list[NotRevoked] = Field(
        description="each pair of tokens that hh.ru may still take, of all that Core had"
    )


def disconnect(
    person: Person, *, caller: Caller, hh: HHClient, connection: Connection, now: datetime
) -> Disconnected:
    """End the connection of the person's account, for all of its sessions.

    Every pair of the account is revoked that Core has, of whatever session. Core's part is done
    also when hh.ru does not answer.
    """
    account_id, done = person.account_id, Revoked()
    if account_id is not None:
        done = revoke_all(account_id, hh=hh, connection=connection, now=now)
    values = {"user_id": person.user_id, "account_id": account_id, "now": now}
    with connection.transaction():  # rows in the order in which a login takes them
        connection.execute(UPDATE_USERS_REVOKED, values)
        if account_id is not None:
            # for the broadcaster, which ends the sockets of sessions that have ended
            event_log.notify_after_commit(account_id, connection=connection)
            _delete_tokens(account_id, done, connection=connection, now=now)
            access_changes.change_access(
                account_id, "reauth_required", reason="disconnected", connection=connection, now=now
            )
        outcomes = ["not_revoked_at_hh" if done.not_revoked else "ok"]
        for outcome in (*(f"pair_{pair.reason}" for pair in done.not_revoked), *outcomes):
            audit.write(
                "disconnect",
                outcome,
                caller=caller,
                user_id=person.user_id,
                account_id=account_id,
                connection=connection,
                now=now,
            )
    logger.info("disconnected", not_revoked=len(done.not_revoked))
    count("Disconnects")
    return Disconnected(revoked=not done.not_revoked, not_revoked=done.not_revoked)


def _delete_tokens(
    account_id: UUID, done: Revoked, *, connection: Connection, now: datetime
) -> None:
    """Delete every pair; one that came since the others were revoked may live on, and is said."""
    current = token_store.delete(account_id, connection=connection)
    forgotten = replaced_tokens.delete(
        account_id, done.tried_parked, connection=connection, now=now
    )
    for _ in ({current, *forgotten} - {None}) - done.tried:
        done.not_revoked.append(NotRevoked(received_at=None, reason="came_meanwhile"))
