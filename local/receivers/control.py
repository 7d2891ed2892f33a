"""``/_receivers/…``: what tests and the dashboard do as the person, and what was received."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.receivers import bot_api, hooks, smtp, updates
from local.receivers.state import FAULTS, RECEIVERS, Fault
from local.receivers.store import Chat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PREFIX = "/_receivers"
KINDS = ("private", "group", "supergroup")


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        content = json.loads(await request.text() or "{}")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _refused("the body must be a JSON object")
    return content


def _refused(message: str, status: int = 400) -> web.HTTPException:
    kind = {400: web.HTTPBadRequest, 404: web.HTTPNotFound}[status]
    return kind(text=json.dumps({"error": message}), content_type="application/json")


def _chat(request: web.Request) -> Chat:
    given = request.match_info["chat_id"].removeprefix("-")
    chat = None
    if given.isdecimal():
        chat = request.app[RECEIVERS].store.chat(int(request.match_info["chat_id"]))
    if chat is None:
        raise _refused("there is no such chat", 404)
    return chat


async def health(_request: web.Request) -> web.Response:
    """``GET /_receivers/health``."""
    return web.json_response({"status": "up"})


async def state(request: web.Request) -> web.Response:
    """``GET /_receivers/state``: chats with messages, e-mails, deliveries, faults."""
    receivers = request.app[RECEIVERS]
    store = receivers.store
    chats = [
        {
            **{name: getattr(chat, name) for name in Chat.__slots__},
            "messages": [
                {
                    "message_id": message.message_id,
                    "at": message.at,
                    "sender": message.sender,
                    "text": message.text,
                    "rows": message.rows,
                    "edited_at": message.edited_at,
                }
                for message in store.messages(chat.id)
            ],
            "presses": store.presses(chat.id),
        }
        for chat in store.chats()
    ]
    return web.json_response(
        {
            "bot": bot_api.bot_user(receivers)["username"],
            "webhook": bot_api.get_webhook_info(receivers, {}),
            "chats": chats,
            "emails": [smtp.describe(*email) for email in store.emails()],
            "deliveries": store.deliveries(),
            "faults": [{"kind": fault.kind, "times": fault.times} for fault in receivers.faults],
        }
    )


async def list_updates(request: web.Request) -> web.Response:
    """``GET /_receivers/telegram/updates``: all updates and how often each was sent."""
    return web.json_response({"updates": request.app[RECEIVERS].store.updates()})


async def repeat_update(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/updates/{id}/repeat``: deliver an update once more."""
    receivers, given = request.app[RECEIVERS], request.match_info["update_id"]
    if not given.isdecimal() or not receivers.store.repeat_update(int(given)):
        raise _refused("there is no such update", 404)
    receivers.new_update.set()
    return web.json_response({})


