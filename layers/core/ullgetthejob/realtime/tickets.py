"""Tickets, which authenticate WebSocket connections: a browser cannot send a header there.

A ticket is valid once, within a minute, and stored under its hash
(:mod:`ullgetthejob.platform.one_time_tokens`). It names the user and the account whose events the
connection receives, and when that was proven: a session that ends later ends the connection too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, model_validator

from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.errors import Unauthorized
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person

KIND = "ticket"
TICKET_LIFETIME = timedelta(seconds=60)
MAX_TICKET_CHARS = 100  # ours have 43


class TicketBody(BaseModel):
    """The body of a ticket request, which a browser may omit. *user_id*: the user, for a service
    that has no token of the user."""

    user_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_missing_body(cls, body: Any) -> Any:
        return {} if body is None else body


class Ticket(BaseModel):
    """A ticket, and the WebSocket address to use it at."""

    ticket: str
    url: str = Field(description="the WebSocket's address with the ticket in it")
    expires_at: AwareDatetime


@dataclass(frozen=True)
class TicketHolder:
    """The user and account of a ticket, and the time at which they were proven."""

    user_id: UUID
    account_id: UUID
    proven_at: datetime


def issue(*, person: Person, now: datetime) -> Ticket:
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
    return Ticket(ticket=ticket, url=url, expires_at=now + TICKET_LIFETIME)


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
