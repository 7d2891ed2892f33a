"""``https://hh.ru/oauth/authorize``: the page for login and consent to an application.

The sandbox asks for no password: a person is chosen from a list. An error in the application's
request is a page with status 400, and a redirect only where the address to redirect to is known to
be registered (RFC 6749 §4.1.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox.oauth import pkce
from local.sandbox.oauth.redirects import admits, with_query
from local.sandbox.people import people
from local.sandbox.state import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.sandbox.people.people import Person
    from local.sandbox.state import Sandbox

PATH = "/oauth/authorize"
COOKIE = "sandbox_person"
COOKIE_LIFE_S = 30 * 86_400

_PAGE = """<!DOCTYPE html>
<html lang="ru"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f1f4f9; color: #303233; margin: 0 }}
main {{ max-width: 30rem; margin: 3rem auto; padding: 2rem; background: #fff; border-radius: 12px }}
h1 {{ font-size: 1.5rem; margin-top: 0 }} fieldset {{ border: 0; padding: 0; margin: 1rem 0 }}
label {{ display: block; padding: .4rem 0; cursor: pointer }} small {{ color: #6a6d70 }}
button {{ font: inherit; padding: .6rem 1.2rem; border: 0; border-radius: 8px; cursor: pointer }}
button[value=allow] {{ background: #0059b8; color: #fff }}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>
"""
_FORM = """<p>Приложение <b>{client}</b> просит доступ к вашей учётной записи на hh.ru (песочница):
к резюме, откликам и личным данным.</p>
<form method="post"><fieldset><legend>Войти как</legend>{people}</fieldset>
<button name="decision" value="allow">Войти и разрешить</button>
<button name="decision" value="deny" formnovalidate>Отказать</button></form>"""


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """The application's request. *sent*: the call named *redirect_uri* itself."""

    client_id: str
    redirect_uri: str
    sent: bool
    state: str | None
    challenge: str | None
    force_login: bool
    skip_choose_account: bool


class Refused(Exception):
    """The request has an error that is shown to the person and not to the application."""


class RefusedByRedirect(Exception):
    """The request has an error for the application; the message is the address to redirect to."""


def _page(title: str, body: str, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=escape(title), body=body),
        content_type="text/html",
        headers={"Cache-Control": "no-store"},
    )


def _parse(request: web.Request, sandbox: Sandbox) -> AuthorizeRequest:
    """Return the request. Raises :class:`Refused` and :class:`RefusedByRedirect`."""
    query, settings = request.query, sandbox.settings
    if query.get("client_id") != settings.client_id:
        raise Refused("Приложение не найдено: неизвестный client_id.")
    sent = query.get("redirect_uri")
    if sent is not None and not admits(settings.redirect_uri, sent):
        raise Refused("Адрес redirect_uri не подходит к зарегистрированному у приложения.")
    address, state = sent or settings.redirect_uri, query.get("state")

    def refused(error: str) -> RefusedByRedirect:
        return RefusedByRedirect(with_query(address, error=error, state=state))

    if query.get("response_type") != "code":
        raise refused("unsupported_response_type")
    challenge = query.get("code_challenge")
    # Only S256 is documented; without a method RFC 7636 would mean "plain".
    method_fits = query.get("code_challenge_method") == ("S256" if challenge else None)
    if not method_fits or not (challenge is None or pkce.is_challenge(challenge)):
        raise refused("invalid_request")
    return AuthorizeRequest(
        client_id=settings.client_id,
        redirect_uri=address,
        sent=sent is not None,
        state=state,
        challenge=challenge,
        force_login=query.get("force_login") == "true",
        skip_choose_account=query.get("skip_choose_account") == "true",
    )


def _remembered(request: web.Request) -> Person | None:
    return people.all_people().get(request.cookies.get(COOKIE, ""))


def _grant(sandbox: Sandbox, authorize_request: AuthorizeRequest, person: Person) -> web.Response:
    if sandbox.store.accounts.state(person.id) in ("locked", "deleted"):
        return _page("Вход невозможен", "<p>Учётная запись заблокирована.</p>", 403)
    code = sandbox.store.accounts.new_code(
        authorize_request.client_id,
        person.id,
        sandbox.now(),
        redirect_uri=authorize_request.redirect_uri if authorize_request.sent else None,
        challenge=authorize_request.challenge,
    )
    response = _redirect(
        with_query(authorize_request.redirect_uri, code=code, state=authorize_request.state)
    )
    response.set_cookie(
        COOKIE, person.id, path=PATH, max_age=COOKIE_LIFE_S, httponly=True, samesite="Lax"
    )
    return response


def _redirect(address: str) -> web.Response:
    return web.Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})


def _form(authorize_request: AuthorizeRequest, remembered: Person | None) -> web.Response:
    def choice(person: Person) -> str:
        checked = " checked" if person is remembered else ""
        return (
            f'<label><input type="radio" name="person" value="{person.key}" required{checked}>'
            f" {escape(person.name)} <small>{escape(person.profession)}</small></label>"
        )

    choices = "".join(map(choice, people.all_people().values()))
    return _page(
        "Вход на hh.ru", _FORM.format(client=escape(authorize_request.client_id), people=choices)
    )


def _checked(
    handle: Callable[[web.Request, AuthorizeRequest], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that answers a wrong request itself: with a page, or by a redirect to the
    client."""

    async def answer(request: web.Request) -> web.Response:
        try:
            authorize_request = _parse(request, request.app[SANDBOX])
        except Refused as problem:
            return _page("Ошибка авторизации", f"<p>{escape(str(problem))}</p>", 400)
        except RefusedByRedirect as problem:
            return _redirect(str(problem))
        return await handle(request, authorize_request)

    return answer


@_checked
async def show_page(request: web.Request, authorize_request: AuthorizeRequest) -> web.Response:
    """``GET /oauth/authorize``: the page, or a redirect where no decision is needed."""
    sandbox = request.app[SANDBOX]
    automatic = people.find(sandbox.auto_login) if sandbox.auto_login else None
    if automatic is not None:
        return _grant(sandbox, authorize_request, automatic)
    remembered = None if authorize_request.force_login else _remembered(request)
    if (
        remembered is not None
        and authorize_request.skip_choose_account
        and sandbox.store.accounts.has_consented(authorize_request.client_id, remembered.id)
    ):
        return _grant(sandbox, authorize_request, remembered)
    return _form(authorize_request, remembered)


@_checked
async def decide(request: web.Request, authorize_request: AuthorizeRequest) -> web.Response:
    """``POST /oauth/authorize``: the page's form, ``person`` and ``decision`` (allow or deny)."""
    sandbox = request.app[SANDBOX]
    form = await request.post()
    if form.get("decision") == "deny":
        return _redirect(
            with_query(
                authorize_request.redirect_uri, error="access_denied", state=authorize_request.state
            )
        )
    person = people.find(str(form.get("person", "")))
    if person is None or form.get("decision") != "allow":
        return _form(authorize_request, _remembered(request))
    return _grant(sandbox, authorize_request, person)
