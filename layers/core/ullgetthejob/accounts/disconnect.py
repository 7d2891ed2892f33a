"""Disconnecting: tokens are revoked at hh.ru and deleted here, and the sessions' JWTs end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ullgetthejob.accounts import (
    access_changes,
    audit,
    kept_resumes,
    replaced_tokens,
    token_store,
)
from ullgetthejob.accounts.token_revocation import NotRevoked, Revoked, revoke_all
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, log_transition
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

# Ends every session of the account: JWTs, and the tickets and sockets obtained with them. Strictly
# later than any token issued at this very moment.
UPDATE_USERS_REVOKED = """
    UPDATE users
    SET tokens_valid_from = greatest(%(now)s, tokens_valid_from) + interval '1 microsecond'
    WHERE id = %(user_id)s OR account_id = %(account_id)s
"""


class Disconnected(Model):
    """The answer when Core has deleted the tokens."""

    success: Literal[True] = True
    revoked: bool = Field(
        description="whether hh.ru has revoked them too; if not, the person removes Core in the "
        "settings of hh.ru"
    )
    not_revoked: list[NotRevoked] = Field(
        description="each pair of tokens that hh.ru may still accept, of all that Core had"
    )


def disconnect(person: Person, context: Context) -> Disconnected:
    """Disconnect the person's account for all of its sessions, and return what was not revoked.

    Every pair of tokens that Core has of the account is revoked, of all sessions. Core deletes its
    own even when hh.ru does not answer.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    account_id, revoked = person.account_id, Revoked()
    if account_id is not None:
        revoked = revoke_all(account_id, context)
    values = {"user_id": person.user_id, "account_id": account_id, "now": now}
    with connection.transaction():  # rows are locked in the order in which a login locks them
        connection.execute(UPDATE_USERS_REVOKED, values)
        if account_id is not None:
            # for the broadcaster, which closes the sockets of sessions that have ended
            event_log.notify_after_commit(account_id, connection=connection)
            _delete_tokens(account_id, revoked, connection=connection, now=now)
            kept_resumes.forget(account_id, connection=connection)
            access_changes.change_access(
                account_id, "reauth_required", reason="disconnected", connection=connection, now=now
            )
        outcomes = [f"pair_{pair.reason}" for pair in revoked.not_revoked]
        outcomes.append("not_revoked_at_hh" if revoked.not_revoked else "ok")
        for outcome in outcomes:
            audit.write(
                "disconnect", outcome, context, user_id=person.user_id, account_id=account_id
            )
    log_transition(
        "tokens",
        "valid",
        "deleted",
        account_id=account_id,
        user_id=person.user_id,
        not_revoked=len(revoked.not_revoked),
    )
    count("Disconnects")
    return Disconnected(revoked=not revoked.not_revoked, not_revoked=revoked.not_revoked)


def _delete_tokens(
    account_id: UUID, revoked: Revoked, *, connection: Connection, now: datetime
) -> None:
    """Delete every pair; add those stored after the others were revoked to *revoked.not_revoked*,
    as hh.ru may still accept them."""
    current = token_store.delete(account_id, connection=connection)
    replaced = replaced_tokens.delete(
        account_id, revoked.tried_parked, connection=connection, now=now
    )
    for _ in ({current, *replaced} - {None}) - revoked.tried:
        revoked.not_revoked.append(NotRevoked(received_at=None, reason="came_meanwhile"))
