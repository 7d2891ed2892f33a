"""What the buttons of a message do: approve or skip an application that waits for review.

A button names the application and, to approve it, the first digits of the hash of the letter in the
message: the approval is of the text that the person saw. Pressing twice is harmless.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from ullgetthejob.accounts import people
from ullgetthejob.applications import commands
from ullgetthejob.applications.reviews import commands as reviews
from ullgetthejob.applications.reviews.models import Approval, ApproveBody
from ullgetthejob.handoff import links
from ullgetthejob.notifications import telegram_letters
from ullgetthejob.notifications.channels import telegram
from ullgetthejob.notifications.telegram_texts import text
from ullgetthejob.platform.errors import Conflict, NeedsPerson, NotFound

if TYPE_CHECKING:
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.notifications.telegram_pairing import PairedChat
    from ullgetthejob.platform.context import Context

# The outcomes after which a message needs its buttons no more.
FINAL = {"approved", "already_sent", "skipped", "not_waiting"}
# The states of an application that hh.ru has, or may have.
SENT = ("submitting", "submitted", "uncertain")


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
    application_id, _, digits = rest.partition(":")
    if paired.user_id is None:
        return "not_waiting"
    caller = replace(context.caller, kind="user", user_id=paired.user_id)
    context = replace(context, caller=caller)
    try:
        person = people.find_by_account(paired.account_id, user_id=paired.user_id)
        if action == "approve":
            return _approve(application_id, digits, person, context)
        if action == "skip":
            commands.cancel(application_id, person, context)
            return "skipped"
    except Conflict as conflict:
        state = (conflict.details or {}).get("state")
        return "already_sent" if state in SENT else "not_waiting"
    except NeedsPerson:
        return "access"
    except NotFound:
        pass
    return "not_waiting"


def _approve(application_id: str, digits: str, person: Person, context: Context) -> str:
    """Approve an application if its letter is the one that was shown, whose hash begins with
    *digits*. Raises :class:`NeedsPerson`."""
    try:
        wanted_id = UUID(application_id)
    except ValueError:
        return "not_waiting"
    letter_hash = telegram_letters.read_hash(
        wanted_id, person.account, connection=context.connection
    )
    if letter_hash is None:
        return "not_waiting"
    if len(digits) < telegram_letters.HASH_DIGITS or not letter_hash.startswith(digits):
        return "changed"
    approval = Approval(application_id=wanted_id, letter_hash=letter_hash)
    [answer] = reviews.approve(ApproveBody(items=[approval]), person, context).items
    if answer.error is None:
        return "already_sent" if answer.state in SENT else "approved"
    if answer.error == "letter_changed":
        return "changed"
    return "already_sent" if answer.state in SENT else "not_waiting"
