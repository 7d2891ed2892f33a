"""The channel Telegram: a message of plain text to a private chat, with buttons.

Nothing is marked up: no ``parse_mode``, so what vacancies and employers write stays text. No link
is previewed, since Telegram's preview would open it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications import telegram_api
from ullgetthejob.notifications.telegram_api import Migrated, Refused
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from ullgetthejob.notifications.messages import Button, Message
    from ullgetthejob.platform.context import Context

# Telegram: the longest text of a message, in UTF-16 code units, and of a button's data, in bytes.
LONGEST_TEXT = 4_096
LONGEST_CALLBACK_DATA = 64
LONGEST_LABEL = 64
HASH_DIGITS = 8  # of a letter's hash in a button: an approval is of the text that was shown
ELLIPSIS = "…"
_URL = re.compile(r"https?://\S+")


def send(message: Message, address: str, *, context: Context, transport: Any = None) -> None:
    """Send *message* to the chat *address*. *transport*: of httpx, for tests.

    Buttons that Telegram refuses, such as one whose address it cannot reach, are left out, and
    their addresses added to the text. Raises the errors of
    :mod:`ullgetthejob.notifications.errors`.
    """
    del context  # other channels need it
    try:
        _send(message, int(address), transport, with_buttons=True)
    except Refused as refused:
        if not message.buttons or "button" not in refused.description.lower():
            logger.error("Telegram refuses a message", kind=message.kind)
            raise
        logger.warning("Telegram refuses the buttons of a message", kind=message.kind)
        _send(message, int(address), transport, with_buttons=False)


def _send(message: Message, chat_id: int, transport: Any, *, with_buttons: bool) -> None:
    text = message.text
    if not with_buttons:
        links = [button.url for button in message.buttons if button.url and button.url not in text]
        text = "\n".join([text, *links])
    parameters: dict[str, Any] = {
        "chat_id": chat_id,
        "text": fit(text),
        "link_preview_options": {"is_disabled": True},
    }
    rows = keyboard(message) if with_buttons else []
    if rows:
        parameters["reply_markup"] = {"inline_keyboard": rows}
    try:
        telegram_api.call("sendMessage", parameters, transport=transport)
    except Migrated as migrated:  # nothing was sent
        parameters["chat_id"] = migrated.chat_id
        telegram_api.call("sendMessage", parameters, transport=transport)


def fit(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return *text* with at most *limit* UTF-16 code units: cut with an ellipsis, and with its last
    link kept."""
    if length(text) <= limit:
        return text
    links = _URL.findall(text)
    end = ELLIPSIS
    if links and length(links[-1]) < limit // 2:
        end = f"{ELLIPSIS}\n{links[-1]}"
    room = limit - length(end)
    kept = text[:room]
    while length(kept) > room:
        kept = kept[: len(kept) - max(1, (length(kept) - room) // 2)]
    return kept.rstrip() + end


def length(text: str) -> int:
    """Return the length of *text* in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def keyboard(message: Message) -> list[list[dict[str, str]]]:
    """Return the rows of the inline keyboard: one of the actions, one of each link."""
    actions: list[dict[str, str]] = []
    links: list[list[dict[str, str]]] = []
    for button in message.buttons:
        label = button.label[:LONGEST_LABEL]
        if button.url is not None:
            links.append([{"text": label, "url": button.url}])
            continue
        data = callback_data(button, message.data)
        if len(data.encode()) > LONGEST_CALLBACK_DATA:
            logger.error("the action of a button is too long", kind=message.kind)
        elif data:
            actions.append({"text": label, "callback_data": data})
    return [*([actions] if actions else []), *links]


def callback_data(button: Button, data: dict[str, Any]) -> str:
    """Return what Telegram sends back for *button*: its action, and for an approval the first
    digits of the hash of the letter in the message."""
    action = button.action or ""
    kind, _, application_id = action.partition(":")
    if kind != "approve":
        return action
    hashes = data.get("letter_hashes") or {application_id: data.get("letter_hash")}
    letter_hash = str(hashes.get(application_id) or "")
    return f"{action}:{letter_hash[:HASH_DIGITS]}"
