"""``/token``, and the caller that an ``Authorization`` header names.

An application token does not expire, a new one revokes the previous one, and one may be issued
every five minutes. People's tokens are pairs: see :mod:`local.sandbox.oauth.grants`. All times are
the sandbox's clock's.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import errors
from local.sandbox.eras import Access
from local.sandbox.errors import ApiError, TokenError
from local.sandbox.oauth import grants
from local.sandbox.people import people
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.sandbox.eras import Method
    from local.sandbox.oauth.account_store import Pair
    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOLDOWN_S = 300
APPLICATION = "application"
FORBIDDEN_WITH_VALUE = "1.49.2"


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: a person with a token pair, or (both ``None``) the application itself."""

    person: Person | None = None
    pair: Pair | None = None


def bearer(request: web.Request, sandbox: Sandbox) -> Caller | None:
    """Return the token's owner, ``None`` without a token. Raises 403 oauth for a bad one."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise errors.oauth("bad_authorization")
    token = sandbox.store.find_token(text.strip())
    if token is None:
        return _find_person(sandbox, text.strip())
    if token.revoked_at is not None:
        raise errors.oauth("token_revoked")
    return Caller()


def _find_person(sandbox: Sandbox, text: str) -> Caller:
    pair = sandbox.store.accounts.by_access(text)
    person = people.all_people().get(pair.person_id) if pair else None
    if pair is None or person is None:
        raise errors.oauth("bad_authorization")
    if pair.ended in ("revoked", "deactivated"):
        raise errors.oauth("token_revoked")
    if pair.expires_at <= sandbox.now():
        raise errors.oauth("token_expired")
    if sandbox.store.accounts.state(person.id) in ("locked", "deleted"):
        raise errors.oauth("token_revoked")
    return Caller(person, pair)


def require(method: Method, handler: Handler) -> Handler:
    """Return *handler* behind a check of *method*'s caller and of the era.

    It raises 403 for another caller, and the era's refusal. A method that is removed is not routed,
    whoever calls; a closed one is forbidden to a caller whose token is valid.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        sandbox = request.app[SANDBOX]
        refusal = sandbox.era.refusal_of(method)
        if refusal not in (None, 403):
            raise errors.closed(refusal)
        caller = bearer(request, sandbox)
        if not _is_open_to(method.caller, caller):
            raise _wrong_caller(sandbox, caller)
        if refusal is not None:
            raise errors.closed(refusal)
        return await handler(request)

    return checked


def _is_open_to(access: Access, caller: Caller | None) -> bool:
    person = caller.person if caller else None
    return {
        Access.ANYONE: True,
        Access.APPLICATION: caller is not None,
        Access.PERSON: person is not None,
        Access.APPLICANT: person is not None and person.kind == "applicant",
    }[access]


def _wrong_caller(sandbox: Sandbox, caller: Caller | None) -> ApiError:
    """Return the 403 for a token of another kind; since 1.49.2 it has a value for that of an
    application."""
    if caller is not None and caller.person is None and sandbox.era.follows(FORBIDDEN_WITH_VALUE):
        return errors.oauth("user_auth_expected")
    return errors.forbidden()


def person(request: web.Request) -> Person:
    """Return the person whose token the call bears. Raises 403 forbidden if there is none."""
    caller = bearer(request, request.app[SANDBOX])
    if caller is None or caller.person is None:
        raise errors.forbidden()
    return caller.person


def _application_token(sandbox: Sandbox, form: Mapping[str, str]) -> dict[str, str]:
    client_id = grants.check_client(sandbox.settings, form)
    now = sandbox.now()
    last = sandbox.store.last_issued(client_id, APPLICATION)
    if last is not None and now - last < COOLDOWN_S:
        raise TokenError(403, "forbidden", "app token refresh too early")
    return {"access_token": _issue_application_token(sandbox, now), "token_type": "bearer"}


def _issue_application_token(sandbox: Sandbox, now: float) -> str:
    token = "APPL" + secrets.token_hex(30).upper()
    sandbox.store.replace_token(token, sandbox.settings.client_id, APPLICATION, now)
    return token


def live_application_token(sandbox: Sandbox) -> str:
    """Return the application's live token, a new one if it has none, without the five minutes."""
    live = sandbox.store.live_token(sandbox.settings.client_id, APPLICATION)
    return live or _issue_application_token(sandbox, sandbox.now())


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
    if grant == "authorization_code":
        return web.json_response(grants.exchange(sandbox, form))
    if grant == "refresh_token":
        return web.json_response(grants.refresh(sandbox, form))
    raise TokenError(400, "unsupported_grant_type", "unsupported grant_type")


async def revoke(request: web.Request) -> web.Response:
    """``DELETE /token``: revoke a person's live token pair; other tokens are refused."""
    sandbox = request.app[SANDBOX]
    caller = bearer(request, sandbox)
    if caller is None or caller.pair is None:
        raise _wrong_caller(sandbox, caller)
    sandbox.store.accounts.end(caller.pair)
    return web.Response(status=204)
