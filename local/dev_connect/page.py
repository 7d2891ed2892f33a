"""``/dev/connect``: a person connects hh.ru, as through the BFF.

A browser does not have ``X-Core-Secret``: this server has it, starts the login, receives hh.ru's
redirect, and stores the session id and the JWT in HTTP-only cookies.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from local import browsers
from local.dev_connect import html
from local.dev_connect.core import Core, CoreRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH = "/dev/connect"
SESSION = "dev_connect_session"
JWT = "dev_connect_jwt"
COOKIE_LIFE_S = 30 * 86_400
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# Parameters of hh.ru's redirect; only these are passed on.
RETURNED = ("code", "state", "error")


class ConnectPage:
    """Serves :data:`PATH` and the paths below it.

    *core*: the origin of Core's API; *secret*: the service's; *redirect_uri*: the address that
    hh.ru redirects to; *oauth_url*: the address of its authorize page (``HH_OAUTH_URL``).
    """

    def __init__(self, core: str, secret: str, *, redirect_uri: str, oauth_url: str) -> None:
        self._core_origin = core
        self._secret = secret
        self._redirect_uri = redirect_uri
        oauth = urlsplit(oauth_url)
        # Browsers also check redirects of a form's response against form-action.
        targets = ["'self'", f"{oauth.scheme}://{oauth.netloc}"]
        if (oauth.hostname or "").endswith("hh.ru"):
            targets.append("https://*.hh.ru")
        self._headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{html.STYLE_HASH}'; base-uri 'none'; "
                f"frame-ancestors 'none'; form-action {' '.join(targets)}"
            ),
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        self._actions: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            f"{PATH}/login": self._login,
            f"{PATH}/resume": self._resume,
            f"{PATH}/disconnect": self._disconnect,
        }

    def serves(self, path: str) -> bool:
        """Return whether *path* belongs to this page."""
        return path == PATH or path in self._actions

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Handle a request to one of its paths."""
        action = self._actions.get(request.path)
        if request.method != ("GET" if action is None else "POST"):
            return self._html("<p>Method not allowed</p>", HTTPStatus.METHOD_NOT_ALLOWED)
        if action is not None:
            if not browsers.is_same_origin(request.headers):
                return self._html(html.not_connected("Another site sent this."), 403)
            return await action(request)
        if self._has_other_loopback_name(request):
            return self._redirect(self._redirect_uri)
        if request.query.keys() & {"code", "error"}:
            return await self._finish_login(request)
        return await self._show(request)

    # ── the steps ────────────────────────────────────────────────────────────────────────────

    async def _login(self, request: web.BaseRequest) -> web.Response:
        """Redirect to hh.ru's page; the browser's session is kept, as by the BFF."""
        session = _session(request) or str(uuid.uuid4())
        try:
            async with self._core() as core:
                url = await core.login_url(session)
        except CoreRefused as refused:
            return await self._show(request, refused)
        response = self._redirect(url)
        _set_cookie(response, SESSION, session)
        return response

    async def _finish_login(self, request: web.BaseRequest) -> web.Response:
        """Handle hh.ru's redirect, with a code or an error."""
        session = _session(request)
        if session is None:
            refused = CoreRefused(400, "no_session", "This browser has not asked to connect")
            return await self._show(request, refused)
        returned = {name: request.query[name] for name in RETURNED if name in request.query}
        try:
            async with self._core() as core:
                jwt = await core.finish_login(session, returned)
        except CoreRefused as refused:
            return await self._show(request, refused)
        response = self._redirect(PATH)  # removes the code from the address
        _set_cookie(response, JWT, jwt)
        return response

    async def _resume(self, request: web.BaseRequest) -> web.Response:
        """Resume after the person solved hh.ru's captcha."""
        session, jwt = _session(request), request.cookies.get(JWT)
        try:
            if session and jwt:
                async with self._core() as core:
                    await core.go_on_after_captcha(session, jwt)
        except CoreRefused as refused:
            return await self._show(request, refused)
        return self._redirect(PATH)

    async def _disconnect(self, request: web.BaseRequest) -> web.Response:
        """Disconnect. The session is kept for the next login."""
        response = self._redirect(PATH)
        try:
            if jwt := request.cookies.get(JWT):
                async with self._core() as core:
                    await core.disconnect(jwt)
        except CoreRefused as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                return await self._show(request, refused)
        _delete_cookie(response, JWT)
        return response

    async def _show(
        self, request: web.BaseRequest, refused: CoreRefused | None = None
    ) -> web.Response:
        """Return the page with the current state, below the error of the last action."""
        notice = "" if refused is None else str(refused)
        status = HTTPStatus.OK if refused is None else refused.status
        session, jwt = _session(request), request.cookies.get(JWT)
        if session and jwt:
            try:
                async with self._core() as core:
                    person = await _person(core, session, jwt)
                if person is not None:
                    origin = f"{request.scheme}://{request.host}"
                    return self._html(html.connected(person, origin, notice), status)
            except CoreRefused as problem:
                if problem.status != HTTPStatus.UNAUTHORIZED:
                    return self._html(html.unknown(notice or str(problem)), problem.status)
        response = self._html(html.not_connected(notice, self._other_address()), status)
        if jwt:
            _delete_cookie(response, JWT)
        return response

    # ── responses ────────────────────────────────────────────────────────────────────────────

    def _core(self) -> Core:
        return Core(self._core_origin, self._secret)

    def _html(self, text: str, status: int = HTTPStatus.OK) -> web.Response:
        return web.Response(
            status=status, text=text, content_type="text/html", headers=self._headers
        )

    def _redirect(self, address: str) -> web.Response:
        return web.Response(status=303, headers={**self._headers, "Location": address})

    def _other_address(self) -> str:
        """Return the address that hh.ru redirects to if it is another page, else ``""``."""
        return "" if urlsplit(self._redirect_uri).path == PATH else self._redirect_uri

    def _has_other_loopback_name(self, request: web.BaseRequest) -> bool:
        """Return whether the request names this machine otherwise than hh.ru's redirect will.

        A cookie for 127.0.0.1 is not sent to localhost.
        """
        configured, requested = urlsplit(self._redirect_uri), urlsplit(f"//{request.host}")
        return (
            configured.path == PATH
            and configured.hostname in LOOPBACK
            and requested.hostname in LOOPBACK
            and configured.hostname != requested.hostname
            and configured.port == requested.port
        )


async def _person(core: Core, session: str, jwt: str) -> html.Connected | None:
    """Return the person with their resumes, or why there are none; ``None`` if not connected."""
    account = await core.account(session, jwt)
    if not account.get("connected") and account.get("account_id") is None:
        return None
    try:
        resumes = await core.resumes(jwt)
    except CoreRefused as refused:
        # The refused call may have changed the access state.
        account = await core.account(session, jwt)
        return html.Connected(session, jwt, account, refusal=str(refused))
    return html.Connected(session, jwt, account, resumes)


def _session(request: web.BaseRequest) -> str | None:
    try:
        return str(uuid.UUID(request.cookies.get(SESSION, "")))
    except ValueError:
        return None


def _set_cookie(response: web.Response, name: str, value: str) -> None:
    response.set_cookie(
        name, value, path=PATH, max_age=COOKIE_LIFE_S, httponly=True, samesite="Lax"
    )


def _delete_cookie(response: web.Response, name: str) -> None:
    response.del_cookie(name, path=PATH, httponly=True, samesite="Lax")
