"""Updates: what a person does in a chat, delivered to the bot's webhook until it answers 2xx."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

import aiohttp

from local.receivers import bot_api

if TYPE_CHECKING:
    from local.receivers.state import Receivers
    from local.receivers.store import Chat, Message, Webhook

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
TIMEOUT_S = 35
LONGEST_PAUSE_S = 60
ATTEMPTS = 50


def write(receivers: Receivers, chat: Chat, text: str) -> Message:
    """Let the person of a chat write to the bot, which they thereby start and unblock."""
    receivers.store.change_chat(chat.id, started=1, blocked=0)
    message = receivers.store.add_message(chat.id, "person", text, now=receivers.now())
    _add(receivers, "message", bot_api.message_shape(receivers, message))
    return message


def press(receivers: Receivers, chat: Chat, message: Message, data: str) -> str:
    """Let the person of a chat press a button; return the id of the press."""
    press_id = str(secrets.randbits(62))
    receivers.store.add_press(press_id, message, data, receivers.now())
    _add(
        receivers,
        "callback_query",
        {
            "id": press_id,
            "from": bot_api.person_user(chat),
            "message": bot_api.message_shape(receivers, message),
            "chat_instance": str(chat.id),
            "data": data,
        },
    )
    return press_id


def block(receivers: Receivers, chat: Chat) -> None:
    """Let the person of a chat block the bot, or the group exclude it."""
    receivers.store.change_chat(chat.id, blocked=1)
    member, kicked = (
        {"user": bot_api.bot_user(receivers), "status": status} for status in ("member", "kicked")
    )
    _add(
        receivers,
        "my_chat_member",
        {
            "chat": bot_api.chat_shape(chat),
            "from": bot_api.person_user(chat),
            "date": receivers.now(),
            "old_chat_member": member,
            "new_chat_member": {**kicked, "until_date": 0},
        },
    )


def _add(receivers: Receivers, kind: str, content: dict[str, Any]) -> None:
    webhook = receivers.store.webhook()
    if webhook is None or not webhook.allowed or kind in webhook.allowed:
        receivers.store.add_update({kind: content})
        receivers.new_update.set()


async def deliver(receivers: Receivers) -> None:
    """Deliver updates, one after the other, until cancelled. What is not accepted is sent again
    after 1, 2, 4 … 60 seconds, and given up after :data:`ATTEMPTS`."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            receivers.new_update.clear()
            webhook = receivers.store.webhook()
            waiting = receivers.store.waiting_updates() if webhook is not None else []
            if webhook is None or not waiting:
                await receivers.new_update.wait()
                continue
            update_id, body, attempts = waiting[0]
            error = await _post(session, webhook, {"update_id": update_id, **body})
            if error is None or attempts + 1 >= ATTEMPTS:
                receivers.store.set_attempted(update_id, receivers.now())
                continue
            receivers.store.set_attempted(update_id, None)
            receivers.store.set_webhook_error(error, receivers.now())
            with contextlib.suppress(TimeoutError):
                pause_s = min(2**attempts, LONGEST_PAUSE_S)
                await asyncio.wait_for(receivers.new_update.wait(), pause_s)


async def _post(
    session: aiohttp.ClientSession, webhook: Webhook, update: dict[str, Any]
) -> str | None:
    """Return why the webhook did not accept the update, ``None`` if it did."""
    headers = {SECRET_HEADER: webhook.secret} if webhook.secret else {}
    try:
        async with session.post(webhook.url, json=update, headers=headers) as response:
            if 200 <= response.status < 300:
                return None
            return f"Wrong response from the webhook: {response.status} {response.reason}"
    except TimeoutError:
        return "Read timeout expired"
    except aiohttp.ClientError:
        return "Connection refused"
