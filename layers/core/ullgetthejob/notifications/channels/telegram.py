"""The channel Telegram: a message of plain text to a private chat, with buttons.

Nothing is marked up: no ``parse_mode``, so what vacancies and employers write stays text. No link
is previewed, since Telegram's preview would open it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications import telegram_api, telegram_letters
from ullgetthejob.notifications.telegram_api import Migrated, Refused
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from ullgetthejob.notifications.messages import Button, Message
    from ullgetthejob.notifications.recipient import Recipient
    from ullgetthejob.notifications.telegram_letters import Shown
    from ullgetthejob.platform.context import Context

# Telegram: the longest text of a message, in UTF-16 code units, and of a button's data, in bytes.
LONGEST_TEXT = 4_096
LONGEST_CALLBACK_DATA = 64
LONGEST_LABEL = 64
ELLIPSIS = "…"
_URL = re.compile(r"https?://\S+")


def send(message: Message, address: Recipient, *, context: Context, transport: Any = None) -> None:
    """Send *message* to a chat, with the letters that it asks about. *transport*: of httpx, for
    tests.

    Buttons that Telegram refuses, such as one whose address it cannot reach, are left out, and
    their addresses added to the text. Raises the errors of
    :mod:`ullgetthejob.notifications.errors`.
    """
    shown = telegram_letters.show(
        message, address.account_id, length=length, limit=LONGEST_TEXT, context=context
    )
    chat_id = int(address.address)
    try:
        _send(chat_id, shown.text, keyboard(message, shown), transport)
    except Refused as refused:
        if not message.buttons or "button" not in refused.description.lower():
            logger.error("Telegram refuses a message", kind=message.kind)
            raise
        logger.warning("Telegram refuses the buttons of a message", kind=message.kind)
        urls = [button.url for button in message.buttons if button.url]
        _send(chat_id, "\n".join([message.text, *urls]), [], transport)


def _send(chat_id: int, text: str, rows: list[list[dict[str, str]]], transport: Any) -> None:
    parameters: dict[str, Any] = {
        "chat_id": chat_id,
        "text": fit(text),
        "link_preview_options": {"is_disabled": True},
    }
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


def keyboard(message: Message, shown: Shown) -> list[list[dict[str, str]]]:
    """Return the rows of the inline keyboard: one of each application's actions, one of each link.
    What was not shown cannot be approved."""
    actions: dict[str, list[dict[str, str]]] = {}
    links: list[list[dict[str, str]]] = []
    for button in message.buttons:
        label = button.label[:LONGEST_LABEL]
        if button.url is not None:
            links.append([{"text": label, "url": button.url}])
            continue
        data = callback_data(button, shown)
        if len(data.encode()) > LONGEST_CALLBACK_DATA:
            logger.error("the action of a button is too long", kind=message.kind)
        elif data:
            about = data.split(":")[1] if ":" in data else data
            actions.setdefault(about, []).append({"text": label, "callback_data": data})
    return [*actions.values(), *links]


def callback_data(button: Button, shown: Shown) -> str:
    """Return what Telegram sends back for *button*: its action, and for an approval the first
    digits of the hash of the letter that is shown; an empty text if it is not."""
    action = button.action or ""
    if not action.startswith(telegram_letters.APPROVE):
        return action
    digits = shown.digits.get(action.removeprefix(telegram_letters.APPROVE))
    return f"{action}:{digits}" if digits else ""
