"""Bodies and answers of ``/api/realtime/ticket``."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Field, model_validator

from ullgetthejob.platform.models import Model


class TicketBody(Model):
    """The body of a ticket request, which a browser may omit. *user_id*: the user, for a service
    that has no token of the user."""

    user_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_missing_body(cls, body: Any) -> Any:
        return {} if body is None else body


class Ticket(Model):
    """A ticket, and the WebSocket address to use it at."""

    ticket: str
    url: str = Field(description="the WebSocket's address with the ticket in it")
    expires_at: AwareDatetime
