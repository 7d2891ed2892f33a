"""What the receivers keep: chats and their messages, updates, e-mails and webhook deliveries.

One SQLite file in the data folder; each change is committed before a call is answered.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FIRST_CHAT = {"chat_id": 700_000_001, "name": "Анна", "language": "ru"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS chats (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, language TEXT NOT NULL,
    started INTEGER NOT NULL DEFAULT 0, blocked INTEGER NOT NULL DEFAULT 0, moved_to INTEGER
);
CREATE TABLE IF NOT EXISTS messages (
    chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL, at INTEGER NOT NULL,
    sender TEXT NOT NULL, text TEXT NOT NULL, keyboard TEXT, edited_at INTEGER,
    PRIMARY KEY (chat_id, message_id)
);
CREATE TABLE IF NOT EXISTS updates (
    id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER
);
CREATE TABLE IF NOT EXISTS presses (
    id TEXT PRIMARY KEY, chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL,
    data TEXT NOT NULL, at INTEGER NOT NULL, answer TEXT
);
CREATE TABLE IF NOT EXISTS webhook (
    id INTEGER PRIMARY KEY CHECK (id = 1), url TEXT NOT NULL, secret TEXT NOT NULL,
    allowed TEXT NOT NULL, error_at INTEGER, error TEXT
);
CREATE TABLE IF NOT EXISTS emails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, sender TEXT NOT NULL,
    recipients TEXT NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS hook_secrets (name TEXT PRIMARY KEY, secret TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, name TEXT NOT NULL,
    headers TEXT NOT NULL, body TEXT NOT NULL, verdict TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat: *kind* is Telegram's type; *started*: whether a person wrote to the bot, without
    which the bot cannot write; *moved_to*: the supergroup that a group became."""

    id: int
    kind: str
    name: str
    language: str
    started: int
    blocked: int
    moved_to: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message; *sender*: ``bot`` or ``person``. Times are seconds since the epoch."""

    chat_id: int
    message_id: int
    at: int
    sender: str
    text: str
    keyboard: str | None
    edited_at: int | None

    @property
    def rows(self) -> list[list[dict[str, str]]]:
        """Return the rows of its inline keyboard."""
        rows: list[list[dict[str, str]]] = json.loads(self.keyboard) if self.keyboard else []
        return rows


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook of the bot; *allowed*: kinds of updates, none for all."""

    url: str
    secret: str
    allowed: list[str]
    error_at: int | None
    error: str | None


