"""Pages for a browser: the applications that employers received, and their states."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.sandbox.negotiations import negotiation_shape
from local.sandbox.vacancies.vacancy_shape import MOSCOW

if TYPE_CHECKING:
    from collections.abc import Iterable

REFRESH_S = 3
_PAGE = """<!DOCTYPE html>
<html lang="ru"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{refresh}">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f1f4f9; color: #303233; margin: 0 }}
main {{ max-width: 60rem; margin: 2rem auto; padding: 1rem 2rem 2rem; background: #fff;
  border-radius: 12px }}
h1 {{ font-size: 1.5rem }} a {{ color: #0059b8 }} small {{ color: #6a6d70 }}
article {{ border-top: 1px solid #dce3eb; padding: .8rem 0 }} p {{ margin: .3rem 0 }}
blockquote {{ margin: .5rem 0; padding: .5rem 1rem; background: #f1f4f9; border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere }}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>
"""


def _page(title: str, body: str) -> web.Response:
    return web.Response(
        text=_PAGE.format(title=escape(title), body=body, refresh=REFRESH_S),
        content_type="text/html",
        headers={"Cache-Control": "no-store"},
    )


def employer_list(rows: Iterable[dict[str, Any]]) -> web.Response:
    """Return the page of employers with applications; *rows*: of ``/_sandbox/applications``."""
    counts = Counter((row["employer_id"], row["employer"]) for row in rows)
    lines = "".join(
        f'<li><a href="/_sandbox/employers/{escape(id_)}">{escape(name)}</a>'
        f" <small>откликов: {count}</small></li>"
        for (id_, name), count in counts.most_common()
    )
    return _page("Работодатели", f"<ul>{lines}</ul>" if lines else "<p>Откликов пока нет.</p>")


def _application(row: dict[str, Any]) -> str:
    at = datetime.fromisoformat(row["at"]).astimezone(MOSCOW)
    if row["state"] is None:
        state = "резюме удалено"
    elif row["state"] == "response":
        state = "просмотрен" if row["viewed"] else "не просмотрен"
    else:
        state = negotiation_shape.state(row["state"])["name"]
    letter = f"<blockquote>{escape(row['letter'])}</blockquote>" if row["letter"] else ""
    return (
        f'<article id="{row["negotiation_id"]}"><p><b>{escape(row["applicant"])}</b>,'
        f" {escape(row['resume'] or '')}</p>"
        f"<p>На вакансию «{escape(row['vacancy'])}» <small>{escape(row['vacancy_id'])}</small></p>"
        f"<p><small>{at:%d.%m.%Y %H:%M:%S} (Москва), отклик {row['negotiation_id']}:</small>"
        f" {escape(state)}</p>{letter}</article>"
    )


def employer_applications(employer_id: str, rows: list[dict[str, Any]]) -> web.Response:
    """Return the page of one employer's applications, the newest first."""
    name = rows[-1]["employer"] if rows else f"Работодатель {employer_id}"
    body = "".join(map(_application, reversed(rows))) or "<p>Откликов пока нет.</p>"
    return _page(
        f"{name}: отклики", f'{body}<p><a href="/_sandbox/employers">Все работодатели</a></p>'
    )
