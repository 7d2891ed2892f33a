"""Telegram's Bot API, as far as Core uses it: shapes, limits and refusals of the real one.

One difference: the real one accepts only public https addresses for the webhook and for buttons,
this one also those of this machine. Messages have no markup: ``parse_mode`` is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from local.receivers.state import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.receivers.state import Receivers
    from local.receivers.store import Chat, Message

    Method = Callable[[Receivers, dict[str, Any]], Any]

BOT_ID = 600_000_001
LONGEST_TEXT = 4_096  # UTF-16 code units
LONGEST_CALLBACK_DATA = 64  # bytes
LONGEST_ANSWER = 200
ANSWERABLE_S = 15  # how long after a press it can be answered
SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Refusal(Exception):
    """An error of the Bot API: its status, description and, for some, parameters."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters


def bad_request(description: str, **parameters: int) -> Refusal:
    """Return a 400 of the Bot API."""
    return Refusal(400, f"Bad Request: {description}", **parameters)


async def call(request: web.Request) -> web.Response:
    """``/bot<token>/<method>``: parameters as JSON, form or query, as Telegram takes them."""
    receivers = request.app[RECEIVERS]
    sent = request.match_info["token"]
    method = METHODS.get(request.match_info["method"].lower())
    if not hmac.compare_digest(sent.encode(), receivers.settings.bot_token.encode()):
        return _answer(Refusal(401, "Unauthorized"))
    if method is None:
        return _answer(Refusal(404, "Not Found"))
    fault = receivers.take_fault("telegram_429", "telegram_500", "telegram_lost")
    if fault is not None and fault.kind == "telegram_429":
        return _answer(Refusal(429, "Too Many Requests: retry after 5", retry_after=5))
    if fault is not None and fault.kind == "telegram_500":
        return _answer(Refusal(500, "Internal Server Error"))
    try:
        result = method(receivers, await _parameters(request))
    except Refusal as refusal:
        return _answer(refusal)
    if fault is not None:  # the call is done: a client that stops waiting cannot know
        await asyncio.sleep(fault.seconds)
    return web.json_response({"ok": True, "result": result})


def _answer(refusal: Refusal) -> web.Response:
    return web.json_response(refusal.body, status=refusal.status)


async def _parameters(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        try:
            sent = json.loads(await request.text() or "{}")
        except ValueError:
            raise bad_request("can't parse request as JSON") from None
        return {**request.query, **sent}
    return {**request.query, **await request.post()}


# ── methods ──────────────────────────────────────────────────────────────────────────────────────


def get_me(receivers: Receivers, _sent: dict[str, Any]) -> dict[str, Any]:
    """Return the bot."""
    return bot_user(receivers) | {
        "can_join_groups": False,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
    }


def send_message(receivers: Receivers, sent: dict[str, Any]) -> dict[str, Any]:
    """Add the bot's message to a chat."""
    chat = _chat(receivers, sent)
    text, keyboard = _text(sent), _keyboard(sent)
    message = receivers.store.add_message(
        chat.id, "bot", text, now=receivers.now(), keyboard=keyboard
    )
    return message_shape(receivers, message)


def edit_message_text(receivers: Receivers, sent: dict[str, Any]) -> dict[str, Any]:
    """Replace the text and the keyboard of a message of the bot."""
    chat = _chat(receivers, sent)
    message = receivers.store.message(chat.id, _whole_number(sent, "message_id"))
    if message is None:
        raise bad_request("message to edit not found")
    if message.sender != "bot":
        raise bad_request("message can't be edited")
    text, keyboard = _text(sent), _keyboard(sent)
    if (text, keyboard) == (message.text, message.keyboard):
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly"
            " the same as a current content and reply markup of the message"
        )
    now = receivers.now()
    receivers.store.edit_message(chat.id, message.message_id, text, now=now, keyboard=keyboard)
    edited = receivers.store.message(chat.id, message.message_id)
    assert edited is not None  # noqa: S101 - it was found above
    return message_shape(receivers, edited)


def answer_callback_query(receivers: Receivers, sent: dict[str, Any]) -> bool:
    """Answer a pressed button with a short text."""
    text = str(sent.get("text", ""))
    if len(text) > LONGEST_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    press_id, since = str(sent.get("callback_query_id", "")), receivers.now() - ANSWERABLE_S
    if not receivers.store.answer_press(press_id, text, since=since):
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    return True


def set_webhook(receivers: Receivers, sent: dict[str, Any]) -> bool:
    """Replace the webhook."""
    url, secret = str(sent.get("url", "")), str(sent.get("secret_token", ""))
    parts = urlsplit(url)
    if url and parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1"):
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if secret and not SECRET_TOKEN.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    allowed = _json(sent.get("allowed_updates", []))
    if not isinstance(allowed, list):
        raise bad_request("allowed_updates must be an Array of String")
    receivers.store.set_webhook(url, secret, [str(kind) for kind in allowed])
    receivers.new_update.set()
    return True


