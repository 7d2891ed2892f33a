"""Rendering of the handoff page: Jinja with autoescaping, so that what a vacancy, a letter or an
employer says is text on the page.

Jinja is imported when the first page is rendered (0.1 s).
"""

from __future__ import annotations

import secrets
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ullgetthejob.handoff import texts
from ullgetthejob.platform.pages import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jinja2

    from ullgetthejob.handoff.texts import Language

FOLDER = Path(__file__).parent
SCRIPT = "page.js"
SCRIPT_TYPE = "text/javascript; charset=utf-8"
CURRENCIES = {"RUR": "₽", "RUB": "₽", "USD": "$", "EUR": "€", "KZT": "₸", "BYR": "Br", "UAH": "₴"}
MODES = ("MONTH", "SHIFT", "HOUR", "FLY_IN_FLY_OUT", "SERVICE")
NO_BREAK = "\u00a0"


def render(
    template: str,
    language: Language,
    *,
    status: int = 200,
    cookies: tuple[str, ...] = (),
    **values: Any,
) -> Page:
    """Return the page of *template* (``link``, ``items``, ``ended``, …) with *values*."""
    nonce = secrets.token_urlsafe(16)
    content = (
        _environment()
        .get_template(f"{template}.html")
        .render(
            **values,
            language=language,
            other_language=next(other for other in texts.LANGUAGES if other != language),
            text=partial(_text, language),
            reason=lambda item: _text(language, texts.reason_key(item.reason)),
            salary=partial(salary_text, language),
            nonce=nonce,
            style=_static("page.css"),
        )
    )
    return Page(
        content,
        status=status,
        headers={"content-security-policy": _policy(nonce), "content-language": language},
        cookies=cookies,
    )


def script() -> Page:
    """Return the script of the page, which copies letters; the same for everybody."""
    headers = {"cache-control": "public, max-age=3600"}
    return Page(_static(SCRIPT), media_type=SCRIPT_TYPE, headers=headers)


def salary_text(language: Language, salary: Mapping[str, Any] | None) -> str | None:
    """Return the offered salary (:class:`ullgetthejob.hh.models.Salary` as stored) as people write
    it; ``None`` without an amount."""
    if not salary or (salary.get("lower") is None and salary.get("upper") is None):
        return None
    lower, upper = _amount(language, salary.get("lower")), _amount(language, salary.get("upper"))
    form = "to" if lower is None else "from" if upper is None else "range"
    currency = str(salary.get("currency", ""))
    mode = str(salary.get("mode", "MONTH"))
    gross = salary.get("gross")
    parts = [
        _text(language, f"salary.{form}", lower=lower, upper=upper)
        + NO_BREAK
        + CURRENCIES.get(currency, currency),
        _text(language, f"salary.{mode}") if mode in MODES else "",
        "" if gross is None else _text(language, "salary.gross" if gross else "salary.net"),
    ]
    return ", ".join(part for part in parts if part)


def _amount(language: Language, amount: int | None) -> str | None:
    if amount is None:
        return None
    return f"{amount:,}".replace(",", NO_BREAK if language == "ru" else ",")


def _text(language: Language, key: str, **values: Any) -> str:
    text = texts.TEXTS[language][key]
    return text.format(**values) if values else text


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@cache
def _static(name: str) -> str:
    return (FOLDER / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
