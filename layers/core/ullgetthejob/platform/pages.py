"""Pages: answers in HTML, and the requests of browsers that ask for them.

Every page has the headers of :data:`HEADERS`: nothing is cached, no address is told to other sites,
and nothing but what its own Content-Security-Policy allows is loaded or run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import storable_text
from ullgetthejob.platform.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

HTML = "text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 20
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


@dataclass(frozen=True)
class Page:
    """An answer to a browser. *headers* precede those of :data:`HEADERS`; *cookies* are values of
    ``Set-Cookie``."""

    content: str = field(repr=False)
    status: int = 200
    media_type: str = HTML
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def redirect(cls, location: str, *set_cookies: str) -> Page:
        """Return a redirect after a form was posted: the browser GETs *location* (303)."""
        return cls("", status=303, headers={"location": location}, cookies=set_cookies)

    def answer_headers(self) -> dict[str, str]:
        """Return all headers of the answer but ``Set-Cookie``."""
        return {"content-type": self.media_type, **HEADERS, **self.headers}


@dataclass(frozen=True)
class Request:
    """What a browser sent. Names of *headers* are in lower case; *form* has the last value of each
    field; *origin* is that of the API as this request reached it, as API Gateway says."""

    headers: dict[str, str] = field(repr=False)
    cookies: dict[str, str] = field(repr=False)
    query: dict[str, str] = field(repr=False)
    form: dict[str, str] = field(repr=False)
    origin: str

    @classmethod
    def of(cls, event: dict[str, Any], body: bytes) -> Request:
        """Return the request of an *event* of payload format 2.0 whose decoded body is *body*.

        Raises :class:`BadRequest` for a form that cannot be read, and
        :class:`~ullgetthejob.platform.errors.Invalid`.
        """
        headers = event["headers"]
        scheme = headers.get("x-forwarded-proto", "https")
        domain = event.get("requestContext", {}).get("domainName", "")
        return cls(
            headers=headers,
            cookies=_cookies(event.get("cookies") or ()),
            query=event.get("queryStringParameters") or {},
            form=_form(headers, body),
            origin=f"{scheme}://{domain}",
        )


def set_cookie(name: str, value: str, *, path: str, max_age_s: int, secure: bool) -> str:
    """Return a value of ``Set-Cookie``: of this site alone, and out of reach of scripts."""
    attributes = [f"{name}={value}", f"Path={path}", f"Max-Age={max_age_s}"]
    attributes += ["HttpOnly", "SameSite=Lax", *(["Secure"] if secure else [])]
    return "; ".join(attributes)


def _cookies(sent: Iterable[str]) -> dict[str, str]:
    """Return the cookies, the first of each name: the one with the most specific path (RFC 6265,
    §5.4). API Gateway has split them."""
    found: dict[str, str] = {}
    for pair in sent:
        name, _, value = pair.partition("=")
        found.setdefault(name.strip(), value.strip())
    return found


def _form(headers: dict[str, str], body: bytes) -> dict[str, str]:
    if not body or headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return {}
    from urllib.parse import parse_qsl

    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise BadRequest("the form cannot be read") from None
    storable_text.require(fields)
    return fields