class Store:
    """The file ``<folder>/state.sqlite3``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "state.sqlite3", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA
        )
        if not self.chats():
            self.add_chat(**FIRST_CHAT)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # ── chats and messages ───────────────────────────────────────────────────────────────────

    def chats(self) -> list[Chat]:
        """Return all chats."""
        return [Chat(*row) for row in self._database.execute("SELECT * FROM chats ORDER BY id")]

    def chat(self, chat_id: int) -> Chat | None:
        """Return a chat."""
        row = self._database.execute("SELECT * FROM chats WHERE id = ?", (chat_id,)).fetchone()
        return row and Chat(*row)

    def add_chat(
        self, *, name: str, language: str, kind: str = "private", chat_id: int | None = None
    ) -> Chat:
        """Add a chat; groups have negative ids, as Telegram's."""
        if chat_id is None:
            number = secrets.randbelow(10**9) + 10**9
            chat_id = number if kind == "private" else -number
        self._database.execute(
            "INSERT INTO chats (id, kind, name, language) VALUES (?, ?, ?, ?)",
            (chat_id, kind, name, language),
        )
        chat = self.chat(chat_id)
        assert chat is not None  # noqa: S101 - it was just added
        return chat

    def change_chat(self, chat_id: int, **values: int) -> None:
        """Set *values* of a chat: ``started``, ``blocked`` or ``moved_to``."""
        for name in values.keys() & {"started", "blocked", "moved_to"}:
            self._database.execute(
                f"UPDATE chats SET {name} = ? WHERE id = ?",  # noqa: S608 - one of three names
                (values[name], chat_id),
            )

    def messages(self, chat_id: int) -> list[Message]:
        """Return the messages of a chat, oldest first."""
        return [
            Message(*row)
            for row in self._database.execute(
                "SELECT * FROM messages WHERE chat_id = ? ORDER BY message_id", (chat_id,)
            )
        ]

    def message(self, chat_id: int, message_id: int) -> Message | None:
        """Return a message."""
        row = self._database.execute(
            "SELECT * FROM messages WHERE chat_id = ? AND message_id = ?", (chat_id, message_id)
        ).fetchone()
        return row and Message(*row)

    def add_message(
        self, chat_id: int, sender: str, text: str, *, now: int, keyboard: str | None = None
    ) -> Message:
        """Add a message and return it."""
        [message_id] = self._database.execute(
            "INSERT INTO messages (chat_id, message_id, at, sender, text, keyboard) VALUES ("
            "?, 1 + (SELECT coalesce(max(message_id), 0) FROM messages WHERE chat_id = ?),"
            " ?, ?, ?, ?) RETURNING message_id",
            (chat_id, chat_id, now, sender, text, keyboard),
        ).fetchone()
        return Message(chat_id, message_id, now, sender, text, keyboard, None)

    def edit_message(
        self, chat_id: int, message_id: int, text: str, *, now: int, keyboard: str | None
    ) -> None:
        """Replace text and keyboard of a message."""
        self._database.execute(
            "UPDATE messages SET text = ?, keyboard = ?, edited_at = ?"
            " WHERE chat_id = ? AND message_id = ?",
            (text, keyboard, now, chat_id, message_id),
        )

    def add_press(self, press_id: str, message: Message, data: str, now: int) -> None:
        """Add a pressed button, which the bot can answer."""
        self._database.execute(
            "INSERT INTO presses (id, chat_id, message_id, data, at) VALUES (?, ?, ?, ?, ?)",
            (press_id, message.chat_id, message.message_id, data, now),
        )

    def answer_press(self, press_id: str, text: str, *, since: int) -> bool:
        """Store the answer of a press that is not older than *since*; return whether there is
        such a press."""
        done = self._database.execute(
            "UPDATE presses SET answer = ? WHERE id = ? AND at >= ?", (text, press_id, since)
        )
        return done.rowcount == 1

    def presses(self, chat_id: int) -> list[dict[str, Any]]:
        """Return the pressed buttons of a chat, oldest first."""
        rows = self._database.execute(
            "SELECT id, message_id, data, answer FROM presses WHERE chat_id = ? ORDER BY at, rowid",
            (chat_id,),
        )
        return [dict(zip(("id", "message_id", "data", "answer"), row, strict=True)) for row in rows]

    # ── updates and the bot's webhook ────────────────────────────────────────────────────────

    def webhook(self) -> Webhook | None:
        """Return the bot's webhook."""
        row = self._database.execute(
            "SELECT url, secret, allowed, error_at, error FROM webhook"
        ).fetchone()
        return row and Webhook(row[0], row[1], json.loads(row[2]), row[3], row[4])

    def set_webhook(self, url: str, secret: str, allowed: list[str]) -> None:
        """Replace the bot's webhook; an empty *url* removes it."""
        self._database.execute("DELETE FROM webhook")
        if url:
            self._database.execute(
                "INSERT INTO webhook (id, url, secret, allowed) VALUES (1, ?, ?, ?)",
                (url, secret, json.dumps(allowed)),
            )

    def set_webhook_error(self, error: str, now: int) -> None:
        """Store why the webhook could not be called."""
        self._database.execute("UPDATE webhook SET error = ?, error_at = ?", (error, now))

    def add_update(self, body: dict[str, Any]) -> None:
        """Add an update, which is to be delivered."""
        self._database.execute("INSERT INTO updates (body) VALUES (?)", (json.dumps(body),))

    def waiting_updates(self) -> list[tuple[int, dict[str, Any], int]]:
        """Return ``(id, body, attempts)`` of the updates that were not delivered, in order."""
        rows = self._database.execute(
            "SELECT id, body, attempts FROM updates WHERE delivered_at IS NULL ORDER BY id"
        )
        return [(update_id, json.loads(body), attempts) for update_id, body, attempts in rows]

    def set_attempted(self, update_id: int, delivered_at: int | None) -> None:
        """Store an attempt to deliver an update."""
        self._database.execute(
            "UPDATE updates SET attempts = attempts + 1, delivered_at = ? WHERE id = ?",
            (delivered_at, update_id),
        )

    def repeat_update(self, update_id: int) -> bool:
        """Deliver an update once more; return whether there is one of this id."""
        done = self._database.execute(
            "UPDATE updates SET delivered_at = NULL WHERE id = ?", (update_id,)
        )
        return done.rowcount == 1

    def updates(self) -> list[dict[str, Any]]:
        """Return all updates with their attempts, oldest first."""
        rows = self._database.execute("SELECT id, body, attempts, delivered_at FROM updates")
        return [
            {"update_id": row[0], **json.loads(row[1]), "attempts": row[2], "delivered_at": row[3]}
            for row in rows
        ]

    # ── e-mails and webhook deliveries ───────────────────────────────────────────────────────

    def add_email(self, sender: str, recipients: list[str], content: bytes, now: int) -> None:
        """Add a received e-mail."""
        self._database.execute(
            "INSERT INTO emails (at, sender, recipients, content) VALUES (?, ?, ?, ?)",
            (now, sender, json.dumps(recipients), content),
        )

    def emails(self) -> list[tuple[int, int, str, list[str], bytes]]:
        """Return ``(id, time, sender, recipients, content)`` of the e-mails, newest first."""
        rows = self._database.execute("SELECT * FROM emails ORDER BY id DESC")
        return [(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]

    def hook_secret(self, name: str) -> str | None:
        """Return the secret of a webhook's receiver."""
        row = self._database.execute(
            "SELECT secret FROM hook_secrets WHERE name = ?", (name,)
        ).fetchone()
        return row and str(row[0])

    def set_hook_secret(self, name: str, secret: str) -> None:
        """Replace the secret that the receiver *name* verifies signatures with."""
        self._database.execute("INSERT OR REPLACE INTO hook_secrets VALUES (?, ?)", (name, secret))

    def add_delivery(
        self, name: str, headers: dict[str, str], body: str, verdict: str, now: int
    ) -> None:
        """Add a received webhook delivery."""
        self._database.execute(
            "INSERT INTO deliveries (at, name, headers, body, verdict) VALUES (?, ?, ?, ?, ?)",
            (now, name, json.dumps(headers), body, verdict),
        )

    def deliveries(self) -> list[dict[str, Any]]:
        """Return the webhook deliveries, newest first."""
        rows = self._database.execute("SELECT * FROM deliveries ORDER BY id DESC")
        names = ("id", "at", "name", "headers", "body", "verdict")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [{**row, "headers": json.loads(row["headers"])} for row in found]

    def clear(self) -> None:
        """Delete all messages, updates, e-mails and deliveries; chats stay."""
        for name in ("messages", "updates", "presses", "emails", "deliveries"):
            self._database.execute(f"DELETE FROM {name}")  # noqa: S608 - one of these names
