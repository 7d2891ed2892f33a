"""Why a channel did not accept a message. None of these holds an address or a text of a person."""

from __future__ import annotations


class ChannelGone(Exception):
    """The channel accepts nothing any more: blocked by the person, unknown, HTTP 410.

    *reason*: a snake_case word for the person, such as ``blocked``.
    """

    def __init__(self, reason: str = "gone") -> None:
        super().__init__(reason)
        self.reason = reason


class ChannelUnavailable(Exception):
    """The message was not accepted and may be later; *retry_after_s*: as the channel says, else
    ``None``.

    *reason*: a snake_case word or a status, such as ``http_503``.
    """

    def __init__(self, retry_after_s: float | None = None, *, reason: str = "unavailable") -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.reason = reason


class OutcomeUnknown(Exception):
    """The call may have been delivered: it ended without an answer after it was sent."""
