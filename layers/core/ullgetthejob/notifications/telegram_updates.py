"""Updates of the bot's webhook: what a person writes, presses or blocks in a chat.

An update is processed once, by its ``update_id``. While one is being processed, the same update is
answered 503, and Telegram sends it again. If the process ends in between, the next delivery
processes it anew, which is harmless: every act here may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ullgetthejob.notifications import telegram_api, telegram_buttons, telegram_pairing
from ullgetthejob.notifications.errors import ChannelGone, ChannelUnavailable, OutcomeUnknown
from ullgetthejob.notifications.telegram_texts import language_of, text
from ullgetthejob.platform import dynamodb, settings
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, logger

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.notifications.telegram_pairing import PairedChat
    from ullgetthejob.platform.context import Context

CLAIM_MS = 60_000  # longer than the function's timeout
KEPT_S = 3 * 86_400  # Telegram gives an update up after a day
FREE = "attribute_not_exists(pk) OR (attribute_not_exists(done) AND #until <= :now)"
LONGEST_ANSWER = 200  # Telegram: of an answer to a button


class Chat(Model):
    """Telegram's Chat."""

    id: int
    type: str = "private"


class User(Model):
    """Telegram's User."""

    id: int
    language_code: str | None = None


class ChatMessage(Model):
    """Telegram's Message."""

    message_id: int
    chat: Chat
    sender: User | None = Field(None, alias="from")
    text: str | None = None


class CallbackQuery(Model):
    """Telegram's CallbackQuery: a pressed button."""

    id: str
    sender: User = Field(alias="from")
    message: ChatMessage | None = None
    data: str | None = None


class ChatMember(Model):
    """Telegram's ChatMember, of the bot itself."""

    status: str


class ChatMemberUpdated(Model):
    """Telegram's ChatMemberUpdated: the bot was blocked or unblocked."""

    chat: Chat
    new_chat_member: ChatMember


class Update(Model):
    """Telegram's Update, with the kinds that the webhook asks for; others are ignored."""

    update_id: int
    message: ChatMessage | None = None
    callback_query: CallbackQuery | None = None
    my_chat_member: ChatMemberUpdated | None = None


class Processed(Model):
    """The answer to Telegram, which reads its status alone."""

    ok: bool = True


def process(update: Update, context: Context, *, origin: str) -> Processed:
    """Process an update, unless it was. *origin*: of Core's HTTP API, for links where
    ``PUBLIC_URL`` is not set. Raises :class:`Unavailable`: it will be delivered again."""
    if not _claim(update.update_id, context.now()):
        return Processed()
    try:
        _dispatch(update, context, origin)
    except ChannelGone:  # the person blocked the bot meanwhile
        logger.info("a chat is gone")
    except OutcomeUnknown:
        logger.warning("an answer in Telegram may not have arrived")
    except ChannelUnavailable as error:
        _release(update.update_id)
        retry_after_s = int(error.retry_after_s or telegram_api.RETRY_AFTER_S)
        raise Unavailable(
            "Telegram takes no answer", code="telegram_unavailable", retry_after_s=retry_after_s
        ) from None
    except BaseException:
        _release(update.update_id)
        raise
    _finish(update.update_id)
    count("TelegramUpdates")
    return Processed()


def _dispatch(update: Update, context: Context, origin: str) -> None:
    if update.my_chat_member is not None:
        _note_block(update.my_chat_member, context)
    elif update.callback_query is not None:
        _handle_press(update.callback_query, context, origin)
    elif update.message is not None and update.message.text:
        _handle_text(update.message, context, origin)


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def _handle_text(message: ChatMessage, context: Context, origin: str) -> None:
    words = (message.text or "").split()
    command, arguments = (words[0].partition("@")[0].lower(), words[1:]) if words else ("", [])
    language = language_of(message.sender.language_code if message.sender else None)
    chat_id = message.chat.id
    if message.chat.type != "private":
        if command == "/start":
            reply(chat_id, text("group", language))
        return
    if command == "/start" and arguments:
        outcome = telegram_pairing.pair_chat(
            chat_id,
            arguments[0],
            language=language,
            connection=context.connection,
            now=context.now(),
        )
        reply(chat_id, text(outcome, language))
        return
    paired = telegram_pairing.find_paired(chat_id, connection=context.connection)
    if command == "/stop":
        telegram_pairing.end_pairing(
            chat_id, reason="stopped", connection=context.connection, now=context.now()
        )
        reply(chat_id, text("stopped", paired.language if paired else language))
    elif paired is None:
        reply(chat_id, text("no_token" if command == "/start" else "not_paired", language))
    else:
        _handle_command(command, chat_id, paired, context, origin)


