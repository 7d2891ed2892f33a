"""Bodies and answers of ``/api/realtime/ticket``."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, model_validator


class TicketBody(BaseModel):
    """The body of a ticket request, which a browser may omit. *user_id*: the user, for a service
    that has no token of the user."""

    user_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_missing_body(cls, body: Any) -> Any:
        return {} if body is None else body


class Ticket(BaseModel):
    """A ticket, and the WebSocket address to use it at."""

    ticket: str
    url: str = Field(description="the WebSocket's address with the ticket in it")
    expires_at: AwareDatetime
