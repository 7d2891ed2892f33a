"""``https://hh.ru/oauth/authorize``: the page on which a person logs in and lets an application in.

The sandbox asks for no password: a person is chosen from a list. What can be wrong with the
application's request is told on a page with status 400 and never by a redirect, unless the address
to redirect to is known to be good (RFC 6749 §4.1.2.1).
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
class Asked:
    """What the application asks. *redirect_uri* is where to go, *sent*: the call named it."""

    client_id: str
    redirect_uri: str
    sent: bool
    state: str | None
    challenge: str | None
    force_login: bool
    skip_choose_account: bool


class Refused(Exception):
    """The request is wrong in a way that the person is told, not the application."""


class RefusedByRedirect(Exception):
    """The request is wrong in a way that the application is told; the message is where to go."""


def _page(title: str, body: str, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=escape(title), body=body),
        content_type="text/html",
        headers={"Cache-Control": "no-store"},
    )


def _read(request: web.Request, sandbox: Sandbox) -> Asked:
    """Raises :class:`Refused` and :class:`RefusedByRedirect`."""
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
    return Asked(
        client_id=settings.client_id,
        redirect_uri=address,
        sent=sent is not None,
        state=state,
        challenge=challenge,
        force_login=query.get("force_login") == "true",
        skip_choose_account=query.get("skip_choose_account") == "true",
    )


def _remembered(request: web.Request) -> Person | None:
    return people.everybody().get(request.cookies.get(COOKIE, ""))


def _let_in(sandbox: Sandbox, asked: Asked, person: Person) -> web.Response:
    if sandbox.store.accounts.state(person.id) in ("locked", "deleted"):
        return _page("Вход невозможен", "<p>Учётная запись заблокирована.</p>", 403)
    code = sandbox.store.accounts.new_code(
        asked.client_id,
        person.id,
        sandbox.now(),
        redirect_uri=asked.redirect_uri if asked.sent else None,
        challenge=asked.challenge,
    )
    answer = _redirect(with_query(asked.redirect_uri, code=code, state=asked.state))
    answer.set_cookie(
        COOKIE, person.id, path=PATH, max_age=COOKIE_LIFE_S, httponly=True, samesite="Lax"
    )
    return answer


def _redirect(address: str) -> web.Response:
    return web.Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})


def _form(asked: Asked, remembered: Person | None) -> web.Response:
    def choice(person: Person) -> str:
        checked = " checked" if person is remembered else ""
        return (
            f'<label><input type="radio" name="person" value="{person.key}" required{checked}>'
            f" {escape(person.name)} <small>{escape(person.profession)}</small></label>"
        )

    choices = "".join(map(choice, people.everybody().values()))
    return _page("Вход на hh.ru", _FORM.format(client=escape(asked.client_id), people=choices))


async def ask(request: web.Request) -> web.Response:
    """``GET /oauth/authorize``: the page, or a redirect where nothing has to be asked."""
    sandbox = request.app[SANDBOX]
    try:
        asked = _read(request, sandbox)
    except Refused as problem:
        return _page("Ошибка авторизации", f"<p>{escape(str(problem))}</p>", 400)
    except RefusedByRedirect as problem:
        return _redirect(str(problem))
    automatic = people.find(sandbox.auto_login) if sandbox.auto_login else None
    if automatic is not None:
        return _let_in(sandbox, asked, automatic)
    remembered = None if asked.force_login else _remembered(request)
    if (
        remembered is not None
        and asked.skip_choose_account
        and sandbox.store.accounts.has_consented(asked.client_id, remembered.id)
    ):
        return _let_in(sandbox, asked, remembered)
    return _form(asked, remembered)


async def decide(request: web.Request) -> web.Response:
    """``POST /oauth/authorize``: the page's form, ``person`` and ``decision`` (allow or deny)."""
    sandbox = request.app[SANDBOX]
    try:
        asked = _read(request, sandbox)
    except Refused as problem:
        return _page("Ошибка авторизации", f"<p>{escape(str(problem))}</p>", 400)
    except RefusedByRedirect as problem:
        return _redirect(str(problem))
    form = await request.post()
    if form.get("decision") == "deny":
        return _redirect(with_query(asked.redirect_uri, error="access_denied", state=asked.state))
    person = people.find(str(form.get("person", "")))
    if person is None or form.get("decision") != "allow":
        return _form(asked, _remembered(request))
    return _let_in(sandbox, asked, person)
