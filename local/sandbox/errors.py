"""hh.ru's refusals as exceptions, with their bodies.

The envelope is ``{"errors": [{"type", "value"?, ...}], "request_id", "description"?, ...}``; the
token endpoint alone answers in the shape of RFC 6749, ``{"error", "error_description"}``.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal in the envelope of hh.ru's API."""

    def __init__(
        self,
        status: int,
        type_: str,
        value: str | None = None,
        *,
        description: str | None = None,
        **legacy: Any,
    ) -> None:
        super().__init__(f"{status} {type_} {value or ''}")
        self.status = status
        self.errors = [{"type": type_, **({"value": value} if value else {})}]
        self.description = description
        self.legacy = legacy

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the response's JSON."""
        body: dict[str, Any] = {"errors": self.errors, "request_id": request_id}
        if self.description is not None:
            body["description"] = self.description
        return body | self.legacy


class TokenError(Exception):
    """A refusal of ``/token``."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status = status
        self.error = error
        self.description = description

    def body(self) -> dict[str, Any]:
        """Return the response's JSON."""
        return {"error": self.error, "error_description": self.description}


def bad_argument(
    *names: str, description: str | None = None, reason: str | None = None
) -> ApiError:
    """Return a 400: the named parameters are invalid."""
    named = ", ".join(names)
    description = description or f"invalid {named}"
    error = ApiError(
        400,
        "bad_argument",
        names[0],
        description=description,
        bad_argument=named,
        bad_arguments=[{"name": named, "description": description}],
    )
    error.errors = [{"type": "bad_argument", "value": name} for name in names]
    if reason:
        for entry in error.errors:
            entry["reason"] = reason
    return error


def search_depth_exceeded() -> ApiError:
    """Return a 400: ``(page + 1) * per_page`` exceeds the 2,000 that hh.ru shows of a search."""
    return bad_argument(
        "page", "per_page", description="you can't look up more than 2000 items in the list"
    )


def bad_user_agent(value: str) -> ApiError:
    """Return a 400: *value* is ``unset`` or ``blacklisted``."""
    return ApiError(400, "bad_user_agent", value, description="Bad Request")


def forbidden() -> ApiError:
    """Return a 403 without a value: the authorization is absent or insufficient."""
    return ApiError(403, "forbidden", description="Forbidden")


def oauth(value: str) -> ApiError:
    """Return a 403: the token is invalid; *value* says why."""
    older = {
        "bad_authorization": "bad-auth-type",
        "token_expired": "token-expired",
        "token_revoked": "token-revoked",
        "application_not_found": "client-id-deleted",
    }
    legacy = {"oauth_error": older[value]} if value in older else {}
    return ApiError(403, "oauth", value, description="Forbidden", **legacy)


def captcha_required(*, has_null_fallback: bool = True) -> ApiError:
    """Return a 403: the person must solve a captcha.

    hh.ru, 1.54.0: ``fallback_url`` is a string or absent, never null.
    """
    error = ApiError(403, "captcha_required", "captcha_required", description="Forbidden")
    error.errors[0] |= {"captcha_url": "https://hh.ru/account/captcha?state=sandbox"}
    if has_null_fallback:
        error.errors[0] |= {"fallback_url": None}  # type: ignore[dict-item]
    return error


def not_found() -> ApiError:
    """Return a 404: it does not exist or belongs to another account."""
    return ApiError(404, "not_found", description="Not Found")


def method_not_allowed() -> ApiError:
    """Return a 405: the path exists, the method does not."""
    return ApiError(405, "method_not_allowed")


def closed(status: int) -> ApiError:
    """Return the refusal of a method that an era keeps closed (403) or no longer has (404, 405,
    410). INFERRED: the body of the 410, which hh.ru does not document."""
    known = {403: forbidden, 404: not_found, 405: method_not_allowed}
    return known[status]() if status in known else ApiError(status, "gone", description="Gone")


def too_many_requests() -> ApiError:
    """Return a 429: over the limit of calls a second. hh.ru sends no Retry-After."""
    return ApiError(429, "too_many_requests", description="Too Many Requests")