def delete_webhook(receivers: Receivers, _sent: dict[str, Any]) -> bool:
    """Remove the webhook."""
    receivers.store.set_webhook("", "", [])
    return True


def get_webhook_info(receivers: Receivers, _sent: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the webhook, without its secret."""
    webhook = receivers.store.webhook()
    info: dict[str, Any] = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(receivers.store.waiting_updates()),
    }
    if webhook is None:
        return info
    if webhook.error is not None:
        info |= {"last_error_date": webhook.error_at, "last_error_message": webhook.error}
    return info | {"max_connections": 40, "allowed_updates": webhook.allowed}


METHODS: dict[str, Method] = {
    "getme": get_me,
    "sendmessage": send_message,
    "editmessagetext": edit_message_text,
    "answercallbackquery": answer_callback_query,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
}

# ── parameters ───────────────────────────────────────────────────────────────────────────────────


def _chat(receivers: Receivers, sent: dict[str, Any]) -> Chat:
    """Return the chat that the bot may write to."""
    if not str(sent.get("chat_id", "")):
        raise bad_request("chat_id is empty")
    try:
        chat = receivers.store.chat(int(sent["chat_id"]))
    except (TypeError, ValueError):
        chat = None
    if chat is None:
        raise bad_request("chat not found")
    if chat.moved_to is not None:
        raise bad_request(
            "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to
        )
    if chat.blocked:
        kicked = "bot was blocked by the user"
        if chat.kind != "private":
            kicked = f"bot was kicked from the {chat.kind} chat"
        raise Refusal(403, f"Forbidden: {kicked}")
    if not chat.started:
        raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
    return chat


def _text(sent: dict[str, Any]) -> str:
    if sent.get("parse_mode") or sent.get("entities"):
        raise bad_request("unsupported parse_mode")
    text = str(sent.get("text", "")).strip()
    if not text:
        raise bad_request("message text is empty")
    if len(text.encode("utf-16-le")) // 2 > LONGEST_TEXT:
        raise bad_request("message is too long")
    return text


def _keyboard(sent: dict[str, Any]) -> str | None:
    """Return the rows of the inline keyboard as JSON, ``None`` without one."""
    markup = _json(sent.get("reply_markup")) or {}
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    rows = markup.get("inline_keyboard", [])
    for button in [button for row in rows for button in row]:
        _check_button(button)
    return json.dumps(rows, ensure_ascii=False) if any(rows) else None


def _check_button(button: dict[str, Any]) -> None:
    url, data = button.get("url"), button.get("callback_data")
    problem = "can't parse inline keyboard button"
    if not button.get("text"):
        raise bad_request(f'{problem}: Field "text" must be of type String')
    if (url is None) == (data is None):
        raise bad_request(f"{problem}: Text buttons are unallowed in the inline keyboard")
    if data is not None and not 1 <= len(str(data).encode()) <= LONGEST_CALLBACK_DATA:
        raise bad_request("BUTTON_DATA_INVALID")
    if url is not None:
        parts = urlsplit(str(url))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")


def _json(value: Any) -> Any:
    """Return a parameter that is JSON, or text of it, as in forms."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise bad_request("can't parse JSON object") from None


def _whole_number(sent: dict[str, Any], name: str) -> int:
    try:
        return int(sent.get(name, 0))
    except (TypeError, ValueError):
        raise bad_request(f"{name} must be a number") from None


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def bot_user(receivers: Receivers) -> dict[str, Any]:
    """Return the bot as a User."""
    return {
        "id": BOT_ID,
        "is_bot": True,
        "first_name": "UllGetTheJob",
        "username": receivers.settings.bot_name,
    }


def person_user(chat: Chat) -> dict[str, Any]:
    """Return the person of a chat as a User; a member of a group has an id of their own."""
    return {
        "id": abs(chat.id),
        "is_bot": False,
        "first_name": chat.name,
        "language_code": chat.language,
    }


def chat_shape(chat: Chat) -> dict[str, Any]:
    """Return a Chat."""
    name = {"first_name": chat.name} if chat.kind == "private" else {"title": chat.name}
    return {"id": chat.id, **name, "type": chat.kind}


def message_shape(receivers: Receivers, message: Message) -> dict[str, Any]:
    """Return a Message."""
    chat = receivers.store.chat(message.chat_id)
    assert chat is not None  # noqa: S101 - messages are of chats
    shape = {
        "message_id": message.message_id,
        "from": bot_user(receivers) if message.sender == "bot" else person_user(chat),
        "chat": chat_shape(chat),
        "date": message.at,
        "text": message.text,
    }
    if message.edited_at is not None:
        shape["edit_date"] = message.edited_at
    if message.text.startswith("/"):
        length = len(message.text.split()[0].encode("utf-16-le")) // 2
        shape["entities"] = [{"offset": 0, "length": length, "type": "bot_command"}]
    if message.rows:
        shape["reply_markup"] = {"inline_keyboard": message.rows}
    return shape
