"""The client of Core's HTTP API."""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from cli.output import FAILED, PERSON, UNREACHABLE, USAGE, CommandError

if TYPE_CHECKING:
    from cli.profiles import Profile

TIMEOUT_S = 35  # longer than Core's slowest answer
CODES = {400: USAGE, 409: PERSON, 422: USAGE}


@cache
def client() -> httpx.Client:
    """Return the process's HTTP client: making one reads the certificates, which costs more than a
    request."""
    return httpx.Client(timeout=TIMEOUT_S)


class CoreApi:
    """Core as the profile's service, or as its administrator."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer of a GET."""
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """Return the answer of a POST."""
        return self.call("POST", path, body=body if body is not None else {}, query=query)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        admin: bool = False,
    ) -> Any:
        """Return the JSON of an answer. Raises :class:`CommandError` with Core's advice."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._credentials(raw, admin=admin)}
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = client().request(
                method,
                self._profile.url + path,
                params=given,
                content=raw or None,
                headers=headers,
                timeout=TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            raise unreachable(self._profile, type(error).__name__) from None
        return read(answer)

    def download(self, path: str, **query: Any) -> bytes:
        """Return the content of a ZIP archive. Raises :class:`CommandError` as :meth:`call`
        does."""
        return self.get_file(path, "application/zip", **query).content

    def get_file(self, path: str, media_type: str, **query: Any) -> httpx.Response:
        """Return the answer whose content is a file. Raises :class:`CommandError` as :meth:`call`
        does."""
        given = {name: value for name, value in query.items() if value is not None}
        try:
            answer = client().get(
                self._profile.url + path,
                params=given or None,  # an address of Core's has its own
                headers=self._credentials(b"", admin=False),
                timeout=TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            raise unreachable(self._profile, type(error).__name__) from None
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.is_error or kind != media_type:
            read(answer)
        return answer

    def _credentials(self, raw: bytes, *, admin: bool) -> dict[str, str]:
        if admin:
            return {"X-Admin-Secret": self._profile.admin_secret}
        secret = self._profile.secret
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        return {"X-Core-Secret": secret, "X-Signature": signature}


def unreachable(profile: Profile, cause: str) -> CommandError:
    """Return the error of a Core that does not answer."""
    step = "make run" if profile.is_local else f"ugtj --profile {profile.name} doctor"
    return CommandError(f"Core does not answer at {profile.url} ({cause})", step, code=UNREACHABLE)


def read(answer: httpx.Response) -> Any:
    """Return the JSON of a good answer. Raises :class:`CommandError` for another, and for the
    answer of another program, such as a page of the network where one has to log in."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict) and not answer.is_error:
        step = "compare the url of the profile; a network may ask to log in first"
        message = f"another program than Core answered at {answer.url.host}"
        raise CommandError(message, step, code=UNREACHABLE, status=answer.status_code)
    if answer.is_success:
        return content
    if not isinstance(content, dict):
        content = {}
    message = content.get("message") or content.get("detail") or f"status {answer.status_code}"
    code = content.get("error")
    fields = (content.get("details") or {}).get("fields") or {}
    listed = "; ".join(f"{name} {problem}" for name, problem in dict(fields).items())
    raise CommandError(
        ": ".join(filter(None, (message, listed))) + (f" ({code})" if code else ""),
        str(content.get("advice") or ""),
        code=UNREACHABLE if answer.status_code == 503 else CODES.get(answer.status_code, FAILED),
        status=answer.status_code,
        error=code,
    )
