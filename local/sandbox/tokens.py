"""``POST /token``, and who a call's ``Authorization`` header says that it is.

Of the grants only client_credentials is served so far: an application token has no end, a new one
ends the one before, and one may be had every five minutes (on the sandbox's clock).
"""

from __future__ import annotations

import enum
import hmac
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import errors
from local.sandbox.errors import TokenError
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.sandbox.state import Sandbox
    from local.sandbox.store import Token

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOLDOWN_S = 300
APPLICATION = "application"


class Access(enum.Enum):
    """Who may call a route. In the ``closed`` mode nobody may call an applicant's."""

    ANYONE = "anyone"
    APPLICATION = "application"
    APPLICANT = "applicant"


def bearer(request: web.Request, sandbox: Sandbox) -> Token | None:
    """The token that the call bears, ``None`` without one. Raises 403 oauth for a bad one."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    token = sandbox.store.token(text.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise errors.oauth("bad_authorization")
    if token.revoked_at is not None:
        raise errors.oauth("token_revoked")
    return token


def for_(access: Access, handler: Handler) -> Handler:
    """*handler* for those who may call it."""

    async def checked(request: web.Request) -> web.StreamResponse:
        sandbox = request.app[SANDBOX]
        token = bearer(request, sandbox)
        person = token is not None and token.kind != APPLICATION and sandbox.mode == "open"
        open_to_caller = {
            Access.ANYONE: True,
            Access.APPLICATION: token is not None,
            Access.APPLICANT: person,
        }
        if not open_to_caller[access]:
            raise errors.forbidden()
        return await handler(request)

    return checked


def _application_token(sandbox: Sandbox, form: Mapping[str, str]) -> dict[str, str]:
    settings = sandbox.settings
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    known = hmac.compare_digest(client_id.encode(), settings.client_id.encode())
    if not known or not hmac.compare_digest(secret.encode(), settings.client_secret.encode()):
        raise TokenError(400, "invalid_client", "client_id or client_secret not found")
    now = sandbox.now()
    last = sandbox.store.last_issued(client_id, APPLICATION)
    if last is not None and now - last < COOLDOWN_S:
        raise TokenError(403, "forbidden", "app token refresh too early")
    return {"access_token": _issued(sandbox, now), "token_type": "bearer"}


def _issued(sandbox: Sandbox, now: float) -> str:
    token = "APPL" + secrets.token_hex(30).upper()
    sandbox.store.replace_token(token, sandbox.settings.client_id, APPLICATION, now)
    return token


def live_application_token(sandbox: Sandbox) -> str:
    """The application's token, a new one if it has none; the five minutes do not matter here."""
    live = sandbox.store.live_token(sandbox.settings.client_id, APPLICATION)
    return live or _issued(sandbox, sandbox.now())


async def issue(request: web.Request) -> web.Response:
    """``POST /token`` (and its older name ``/oauth/token``)."""
    sandbox = request.app[SANDBOX]
    form: dict[str, str] = {}
    if request.content_type == "application/x-www-form-urlencoded":
        form = {
            name: value for name, value in (await request.post()).items() if isinstance(value, str)
        }
    grant = form.get("grant_type", "").strip()
    if grant == "client_credentials":
        return web.json_response(_application_token(sandbox, form))
    # No codes and no user tokens have been given out by a sandbox without OAuth pages.
    if grant == "authorization_code":
        raise TokenError(400, "invalid_request", "code not found")
    if grant == "refresh_token":
        missing = not form.get("refresh_token")
        raise TokenError(400, "invalid_request", "token is empty" if missing else "token not found")
    raise TokenError(400, "unsupported_grant_type", "unsupported grant_type")


async def revoke(request: web.Request) -> web.Response:
    """``DELETE /token``: for people's tokens only."""
    bearer(request, request.app[SANDBOX])
    raise errors.forbidden()
