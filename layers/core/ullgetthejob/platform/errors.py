"""Errors that a caller may see.

    AppError
    ├── BadRequest          400  the request cannot be read
    ├── Unauthorized        401  the caller is not authenticated
    ├── Forbidden           403  authenticated, and not allowed
    ├── NotFound            404  it does not exist, or belongs to another user
    ├── Conflict            409  the same key with another content
    ├── NeedsPerson         409  the user has to do something first
    ├── PayloadTooLarge     413
    ├── Invalid             422  it can be read, and a field is wrong
    └── Unavailable         503  not now; ``retry_after_s`` says when
        └── TooManyRequests 429  more than Core can serve in time

Each carries a flat snake_case ``code``, a ``message`` for developers and optional ``details``.
Neither may hold a secret, personal data or text of hh.ru's. The texts that a user can be shown are
in :mod:`ullgetthejob.platform.advice`, by code. The table from class to HTTP status is in
:mod:`ullgetthejob.platform.http`, and nowhere else.
"""

from __future__ import annotations

from typing import Any


class AppError(Exception):
    """Base of all errors that reach a caller as they are."""

    code = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class BadRequest(AppError):
    """The request cannot be read."""

    code = "bad_request"


class Unauthorized(AppError):
    """The caller is not authenticated."""

    code = "unauthorized"


class Forbidden(AppError):
    """The caller is authenticated, and not allowed."""

    code = "forbidden"


class NotFound(AppError):
    """The resource does not exist, or belongs to another user."""

    code = "not_found"


class Conflict(AppError):
    """The same key was used before with another content."""

    code = "conflict"


class NeedsPerson(AppError):
    """The user has to do something first, which the message names."""

    code = "needs_person"


class PayloadTooLarge(AppError):
    """The body is over the limit."""

    code = "payload_too_large"


class Invalid(AppError):
    """Readable, but a field is wrong. ``details`` is ``{"fields": [{"field", "message"}]}``."""

    code = "invalid_request"

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        """Return the error of one wrong field."""
        return cls.fields([(field, message)])

    @classmethod
    def fields(cls, wrong: list[tuple[str, str]]) -> Invalid:
        """Return the error of several wrong fields; the message names the first."""
        field, message = wrong[0]
        listed = [{"field": name, "message": text} for name, text in wrong]
        return cls(f"{field}: {message}", details={"fields": listed})


class Unavailable(AppError):
    """Not possible now. ``retry_after_s``: seconds after which a retry makes sense."""

    code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: int = 5,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retry_after_s = retry_after_s


class TooManyRequests(Unavailable):
    """More requests arrive at the moment than can be served while the callers wait."""

    code = "too_many_requests"
