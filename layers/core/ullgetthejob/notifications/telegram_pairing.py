"""Pairing of a person's private chat with their account, by a deep link with a one-time token.

``https://t.me/<bot>?start=<token>`` lets Telegram show the bot's chat; when the person starts it,
the bot gets ``/start <token>``. So a chat is paired by who holds the link, within 15 minutes, once.
The same chat may present the token again: an update that was delivered twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts.people import Person  # noqa: TC001 - the Api reads annotations
from ullgetthejob.notifications import channel_store, telegram_api
from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.context import Context  # noqa: TC001 - the Api reads annotations
from ullgetthejob.platform.errors import Conflict
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.notifications.messages import Language
    from ullgetthejob.platform.postgres import Connection

KIND = "telegram_pairing"
CHANNEL: Literal["telegram"] = "telegram"
PAIRING_LIFETIME = timedelta(minutes=15)
MAX_TOKEN_CHARS = 64  # Telegram's limit of the parameter "start"; ours have 43

SELECT_CHANNELS_OF_CHAT = """
    SELECT account_id, language FROM notification_channels
    WHERE kind = 'telegram' AND address_digest = ANY(%(digests)s) AND state = 'active'
    ORDER BY changed_at DESC
"""
SELECT_ACCOUNT_EXISTS = "SELECT 1 AS found FROM accounts WHERE id = %(account_id)s"
# A user of the account, for what is done for one: the newest session.
SELECT_USER_OF_ACCOUNT = """
    SELECT id FROM users WHERE account_id = %(account_id)s ORDER BY updated_at DESC, id LIMIT 1
"""

Paired = Literal["paired", "moved", "link_invalid"]


class Pairing(Model):
    """A link that pairs one chat."""

    url: str = Field(description="the bot's deep link, to be opened on the person's phone")
    expires_at: AwareDatetime


@dataclass(frozen=True)
class PairedChat:
    """The account of a paired chat, one of its users, and the language of its messages."""

    account_id: UUID
    user_id: UUID | None
    language: Language


def issue_link(person: Person, context: Context) -> Pairing:
    """Return a link that pairs the chat in which it is opened with the person's account.

    Raises :class:`Conflict` (``telegram_off``) without a bot, :class:`NeedsPerson` for a user who
    never connected hh.ru, :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    name, account_id, now = settings.TELEGRAM_BOT_NAME(), person.account, context.now()
    if not name or not telegram_api.is_configured():
        raise Conflict("this deployment has no Telegram bot", code="telegram_off")
    content = {"account_id": str(account_id)}
    token = one_time_tokens.issue(KIND, content, life=PAIRING_LIFETIME, now=now)
    return Pairing(url=f"https://t.me/{name}?start={token}", expires_at=now + PAIRING_LIFETIME)


def pair_chat(
    chat_id: int, token: str, *, language: Language, connection: Connection, now: datetime
) -> Paired:
    """Pair a private chat with the account of *token*; a chat of another account moves to it.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    if not 0 < len(token) <= MAX_TOKEN_CHARS:
        return "link_invalid"
    try:
        content = one_time_tokens.consume(KIND, token, by=f"chat {chat_id}", now=now)
    except one_time_tokens.InvalidToken:
        return "link_invalid"
    account_id, address = UUID(content["account_id"]), str(chat_id)
    with connection.transaction():
        if not connection.execute(SELECT_ACCOUNT_EXISTS, {"account_id": account_id}).fetchone():
            return "link_invalid"  # it was deleted since
        former = {row["account_id"] for row in _channels_of(chat_id, connection)} - {account_id}
        if former:
            channel_store.disable(
                CHANNEL, address, reason="paired_elsewhere", connection=connection, now=now
            )
        channel_store.activate(
            account_id, CHANNEL, address, language=language, connection=connection, now=now
        )
    count("TelegramChatsPaired")
    return "moved" if former else "paired"


def end_pairing(chat_id: int, *, reason: str, connection: Connection, now: datetime) -> bool:
    """Disable the channels of a chat; return whether there were any."""
    disabled = channel_store.disable(
        CHANNEL, str(chat_id), reason=reason, connection=connection, now=now
    )
    return bool(disabled)


def find_paired(chat_id: int, *, connection: Connection) -> PairedChat | None:
    """Return the account with which a chat is paired; ``None`` if it is with none."""
    rows = _channels_of(chat_id, connection)
    if not rows:
        return None
    account_id = rows[0]["account_id"]
    user = connection.execute(SELECT_USER_OF_ACCOUNT, {"account_id": account_id}).fetchone()
    user_id = None if user is None else user["id"]
    return PairedChat(account_id, user_id, rows[0]["language"])


def _channels_of(chat_id: int, connection: Connection) -> list[dict[str, Any]]:
    values = {"digests": channel_store.digests(str(chat_id))}
    return connection.execute(SELECT_CHANNELS_OF_CHAT, values).fetchall()
