"""*Messages*: what people receive, as on their phones: Telegram chats, e-mails, webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.dashboard.page import Page
from local.dashboard.system import Refused
from local.dashboard.tables import Column, table
from local.receivers.state import FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

EMAILS_SHOWN = 50
DELIVERIES = (
    Column("at", "Received", "time"),
    Column("name", "Receiver", "code"),
    Column("verdict", "Signature", "badge"),
    Column("id", "webhook-id", "code"),
    Column("body", "Content", "code"),
)


async def read(system: System, query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the values of the template. Raises :class:`Refused`."""
    state = await system.receivers_call("GET", "/state")
    emails = [
        email | {"at": _time(email["at"]), "links": [_link(url) for url in email["links"]]}
        for email in state["emails"]
    ]
    return {
        "bot": state["bot"],
        "webhook": state["webhook"],
        "chats": [_chat(chat) for chat in state["chats"]],
        "emails": emails[:EMAILS_SHOWN],
        "email_count": len(emails),
        "fault_kinds": FAULTS,
        "faults": state["faults"],
        "table": table(
            *("deliveries", "Webhook deliveries", DELIVERIES),
            [_delivery(row) for row in state["deliveries"]],
            query,
            sort="-at",
            empty="None. A receiver is at /hooks/<name> of the receivers' address.",
        ),
    }


def _chat(chat: Mapping[str, Any]) -> dict[str, Any]:
    answers: dict[int, str] = {}
    for press in chat["presses"]:
        if press["answer"]:
            answers[press["message_id"]] = press["answer"]
    messages = [
        {
            "id": message["message_id"],
            "at": _time(message["at"]),
            "is_of_bot": message["sender"] == "bot",
            "text": message["text"],
            "is_edited": message["edited_at"] is not None,
            "answer": answers.get(message["message_id"], ""),
            "rows": [[_button(button) for button in row] for row in message["rows"]],
        }
        for message in chat["messages"]
    ]
    return {
        "id": chat["id"],
        "name": chat["name"],
        "kind": chat["kind"],
        "language": chat["language"],
        "is_blocked": bool(chat["blocked"]),
        "messages": messages,
    }


def _button(button: Mapping[str, str]) -> dict[str, str]:
    return {
        "text": button["text"],
        "data": button.get("callback_data", ""),
        "href": _link(button.get("url", ""))["href"],
    }


def _link(url: str) -> dict[str, str]:
    """Return the text of a link, and its address if following it is safe."""
    try:
        is_safe = urlsplit(url).scheme in ("http", "https")
    except ValueError:
        is_safe = False
    return {"text": url, "href": url if is_safe else ""}


def _delivery(row: Mapping[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in row["headers"].items()}
    return {
        "at": _time(row["at"]),
        "name": row["name"],
        "verdict": row["verdict"],
        "id": headers.get("webhook-id", ""),
        "body": row["body"],
    }


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# ── buttons ──────────────────────────────────────────────────────────────────────────────────────


async def write(system: System, form: Mapping[str, str]) -> str:
    """Write to the bot as the person of a chat. Raises :class:`Refused`."""
    content = {"text": form.get("text", "")}
    await system.receivers_call("POST", f"/telegram/chats/{_chat_id(form)}/messages", content)
    return "The message was sent to the bot."


async def press(system: System, form: Mapping[str, str]) -> str:
    """Press a button of a message. Raises :class:`Refused`."""
    given = form.get("message", "")
    if not given.isascii() or not given.isdigit():
        raise Refused("there is no such message")
    content = {"message_id": int(given), "data": form.get("data", "")}
    await system.receivers_call("POST", f"/telegram/chats/{_chat_id(form)}/press", content)
    return "The button was pressed."


async def block(system: System, form: Mapping[str, str]) -> str:
    """Block the bot in a chat. Raises :class:`Refused`."""
    await system.receivers_call("POST", f"/telegram/chats/{_chat_id(form)}/block")
    return "The bot is blocked; a message to it unblocks it."


async def add_chat(system: System, form: Mapping[str, str]) -> str:
    """Add a phone. Raises :class:`Refused`."""
    content = {name: form.get(name, "") for name in ("name", "language", "kind")}
    await system.receivers_call("POST", "/telegram/chats", content)
    return f"{content['name']} was added."


async def set_fault(system: System, form: Mapping[str, str]) -> str:
    """Switch a fault on. Raises :class:`Refused`."""
    times = form.get("times") or "1"
    if not times.isascii() or not times.isdigit():
        raise Refused("times must be a whole number")
    content = {"kind": form.get("kind", ""), "times": int(times)}
    await system.receivers_call("POST", "/faults", content)
    return f"The fault {content['kind']} is on for {times} calls."


async def clear_faults(system: System, _form: Mapping[str, str]) -> str:
    """Switch all faults off. Raises :class:`Refused`."""
    await system.receivers_call("DELETE", "/faults")
    return "All faults are off."


def _chat_id(form: Mapping[str, str]) -> int:
    try:
        return int(form.get("chat", ""))
    except ValueError:
        raise Refused("there is no such chat") from None


PAGE = Page(
    "messages",
    "Messages",
    "messages.html",
    read,
    actions={
        "write": write,
        "press": press,
        "block": block,
        "add_chat": add_chat,
        "fault": set_fault,
        "clear_faults": clear_faults,
    },
)
