"""The HTML of ``/dev/connect``. All text from outside is escaped; there are no scripts."""

from __future__ import annotations

import base64
import hashlib
import shlex
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlsplit

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; background: #f1f4f9; color: #303233; margin: 0 }
main { max-width: 44rem; margin: 3rem auto; padding: 2rem; background: #fff; border-radius: 12px }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
small, dt { color: #6a6d70 } p { margin: .6rem 0 } ul { padding-left: 1.2rem; margin: .5rem 0 }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: .2rem 1rem; margin: 1.2rem 0 }
dd { margin: 0; overflow-wrap: anywhere }
form { display: inline-block; margin: .6rem .6rem 0 0 }
button { font: inherit; padding: .6rem 1.2rem; border: 0; border-radius: 8px; cursor: pointer }
button.main { background: #0059b8; color: #fff } a { color: #0059b8 } b { font-weight: 500 }
pre { background: #f1f4f9; padding: 1rem; border-radius: 8px; font-size: .8rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; user-select: all }
.note { padding: .8rem 1rem; border-radius: 8px; margin: 1.2rem 0; background: #fff3d6 }
.note p { margin: 0 } .state { font-weight: 600 } .ok { color: #16794a }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Connect hh.ru</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head><body><main><h1>Connect hh.ru</h1>
<p><small>This page stands in for the BFF: it holds Core's secret and your session.
</small></p>{body}</main></body></html>
"""
_NOTE = '<div class="note" role="alert"><p>{text}</p></div>'
_BUTTON = """<form method="post" action="/dev/connect/{action}">
<button class="{kind}">{text}</button></form>"""
_ELSEWHERE = """<p>hh.ru sends people back to <b>{address}</b> (HH_REDIRECT_URI), not to this page:
connect there.</p>"""
_CAPTCHA = """<div class="note"><p>hh.ru wants to see a person.
<a href="{url}" target="_blank" rel="noopener noreferrer">Solve hh.ru's captcha</a>,
then come back.</p>{button}</div>"""
_FACTS = """<dl><dt>Access</dt>
<dd><span class="state {state}">{state}</span>{until}<br>{message}</dd>
<dt>Session</dt><dd>{user_id}</dd><dt>Account</dt><dd>{account_id}</dd></dl>"""
_RESUMES = '<h2>Resumes</h2><div id="resumes">{content}</div>'
_CURL = """<h2>The same with the JWT alone</h2><pre id="curl">{line}</pre>"""


@dataclass(frozen=True)
class Connected:
    """A connected person. *account*: Core's response; *refusal*: why there are no resumes."""

    user_id: str
    jwt: str
    account: dict[str, Any]
    resumes: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""


def not_connected(notice: str = "", returns_to: str = "") -> str:
    """Return the page before a login. *returns_to*: the other address that hh.ru redirects to."""
    body = _NOTE.format(text=escape(notice)) if notice else ""
    if returns_to:
        body += _ELSEWHERE.format(address=escape(returns_to))
    else:
        body += '<p class="state">Not connected.</p>' + _button("login", "Connect hh.ru")
    return _page(body)


def unknown(notice: str) -> str:
    """Return the page for an unknown state, when Core fails."""
    return _page(_NOTE.format(text=escape(notice)) + '<p><a href="/dev/connect">Try again</a></p>')


def connected(person: Connected, origin: str, notice: str = "") -> str:
    """Return the page of a connected person. *origin*: of the API."""
    access = person.account.get("access") or {}
    body = _NOTE.format(text=escape(notice)) if notice else ""
    body += _FACTS.format(
        state=_text(access, "state"),
        until=f" <small>until {_text(access, 'until')}</small>" if access.get("until") else "",
        message=_text(access, "message"),
        user_id=escape(person.user_id),
        account_id=_text(person.account, "account_id"),
    )
    body += _next_step(access) + _resumes(person)
    line = (
        f"curl -s {origin}/api/hh/resumes -H {shlex.quote(f'Authorization: Bearer {person.jwt}')}"
    )
    body += _CURL.format(line=escape(line))
    return _page(body + _button("disconnect", "Disconnect", kind="plain"))


def _next_step(access: dict[str, Any]) -> str:
    if access.get("state") == "captcha":
        url = str(access.get("captcha_url") or "")
        if urlsplit(url).scheme not in ("http", "https"):
            url = "https://hh.ru"
        return _CAPTCHA.format(url=escape(url), button=_button("resume", "I solved it"))
    if access.get("state") == "reauth_required":
        return _button("login", "Connect hh.ru again")
    return ""


def _resumes(person: Connected) -> str:
    if person.refusal:
        return _RESUMES.format(content=f'<p role="status">{escape(person.refusal)}</p>')
    items = "".join(
        "<li><b>{title}</b> <small>{status} {id}</small></li>".format(
            title=_text(resume, "title"),
            status=_text(resume.get("status") or {}, "name"),
            id=_text(resume, "id"),
        )
        for resume in person.resumes
    )
    return _RESUMES.format(content=f"<ul>{items}</ul>" if items else "<p>None.</p>")


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return "" if value is None else escape(str(value))


def _button(action: str, text: str, kind: str = "main") -> str:
    return _BUTTON.format(action=action, text=escape(text), kind=kind)


def _page(body: str) -> str:
    return _PAGE.format(style=STYLE, body=body)