async def add_chat(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/chats {name, language?, kind?}``: 201 with the chat."""
    body = await _body(request)
    name, language = body.get("name"), body.get("language", "ru")
    kind = body.get("kind", "private")
    if not isinstance(name, str) or not name or not isinstance(language, str):
        raise _refused("give a name and a language such as ru")
    if kind not in KINDS:
        raise _refused(f"kind must be one of: {', '.join(KINDS)}")
    chat = request.app[RECEIVERS].store.add_chat(name=name, language=language, kind=kind)
    return web.json_response({"id": chat.id}, status=201)


async def write(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/chats/{id}/messages {text}``: the person writes to the bot; the
    deep link ``https://t.me/<bot>?start=<token>`` does what following it does."""
    chat, text = _chat(request), (await _body(request)).get("text")
    if not isinstance(text, str) or not text.strip():
        raise _refused("give a text")
    text = text.strip()
    if text.startswith("https://t.me/"):
        _, found, token = text.partition("?start=")
        text = f"/start {token}" if found else "/start"
    message = updates.write(request.app[RECEIVERS], chat, text)
    return web.json_response({"message_id": message.message_id}, status=201)


async def press(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/chats/{id}/press {message_id, data}``: press a button."""
    receivers, chat, body = request.app[RECEIVERS], _chat(request), await _body(request)
    given = body.get("message_id")
    message = receivers.store.message(chat.id, given) if isinstance(given, int) else None
    data = body.get("data")
    known = (
        {button.get("callback_data") for row in message.rows for button in row} if message else ()
    )
    if message is None or not isinstance(data, str) or data not in known:
        raise _refused("there is no such button", 404)
    press_id = updates.press(receivers, chat, message, data)
    return web.json_response({"id": press_id}, status=201)


async def block(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/chats/{id}/block``: the person blocks the bot."""
    updates.block(request.app[RECEIVERS], _chat(request))
    return web.json_response({})


async def migrate(request: web.Request) -> web.Response:
    """``POST /_receivers/telegram/chats/{id}/migrate``: a group becomes a supergroup."""
    receivers, chat = request.app[RECEIVERS], _chat(request)
    if chat.kind != "group":
        raise _refused("only a group becomes a supergroup")
    new = receivers.store.add_chat(name=chat.name, language=chat.language, kind="supergroup")
    receivers.store.change_chat(new.id, started=1)
    receivers.store.change_chat(chat.id, moved_to=new.id)
    return web.json_response({"id": new.id})


async def set_hook_secret(request: web.Request) -> web.Response:
    """``PUT /_receivers/hooks/{name} {secret}``: verify deliveries with this secret."""
    secret = (await _body(request)).get("secret")
    if not isinstance(secret, str) or not secret.startswith(hooks.PREFIX):
        raise _refused(f"give a secret that starts with {hooks.PREFIX}")
    request.app[RECEIVERS].store.set_hook_secret(request.match_info["name"], secret)
    return web.json_response({})


async def set_fault(request: web.Request) -> web.Response:
    """``POST /_receivers/faults {kind, times?, seconds?}``."""
    body = await _body(request)
    kind, times, seconds = body.get("kind"), body.get("times", 1), body.get("seconds", 60)
    if kind not in FAULTS:
        raise _refused(f"kind must be one of: {', '.join(FAULTS)}")
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 10_000:
        raise _refused("times must be a whole number from 1 to 10000")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 120:
        raise _refused("seconds must be a number from 0 to 120")
    receivers = request.app[RECEIVERS]
    receivers.faults.append(Fault(kind, times, float(seconds)))
    return web.json_response({"kind": kind, "times": times})


async def clear_faults(request: web.Request) -> web.Response:
    """``DELETE /_receivers/faults``."""
    request.app[RECEIVERS].faults.clear()
    return web.json_response({})


async def clear(request: web.Request) -> web.Response:
    """``DELETE /_receivers/state``: delete what was received; chats stay."""
    request.app[RECEIVERS].store.clear()
    return web.json_response({})


ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    ("GET", f"{PREFIX}/health", health),
    ("GET", f"{PREFIX}/state", state),
    ("DELETE", f"{PREFIX}/state", clear),
    ("GET", f"{PREFIX}/telegram/updates", list_updates),
    ("POST", f"{PREFIX}/telegram/updates/{{update_id}}/repeat", repeat_update),
    ("POST", f"{PREFIX}/telegram/chats", add_chat),
    ("POST", f"{PREFIX}/telegram/chats/{{chat_id}}/messages", write),
    ("POST", f"{PREFIX}/telegram/chats/{{chat_id}}/press", press),
    ("POST", f"{PREFIX}/telegram/chats/{{chat_id}}/block", block),
    ("POST", f"{PREFIX}/telegram/chats/{{chat_id}}/migrate", migrate),
    ("PUT", f"{PREFIX}/hooks/{{name}}", set_hook_secret),
    ("POST", f"{PREFIX}/faults", set_fault),
    ("DELETE", f"{PREFIX}/faults", clear_faults),
)
