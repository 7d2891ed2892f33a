"""The shapes of ``/api/applications/{id}/messages``."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from ullgetthejob.applications.conversations.rules import MAX_TEXT_CHARS, State
from ullgetthejob.letters.checking import Finding
from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model


class MessageQuery(paging.PageQuery):
    """A page of the messages of an application, the newest first."""


class ReplyBody(Model):
    """A reply to the employer. *idempotency_key*: one for each press of the button, here or as the
    header ``Idempotency-Key``; without it, the same text before the employer's next message is the
    same reply. *user_id*: the owner of the application, for a service without a token of the
    user."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    user_id: str | None = None


class MessageAnswer(Model):
    """A message of the conversation, as plain text."""

    message_id: UUID
    author: Literal["applicant", "employer"]
    text: str
    state: State = Field(
        description="received: the employer's. A reply is sending, then sent; unknown: its answer "
        "was lost, and the conversation is read for it; failed: not sent; handoff: hh.ru does not "
        "let Core write, the person does at link"
    )
    reason: str | None = Field(description="of a reply that was not sent, or waits")
    hh_state: str | None = Field(
        description="the state of the negotiation that came with it; text: a message alone"
    )
    created_at: AwareDatetime
    link: str | None = Field(description="where the person writes, if that is left to them")


class Messages(paging.Page):
    """A page of messages. *read_at*: when Core last read the conversation at hh.ru."""

    success: Literal[True] = True
    items: list[MessageAnswer]
    read_at: AwareDatetime | None


class Replied(Model):
    """A reply that was accepted. *findings*: warnings of the check: placeholders, links, contacts,
    names and employers that neither resume nor vacancy have. *is_checked*: false where hh.ru does
    not show the resume or the vacancy."""

    success: Literal[True] = True
    message: MessageAnswer
    findings: list[Finding]
    is_checked: bool
