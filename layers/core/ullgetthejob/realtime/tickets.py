"""Tickets, which authenticate WebSocket connections: a browser cannot send a header there.

A ticket is valid once, within a minute, and stored under its hash
(:mod:`ullgetthejob.platform.one_time_tokens`). It names the user and the account whose events the
connection receives, and when that was proven: a session that ends later ends the connection too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import UUID

from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.errors import Unauthorized
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person

KIND = "ticket"
TICKET_LIFETIME = timedelta(seconds=60)
MAX_TICKET_CHARS = 100  # ours have 43


@dataclass(frozen=True)
class TicketHolder:
    """The user and account of a ticket, and the time at which they were proven."""

    user_id: UUID
    account_id: UUID
    proven_at: datetime


@dataclass(frozen=True)
class IssuedTicket:
    """A ticket, the WebSocket's address with it, and when it ends."""

    ticket: str
    url: str
    expires_at: datetime


def issue(*, person: Person, now: datetime) -> IssuedTicket:
    """Issue a ticket. Raises :class:`NeedsPerson` for a user who never connected hh.ru: events
    belong to accounts."""
    content = {
        "user_id": str(person.user_id),
        "account_id": str(person.account),
        "proven_at": now.isoformat(),
    }
    ticket = one_time_tokens.issue(KIND, content, life=TICKET_LIFETIME, now=now)
    count("TicketsIssued")
    url = f"{settings.WEBSOCKET_URL()}?{urlencode({'ticket': ticket})}"
    return IssuedTicket(ticket, url, now + TICKET_LIFETIME)


def consume(ticket: str, *, by: str, now: datetime) -> TicketHolder:
    """Consume *ticket* for the connection *by* and return its holder. Raises
    :class:`Unauthorized` (``bad_ticket``)."""
    if not 0 < len(ticket) <= MAX_TICKET_CHARS:
        raise invalid_ticket("unknown")
    try:
        content = one_time_tokens.consume(KIND, ticket, by=by, now=now)
    except one_time_tokens.InvalidToken as error:
        raise invalid_ticket(error.reason) from None
    return TicketHolder(
        UUID(content["user_id"]),
        UUID(content["account_id"]),
        datetime.fromisoformat(content["proven_at"]),
    )


def invalid_ticket(reason: str) -> Unauthorized:
    """Return the error for an invalid ticket; *reason* is for the log."""
    return Unauthorized("get a new ticket", code="bad_ticket", details={"reason": reason})
