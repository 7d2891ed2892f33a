"""The rules of conversations: when one is read, which reply a message is, and what becomes of a
reply whose answer was lost. Decisions only: nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from ullgetthejob.applications.outcome_stages import INVITED, OFFERED, StageTimes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import ConversationMessage, Negotiation

State = Literal["received", "sending", "sent", "unknown", "failed", "handoff"]

MAX_TEXT_CHARS = 10_000  # hh.ru: POST /negotiations/{id}/messages, message
# A reply is an answer to what was said: one that could not be sent for a day is not sent later.
REPLY_TTL = timedelta(days=1)
# Events are kept as long: an older message, of a conversation that is read for the first time, is
# no news.
NEWS_WITHIN = timedelta(days=7)
# Reading marks messages as read at hh.ru: an older conversation is read when its person looks.
READ_WITHIN = timedelta(days=30)
# How far hh.ru's clock and Core's may differ.
SLACK = timedelta(minutes=1)
# Longer than any call to hh.ru: the worker that made it has ended by then.
CALL_TIMEOUT = timedelta(seconds=90)
RECHECK = timedelta(seconds=30)
LAST_RECHECK = timedelta(minutes=1)
MAX_CALLS = 3  # of a reply that never arrived
MIN_PAUSE, MAX_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
TEXT = "text"  # hh.ru: the state of a message that changes none


class Sent(Protocol):
    """A reply whose call was made."""

    @property
    def id(self) -> UUID:
        """Return the id of its row."""

    @property
    def text(self) -> str:
        """Return what was written."""

    @property
    def called_at(self) -> datetime | None:
        """Return when its call began."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a reply. *wait*: until the worker looks again, ``None``: it does not.
    *is_called*: its call may still have acted."""

    state: State
    reason: str | None
    wait: timedelta | None = None
    is_called: bool = True


def has_news(negotiation: Negotiation, last_updated_at: datetime | None, *, now: datetime) -> bool:
    """Return whether a negotiation may have messages that were not read. *last_updated_at*: as it
    was read before. A message of either side updates it; the application itself is one message."""
    if negotiation.updated_at == last_updated_at:
        return False
    if negotiation.updated_at <= now - READ_WITHIN:
        return False
    if negotiation.has_unread_message or negotiation.message_count is None:
        return True
    return negotiation.message_count > 1


def shorten(text: str) -> str:
    """Return *text*, at most :data:`MAX_TEXT_CHARS` long."""
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"


def comparable(text: str) -> str:
    """Return *text* as two are compared: hh.ru may change line breaks and spaces."""
    return " ".join(text.split())


def match_replies(
    messages: Iterable[ConversationMessage], replies: Iterable[Sent]
) -> dict[str, UUID]:
    """Return which of the person's *messages* is which of the *replies* that hh.ru has not
    confirmed: of the same text, and not written before its call; by the message's id."""
    open_replies = sorted(
        ((reply.called_at, reply) for reply in replies if reply.called_at is not None),
        key=lambda pair: pair[0],
    )
    matched: dict[str, UUID] = {}
    for message in sorted(messages, key=lambda message: message.created_at):
        if message.author != "applicant":
            continue
        for pair in open_replies:
            called_at, reply = pair
            if message.created_at >= called_at - SLACK and comparable(message.text) == comparable(
                reply.text
            ):
                matched[message.id] = reply.id
                open_replies.remove(pair)
                break
    return matched


def find_stages(messages: Iterable[ConversationMessage]) -> StageTimes:
    """Return when an application first reached each stage, as its employer's *messages* say. Who
    wrote has seen the application; the state of a message is that of the negotiation."""
    written = [message for message in messages if message.author == "employer"]
    offered = [message.created_at for message in written if message.state in OFFERED]
    invited = [message.created_at for message in written if message.state in INVITED]
    first = min((message.created_at for message in written), default=None)
    return StageTimes(
        seen_at=first,
        answered_at=first,
        invited_at=min([*invited, *offered], default=None),
        offered_at=min(offered, default=None),
    )


def decide_absent(reason: str | None, calls: int, *, is_another_there: bool) -> Decision:
    """Return what becomes of a reply that is not in the conversation. *calls*: how often it was
    sent. *is_another_there*: the person has written something else since, which may be the reply as
    hh.ru changed it.

    Absent twice, a minute apart, it never arrived, and is sent again; but not where hh.ru has
    answered unclearly, or where it may be there in other words.
    """
    if is_another_there:
        return Decision("unknown", "not_recognised")
    if reason == "unclear_answer":
        return Decision("unknown", "unclear_answer")
    if reason != "not_seen":
        return Decision("unknown", "not_seen", LAST_RECHECK)
    if calls < MAX_CALLS:
        return Decision("sending", "never_arrived", timedelta(0), is_called=False)
    return Decision("failed", "hh_unreliable")


def pause_after(created_at: datetime, *, now: datetime) -> timedelta:
    """Return how long a reply waits that could not be sent: longer, the longer it waited."""
    return min(max((now - created_at) / 4, MIN_PAUSE), MAX_PAUSE)
