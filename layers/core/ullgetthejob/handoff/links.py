"""Links to the handoff page: each opens it once, within an hour, without a login.

A link is an address with a ticket, a one-time token (:mod:`ullgetthejob.platform.one_time_tokens`)
that is stored under its hash and names the user and the account. Opening the address consumes
nothing, since messengers read the addresses that they are sent to show a preview; pressing the
button of the page behind it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from ullgetthejob.platform.one_time_tokens import Found

KIND = "handoff"
PATH = "/handoff"
LINK_LIFETIME = timedelta(hours=1)
MAX_TICKET_CHARS = 100  # ours have 43


@dataclass(frozen=True)
class LinkHolder:
    """The user and the account that a link was issued for, and when."""

    user_id: UUID
    account_id: UUID
    issued_at: datetime

    @classmethod
    def of(cls, content: dict[str, str]) -> LinkHolder:
        """Return the holder that a ticket's content names."""
        return cls(
            UUID(content["user_id"]),
            UUID(content["account_id"]),
            datetime.fromisoformat(content["issued_at"]),
        )


def create(account_id: UUID, *, user_id: UUID, now: datetime, origin: str | None = None) -> str:
    """Return the address of the handoff page with a new ticket for *user_id* of *account_id*.

    *origin*: of Core's HTTP API, where ``PUBLIC_URL`` is not set. It is a secret for an hour: it
    belongs into a message to the person and into no log. Raises
    :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    content = {
        "user_id": str(user_id),
        "account_id": str(account_id),
        "issued_at": now.isoformat(),
    }
    ticket = one_time_tokens.issue(KIND, content, life=LINK_LIFETIME, now=now)
    count("HandoffLinksIssued")
    return f"{(settings.PUBLIC_URL() or origin or '').rstrip('/')}{PATH}/{ticket}"


def consume(ticket: str, *, by: str, now: datetime) -> LinkHolder:
    """Consume *ticket* for the browser *by* and return its holder; the same browser may repeat it.

    Raises :class:`~ullgetthejob.platform.one_time_tokens.InvalidToken`,
    :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    if not is_ticket(ticket):
        raise one_time_tokens.InvalidToken("unknown")
    return LinkHolder.of(one_time_tokens.consume(KIND, ticket, by=by, now=now))


def look_up(ticket: str, *, now: datetime) -> Found | None:
    """Return what is stored of *ticket*, which stays as it is; ``None`` for an unknown one.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    return one_time_tokens.look_up(KIND, ticket, now=now) if is_ticket(ticket) else None


def is_ticket(text: str) -> bool:
    """Return whether *text* can be a ticket."""
    return 0 < len(text) <= MAX_TICKET_CHARS and text.isascii()
