"""The letters below a message that asks for approvals: an approval is of the text that was shown.

A letter that does not fit into the message whole is not shown, and cannot be approved there: the
button "Open" leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.applications.reviews import examination

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.notifications.messages import Message
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

APPROVE = "approve:"
HASH_DIGITS = 8
NO_LETTER = {"ru": "(без письма)", "en": "(no letter)"}

SELECT_LETTERS_TO_REVIEW = """
    SELECT id::text AS id, letter FROM application_ledger
    WHERE account_id = %(account_id)s AND id = ANY(%(ids)s) AND state = 'review'
"""
SELECT_LETTER = """
    SELECT letter FROM application_ledger WHERE account_id = %(account_id)s AND id = %(id)s
"""


@dataclass(frozen=True)
class Shown:
    """A text with letters, and the first digits of their hashes by application id."""

    text: str
    digits: dict[str, str] = field(default_factory=dict)


def show(
    message: Message,
    account_id: UUID,
    *,
    length: Callable[[str], int],
    limit: int,
    context: Context,
) -> Shown:
    """Return the message's text with the letters of the applications that it asks about, as far as
    they fit into *limit*, measured by *length*."""
    asked = [
        button.action.removeprefix(APPROVE)
        for button in message.buttons
        if button.action is not None and button.action.startswith(APPROVE)
    ]
    if not asked:
        return Shown(message.text)
    values = {"account_id": account_id, "ids": [UUID(application_id) for application_id in asked]}
    rows = context.connection.execute(SELECT_LETTERS_TO_REVIEW, values).fetchall()
    letters = {row["id"]: row["letter"] for row in rows}
    names = {item.get("application_id"): item for item in message.data.get("items", ())}
    text, digits = message.text, {}
    for application_id in asked:
        if application_id not in letters:
            continue
        letter = letters[application_id]
        title = (names.get(application_id) or {}).get("title") if len(asked) > 1 else None
        heading = f"{title}:\n" if title else ""
        longer = f"{text}\n\n{heading}{letter or NO_LETTER[message.language]}"
        if length(longer) <= limit:
            text, digits[application_id] = longer, digits_of(letter)
    return Shown(text, digits)


def digits_of(letter: str | None) -> str:
    """Return the first digits of the hash of a letter."""
    return hash_of(letter)[:HASH_DIGITS]


def hash_of(letter: str | None) -> str:
    """Return the hash of a letter, as an approval names it."""
    return examination.hash_letter(letter).hex()


def read_hash(application_id: UUID, account_id: UUID, *, connection: Connection) -> str | None:
    """Return the hash of the letter of an account's application, ``None`` if it has no such."""
    values = {"account_id": account_id, "id": application_id}
    row = connection.execute(SELECT_LETTER, values).fetchone()
    return None if row is None else hash_of(row["letter"])