def _handle_command(
    command: str, chat_id: int, paired: PairedChat, context: Context, origin: str
) -> None:
    if command == "/handoff":
        reply(chat_id, telegram_buttons.handoff_text(paired, context, origin))
    elif command == "/start":
        reply(chat_id, text("paired", paired.language))
    else:
        reply(chat_id, text("unknown", paired.language))


def _note_block(change: ChatMemberUpdated, context: Context) -> None:
    if change.new_chat_member.status == "kicked":
        telegram_pairing.end_pairing(
            change.chat.id, reason="blocked", connection=context.connection, now=context.now()
        )


# ── buttons ──────────────────────────────────────────────────────────────────────────────────────


def _handle_press(query: CallbackQuery, context: Context, origin: str) -> None:
    """Do what a button says, for the account of the chat: a message that was passed on to another
    chat has no effect there."""
    message = query.message
    language = language_of(query.sender.language_code)
    paired = None
    if message is not None and message.chat.id == query.sender.id:  # a private chat
        paired = telegram_pairing.find_paired(message.chat.id, connection=context.connection)
    if message is None or paired is None:
        _answer(query, text("not_paired", language))
        return
    if query.data == "open":
        reply(message.chat.id, telegram_buttons.handoff_text(paired, context, origin))
        _answer(query, text("opened", paired.language))
        return
    outcome = telegram_buttons.decide(query.data or "", paired, context)
    said = text(outcome, paired.language)
    _answer(query, said)
    if outcome in telegram_buttons.FINAL:
        _edit(message, said)


def reply(chat_id: int, content: str) -> None:
    """Send a text to a chat. Raises the errors of :mod:`ullgetthejob.notifications.errors`."""
    parameters: dict[str, Any] = {
        "chat_id": chat_id,
        "text": content,
        "link_preview_options": {"is_disabled": True},
    }
    telegram_api.call("sendMessage", parameters)


def _answer(query: CallbackQuery, content: str) -> None:
    """Answer a press; an answer that comes too late is not shown, which is no error."""
    parameters = {"callback_query_id": query.id, "text": content[:LONGEST_ANSWER]}
    try:
        telegram_api.call("answerCallbackQuery", parameters)
    except (telegram_api.Refused, OutcomeUnknown):
        logger.info("a press could not be answered")


def _edit(message: ChatMessage, content: str) -> None:
    """Add the outcome to the message, and remove its buttons; a message that says so already, or is
    too old, stays."""
    parameters = {
        "chat_id": message.chat.id,
        "message_id": message.message_id,
        "text": telegram_buttons.with_outcome(message.text or "", content),
        "link_preview_options": {"is_disabled": True},
    }
    try:
        telegram_api.call("editMessageText", parameters)
    except (telegram_api.Refused, OutcomeUnknown):
        logger.info("a message could not be edited")


# ── once ─────────────────────────────────────────────────────────────────────────────────────────


def _claim(update_id: int, now: datetime) -> bool:
    """Return whether the update is to be processed now; ``False`` if it was. Raises
    :class:`Unavailable` while another process does it."""
    now_ms = int(now.timestamp() * 1000)
    values = {
        ":now": now_ms,
        ":until": now_ms + CLAIM_MS,
        ":expires": now_ms // 1000 + KEPT_S,
    }
    update = "SET #until = :until, expires_at = :expires"
    is_claimed, item = dynamodb.update_item(
        settings.ONE_TIME_TABLE(), _key(update_id), update, values, _unavailable, condition=FREE
    )
    if not is_claimed and "done" not in item:
        raise _unavailable()
    return is_claimed


def _finish(update_id: int) -> None:
    table, key = settings.ONE_TIME_TABLE(), _key(update_id)
    dynamodb.update_item(table, key, "SET done = :done", {":done": 1}, _unavailable)


def _release(update_id: int) -> None:
    table, key = settings.ONE_TIME_TABLE(), _key(update_id)
    dynamodb.update_item(table, key, "SET #until = :until", {":until": 0}, _unavailable)


def _key(update_id: int) -> dict[str, str]:
    return {"pk": f"telegram_update#{update_id}"}


def _unavailable() -> Unavailable:
    return Unavailable("this update cannot be processed now", code="telegram_unavailable")
