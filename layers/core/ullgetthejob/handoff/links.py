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

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import audit
from ullgetthejob.accounts.session_tokens import Identity
from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.one_time_tokens import Found
    from ullgetthejob.platform.pages import Request
    from ullgetthejob.platform.postgres import Connection

KIND = "handoff"
PATH = "/handoff"
LINK_LIFETIME = timedelta(hours=1)
MAX_TICKET_CHARS = 100  # ours have 43
REQUEST_PAUSE = timedelta(minutes=10)  # between new links that can be requested with an old one
REQUESTED = {"handoff_link": "requested"}

SELECT_ACCOUNT_FOR_REQUEST = "SELECT id FROM accounts WHERE id = %(account_id)s FOR UPDATE"
# Of the account's latest events, which are few in that time.
SELECT_LINK_REQUESTED = """
    SELECT count(*) AS requests FROM (
        SELECT type, at, data FROM events WHERE account_id = %(account_id)s
        ORDER BY seq DESC LIMIT 200
    ) AS latest
    WHERE type = 'account.updated' AND at > %(since)s AND data ? 'handoff_link'
"""


class HandoffLink(Model):
    """A link to the handoff page, which opens once."""

    url: str = Field(description="a secret until it is opened: for the person alone")
    expires_at: AwareDatetime


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

    @property
    def identity(self) -> Identity:
        """Return what the link proves."""
        return Identity(self.user_id, self.issued_at)


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


def issue(person: Person, request: Request, context: Context) -> HandoffLink:
    """Issue a link for *person*. Raises :class:`NeedsPerson` for a user who never connected hh.ru,
    and as :func:`create` does."""
    now, account_id = context.now(), person.account
    url = create(account_id, user_id=person.user_id, now=now, origin=request.origin)
    audit.write("handoff.link", "ok", context, user_id=person.user_id, account_id=account_id)
    return HandoffLink(url=url, expires_at=now + LINK_LIFETIME)


def request_new(account_id: UUID, *, connection: Connection, now: datetime) -> bool:
    """Request a new link for the account, by an event that the person's own channels turn into a
    message; return whether that was done. It is not, if one was requested within
    :data:`REQUEST_PAUSE`, or the account no longer exists."""
    values = {"account_id": account_id, "since": now - REQUEST_PAUSE}
    with connection.transaction():
        if connection.execute(SELECT_ACCOUNT_FOR_REQUEST, values).fetchone() is None:
            return False
        found = connection.execute(SELECT_LINK_REQUESTED, values).fetchone()
        if found is not None and found["requests"]:
            return False
        event_log.append(account_id, "account.updated", REQUESTED, connection=connection, now=now)
    count("HandoffLinksRequested")
    return True


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
