"""The handoff page: opened by a link, it shows what waits for the person and records what they did.

``/handoff/{ticket}`` shows a button and consumes the ticket when that is pressed; ``/handoff`` is
the page itself, for the hour of its session. Everything that is posted may be posted again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from ullgetthejob.accounts import account_status, audit, people
from ullgetthejob.applications import commands, negotiation_sync
from ullgetthejob.handoff import links, reading, rendering, sessions, texts
from ullgetthejob.platform import one_time_tokens, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import Conflict, NeedsPerson, NotFound, Unauthorized
from ullgetthejob.platform.pages import Page, set_cookie
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.accounts.session_tokens import Identity
    from ullgetthejob.handoff.sessions import PageSession
    from ullgetthejob.handoff.texts import Language
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.pages import Request

LANGUAGE_COOKIE = "handoff_language"
YEAR_S = 365 * 86_400
NOTICES = ("done", "skipped", "captcha", "changed")
MAX_PAGE = 10_000


# ── the link ─────────────────────────────────────────────────────────────────────────────────────


def show_link(ticket: str, request: Request, *, now: datetime) -> Page:
    """Return the page of a link, with the button that opens it. Nothing is consumed: messengers
    read links to show a preview.

    Where the link was used and this browser has the session that it opened, the page goes on there.
    """
    found = links.look_up(ticket, now=now)
    browser = _browser(request) or sessions.new_browser()
    kept = (*_language_cookie(request), _cookie(sessions.BROWSER_COOKIE, browser, _session_s()))
    if found is None or found.is_expired or found.consumed_by not in (None, browser):
        session = _session(request, now)
        if session is not None and not session.is_over:
            return Page.redirect(links.PATH)
        token = sessions.form_token(browser) if found else None
        return _ended(request, 410, form_token=token, cookies=kept)
    token = sessions.form_token(browser)
    return rendering.render("link", _language(request), form_token=token, cookies=kept)


def post_link(ticket: str, request: Request, context: Context) -> Page:
    """Open the link, or, where it has ended, request a new one for its person."""
    context = context.with_fixed_time()
    browser = _browser(request)
    if browser is None or not sessions.is_form_token(request.form.get("form_token", ""), browser):
        return _refused(request)
    if request.form.get("action") == "new_link":
        found = links.look_up(ticket, now=context.now())
        account_id = links.LinkHolder.of(found.content).account_id if found else None
        return _request_link(account_id, request, context)
    return _open(ticket, browser, request, context)


def _open(ticket: str, browser: str, request: Request, context: Context) -> Page:
    now = context.now()
    try:
        holder = links.consume(ticket, by=browser, now=now)
    except one_time_tokens.InvalidToken as error:
        token = None if error.reason == "unknown" else sessions.form_token(browser)
        return _ended(request, 410, form_token=token)
    person = _find_person(holder.identity, holder.account_id)
    if person is None:
        return _ended(request, 410)
    context = _on_behalf(person, context)
    audit.write("handoff.open", "ok", context, user_id=person.user_id, account_id=holder.account_id)
    count("HandoffLinksOpened")
    value = sessions.start(person.user_id, holder.account_id, now=now)
    return Page.redirect(links.PATH, _cookie(sessions.COOKIE, value, _session_s()))


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def show_page(request: Request, context: Context) -> Page:
    """Return what waits for the person, and have hh.ru's negotiations read: what was done there
    closes by itself."""
    context = context.with_fixed_time()
    session = _session(request, context.now())
    person = _person_of(session)
    if session is None or person is None or session.is_over:
        token = sessions.form_token(session.id) if session and person else None
        return _ended(request, 401, form_token=token)
    negotiation_sync.request_sync(
        session.account_id, connection=context.connection, now=context.now()
    )
    access = person.access.at(context.now())
    waiting = reading.read(
        session.account_id,
        _number(request.query.get("page")),
        connection=context.connection,
        now=context.now(),
    )
    notice = request.query.get("notice")
    return rendering.render(
        "items",
        _language(request),
        waiting=waiting,
        access=access.state,
        captcha_url=access.captcha_url,
        login_url=_login_url(),
        form_token=sessions.form_token(session.id),
        notice=notice if notice in NOTICES else None,
        path=links.PATH,
        script_name=rendering.SCRIPT,
        cookies=_language_cookie(request),
    )


def post_page(request: Request, context: Context) -> Page:
    """Do what a button of the page asks for, and return to the page."""
    context = context.with_fixed_time()
    session = _session(request, context.now())
    person = _person_of(session)
    if session is None or person is None:
        return _ended(request, 401)
    if not sessions.is_form_token(request.form.get("form_token", ""), session.id):
        return _refused(request)
    action = request.form.get("action")
    if action == "new_link":
        return _request_link(session.account_id, request, context)
    if session.is_over:
        return _ended(request, 401, form_token=sessions.form_token(session.id))
    notice = _act(action, request.form.get("application", ""), person, context)
    query = urlencode({"page": _number(request.form.get("page")), "notice": notice})
    return Page.redirect(f"{links.PATH}?{query}")


def _act(action: str | None, application_id: str, person: Person, context: Context) -> str:
    """Do what the button says; return the notice about it."""
    context = _on_behalf(person, context)
    try:
        if action == "done":
            commands.confirm(application_id, person, context)
            return "done"
        if action == "skip":
            commands.cancel(application_id, person, context)
            return "skipped"
        if action == "captcha_solved":
            account_status.resume_access(person, context)
            return "captcha"
    except (Conflict, NotFound, NeedsPerson):
        return "changed"  # the page shows how it stands
    return "changed"


def error_page(status: int, request: Request) -> Page:
    """Return the page that says that a request failed, with the status."""
    return rendering.render("said", _language(request), status=status, subject="failed")


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def _request_link(account_id: UUID | None, request: Request, context: Context) -> Page:
    """Request a new link, which goes to the person's own channels. The page says the same where
    that was done lately, and where the account no longer exists."""
    if account_id is not None:
        links.request_new(account_id, connection=context.connection, now=context.now())
    return rendering.render("said", _language(request), subject="requested")


def _ended(
    request: Request, status: int, *, form_token: str | None = None, cookies: tuple[str, ...] = ()
) -> Page:
    return rendering.render(
        "ended", _language(request), status=status, form_token=form_token, cookies=cookies
    )


def _refused(request: Request) -> Page:
    return rendering.render("said", _language(request), status=403, subject="refused")


def _session(request: Request, now: datetime) -> PageSession | None:
    return sessions.read(request.cookies.get(sessions.COOKIE), now=now)


def _person_of(session: PageSession | None) -> Person | None:
    return _find_person(session.identity, session.account_id) if session else None


def _find_person(identity: Identity, account_id: UUID) -> Person | None:
    """Return the person; ``None`` where their sessions have ended since, or belong to another
    account now."""
    try:
        person = people.find_by_identity(identity)
    except Unauthorized:
        return None
    return person if person.account_id == account_id else None


def _on_behalf(person: Person, context: Context) -> Context:
    """Return the context with the person as its caller."""
    caller = Caller("user", context.caller.request_id, person.user_id)
    return replace(context, caller=caller)


def _browser(request: Request) -> str | None:
    """Return the random value that this browser holds, ``None`` if it is not one of ours."""
    value = request.cookies.get(sessions.BROWSER_COOKIE, "")
    return value if len(value) == sessions.BROWSER_CHARS and value.isascii() else None


def _language(request: Request) -> Language:
    chosen = request.query.get("language") or request.cookies.get(LANGUAGE_COOKIE)
    return texts.choose_language(chosen, request.headers.get("accept-language", ""))


def _language_cookie(request: Request) -> tuple[str, ...]:
    """Return the cookie that keeps a choice of the language, where one was made."""
    chosen = request.query.get("language")
    return (_cookie(LANGUAGE_COOKIE, chosen, YEAR_S),) if chosen in texts.LANGUAGES else ()


def _session_s() -> int:
    """Return how long the browser keeps what proves whose page it was, in seconds."""
    return int((sessions.LIFETIME + sessions.REMEMBERED).total_seconds())


def _cookie(name: str, value: str, max_age_s: int) -> str:
    address = urlsplit(settings.PUBLIC_URL())
    is_local = address.scheme == "http" and address.hostname in ("localhost", "127.0.0.1")
    return set_cookie(name, value, path=links.PATH, max_age_s=max_age_s, secure=not is_local)


def _login_url() -> str:
    """Return the page on which the person logs in again: the frontend's."""
    page = settings.APP_URL()
    if page:
        return page
    return "{0.scheme}://{0.netloc}/".format(urlsplit(settings.HH_REDIRECT_URI()))


def _number(text: str | None) -> int:
    return min(int(text), MAX_PAGE) if text and text.isdecimal() and len(text) < 9 else 1
