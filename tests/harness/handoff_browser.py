"""A browser without JavaScript on the handoff page, which calls the function in this process."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

from functions.handoff.app import handler
from local.gateway.events import Request, to_event, to_response
from local.gateway.routing import Routes
from local.template.reader import load

ROUTES = Routes(load().routes)
CONTEXT = SimpleNamespace(aws_request_id="aws-request-id")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Shown:
    """An answer as the browser shows it. *set_cookies*: the values of ``Set-Cookie``."""

    status: int
    text: str
    headers: dict[str, str]
    set_cookies: list[str]

    @property
    def location(self) -> str:
        """Return where a redirect leads."""
        return self.headers["location"]

    @property
    def form_token(self) -> str:
        """Return the token of the page's forms, empty without one."""
        found = re.search(r'name="form_token" value="(\w+)"', self.text)
        return found[1] if found else ""

    @property
    def words(self) -> str:
        """Return the text of the page as a person reads it."""
        body = re.sub(r"<style.*?</style>", "", self.text, flags=re.DOTALL)
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))

    @property
    def applications(self) -> list[str]:
        """Return the ids of the applications on the page, in its order."""
        return re.findall(r'<li class="card" aria-labelledby="title-([\w-]+)"', self.text)


@dataclass
class HandoffBrowser:
    """A browser with its *cookies*."""

    language: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, address: str) -> Shown:
        """Open an address of the API, or a path there."""
        return self._send("GET", address, b"", [])

    def post(self, address: str, **fields: str) -> Shown:
        """Post a form."""
        return self._send("POST", address, urlencode(fields).encode(), [("Content-Type", FORM)])

    def open_link(self, link: str) -> Shown:
        """Open a link and press its button; return the answer to that."""
        return self.post(link, form_token=self.get(link).form_token, action="open")

    def press(self, action: str, application: object = "", *, page: Shown | None = None) -> Shown:
        """Press a button of the page, by default as the page is now."""
        token = (page or self.get("/handoff")).form_token
        return self.post(
            "/handoff", form_token=token, action=action, application=str(application), page="1"
        )

    def _send(
        self, method: str, address: str, body: bytes, headers: list[tuple[str, str]]
    ) -> Shown:
        parts = urlsplit(address)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = [("Host", "core.example.org"), ("Accept-Language", self.language), *headers]
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent.append(("Cookie", pairs))
        request = Request(method, target, sent, body, "203.0.113.1")
        match = ROUTES.match(method, request.path)
        assert match is not None, address
        event = json.loads(to_event(request, match.route.key, match.parameters))
        response = to_response(json.dumps(handler(event, CONTEXT)).encode())
        set_cookies = [value for name, value in response.headers if name == "set-cookie"]
        for value in set_cookies:
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return Shown(response.status, response.body.decode(), dict(response.headers), set_cookies)
