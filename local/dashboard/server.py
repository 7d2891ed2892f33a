"""``/dev/dashboard`` of the local gateway: pages, their buttons, one stream, and static files.

Every page is rendered here and works without JavaScript. The stream (server-sent events) renders
the page that it is asked for again, and sends the parts that differ from what was sent last. A
button posts a form, refused unless a page of this server sent it, and redirects back to its page,
which says what was done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import sys
import threading
import time
import traceback
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import psycopg
from aiohttp import web

from local import browsers
from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.pages import (
    apply,
    database,
    functions,
    hh,
    messages,
    now,
    people,
    queues,
    requests,
    results,
)
from local.dashboard.rendering import compile_templates, render
from local.dashboard.system import Refused
from local.gateway import body

if TYPE_CHECKING:
    from local.dashboard.system import System

_LOGGER = logging.getLogger("local.dashboard")
STREAM_INTERVAL_S = 2.0
FORM_LIMIT = 64 * 1024
NOTES_KEPT = 200
SWITCH_INTERVAL_S = 0.001
STATIC = Path(__file__).with_name("static")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGES: tuple[Page, ...] = (
    *(now.PAGE, requests.PAGE, functions.PAGE, database.PAGE),
    *(queues.PAGE, people.PAGE, messages.PAGE, hh.PAGE, apply.PAGE, results.PAGE),
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_LIVE = re.compile(r"<!--live:([\w-]+)-->(.*?)<!--/live:\1-->", re.DOTALL)


class Dashboard:
    """Serves :data:`PATH` and the paths below it, about *system*."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._pages = {page.name: page for page in PAGES}
        self._notes: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._static = {
            path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in TYPES
        }

    def serves(self, path: str) -> bool:
        """Return whether *path* belongs to the dashboard."""
        return path == PATH or path.startswith(f"{PATH}/")

    def start(self) -> None:
        """Start the thread in which pages are read and rendered, and prepare the first page there:
        while a thousand requests run, the first visit would take seconds for it.

        Pages have a loop of their own: each step of a page would wait for all requests that are in
        the gateway's loop. The two threads pass the interpreter's lock every millisecond, not every
        five: a page takes it some fifty times.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        threading.Thread(target=self._loop.run_forever, name="dashboard", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._prepare(), self._loop)

    async def _prepare(self) -> None:
        """Compile the templates, and call each part of the system once. Logs are not read."""
        compile_templates()
        with contextlib.suppress(Exception):  # the page itself will show what is wrong
            await now.PAGE.read(self._system, {}, "")

    async def stop(self) -> None:
        """End all streams."""
        self._stopping.set()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request to one of its paths."""
        parts = [part for part in request.path.removeprefix(PATH).split("/") if part]
        if request.method == "POST":
            return await self._act(request, parts)
        if request.method != "GET":
            return web.Response(status=HTTPStatus.METHOD_NOT_ALLOWED, headers=HEADERS)
        if parts[:1] == ["static"]:
            return self._answer_file("/".join(parts[1:]))
        if parts == ["stream"]:
            return await self._stream(request)
        status, text = await self._render(request.path, dict(request.query))
        return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)

    def _answer_file(self, name: str) -> web.Response:
        content = self._static.get(name)
        if content is None:
            return web.Response(status=HTTPStatus.NOT_FOUND, headers=HEADERS)
        headers = HEADERS | {"Cache-Control": "no-cache"}
        kind = TYPES[Path(name).suffix]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)

    # ── pages ────────────────────────────────────────────────────────────────────────────────

    async def _render(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        """Return the status and the HTML of the page at *path*."""
        rendering = asyncio.run_coroutine_threadsafe(self._read_page(path, query), self._loop)
        return await asyncio.wrap_future(rendering)

    async def _read_page(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        """Read and render a page, in the dashboard's own thread."""
        name, _, argument = path.removeprefix(PATH).strip("/").partition("/")
        page = self._pages.get(name or now.PAGE.name)
        note, note_is_bad = self._notes.get(query.pop("note", ""), ("", False))
        begun = time.monotonic()
        status, template, values = 200, "problem.html", {"problem": "", "step": ""}
        if page is None or (name == now.PAGE.name):
            status, page = 404, now.PAGE
            values = {"problem": "There is no such page.", "step": "Choose one above."}
        else:
            try:
                await self._system.trail.catch_up()
                values = await page.read(self._system, query, argument)
                template = page.detail if argument else page.template
            except NotFound as missing:
                status, values = 404, {"problem": str(missing), "step": "It may have been deleted."}
            except Refused as refused:
                status, values = 503, {"problem": str(refused), "step": "Look at Now."}
            except psycopg.Error as error:
                step = "See postgres/server.log in DATA_DIR, or restart make run."
                problem = f"The database does not answer: {type(error).__name__}"
                status, values = 503, {"problem": problem, "step": step}
            except Exception as error:
                values = _describe_fault(page.name, error)
                status = 500
        spent = time.thread_time()
        text = render(
            template,
            pages=PAGES,
            page=page,
            path=path,
            query=query,
            here=f"{path}?{urlencode(query)}" if query else path,
            note=note,
            note_is_bad=note_is_bad,
            took_ms=(time.monotonic() - begun) * 1000,
            clock=self._system.now(),
            **values,
        )
        self._system.spent_s += time.thread_time() - spent
        return status, text

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the changed parts of the page ``?of=`` until the browser leaves."""
        target = _split(request.query.get("of", PATH))
        name = target.path.removeprefix(PATH).strip("/").partition("/")[0]
        page = self._pages.get(name or now.PAGE.name)
        if not self.serves(target.path) or page is None or not page.is_live:
            return web.Response(status=HTTPStatus.BAD_REQUEST, headers=HEADERS)
        response = web.StreamResponse(
            headers=HEADERS | {"Content-Type": "text/event-stream; charset=utf-8"}
        )
        await response.prepare(request)
        sent: dict[str, str] = {}
        while not self._stopping.is_set():
            begun = time.monotonic()
            _, text = await self._render(target.path, dict(parse_qsl(target.query)))
            parts = dict(_LIVE.findall(text))
            changed = {name: html for name, html in parts.items() if sent.get(name) != html}
            event = f"data: {json.dumps(changed)}\n\n" if changed else ": nothing changed\n\n"
            await response.write(event.encode())
            sent = parts
            # A page that takes long is rendered less often: at most a fifth of the time.
            pause_s = max(STREAM_INTERVAL_S, 4 * (time.monotonic() - begun))
            try:
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            except TimeoutError:
                continue
        return response

    # ── buttons ──────────────────────────────────────────────────────────────────────────────

    async def _act(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        if not browsers.is_same_origin(request.headers):
            return web.Response(
                status=HTTPStatus.FORBIDDEN, text="A page of another site sent this.\n"
            )
        page = self._pages.get(parts[0]) if len(parts) == 2 else None
        action = page.actions.get(parts[1]) if page is not None else None
        content = await body.read(request, FORM_LIMIT)
        if content is None:
            refused_body = web.Response(status=413, text="A form of 64 KB is the largest.\n")
            refused_body.force_close()  # the rest of it need not be read
            return refused_body
        if page is None or action is None:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="There is no such button.\n")
        form = dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
        try:
            note, is_bad = await action(self._system, form), False
        except Refused as refused:
            note, is_bad = f"Not done: {refused}.", True
        except psycopg.Error as error:
            note, is_bad = f"Not done: the database answered {type(error).__name__}.", True
        except Exception as error:
            note, is_bad = f"Not done: {_describe_fault(page.name, error)['problem']}", True
        return self._redirect(form.get("back", ""), note, is_bad=is_bad)

    def _redirect(self, back: str, note: str, *, is_bad: bool) -> web.Response:
        """Return to the page *back*, which shows *note*."""
        target = _split(back)
        path = target.path if self.serves(target.path) else PATH
        name = secrets.token_urlsafe(8)
        self._notes[name] = note, is_bad
        if len(self._notes) > NOTES_KEPT:
            self._notes.popitem(last=False)
        query = [pair for pair in parse_qsl(target.query) if pair[0] != "note"]
        location = f"{path}?{urlencode([*query, ('note', name)])}"
        return web.Response(status=303, headers={**HEADERS, "Location": location})


def _split(address: str) -> SplitResult:
    """Return the parts of an address that a browser sent; empty ones of what is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _describe_fault(page: str, error: Exception) -> dict[str, str]:
    """Log where the dashboard itself failed, and return what its page says. The text of the error
    is left out: it may quote what it was about."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    _LOGGER.error("the page %s failed: %s at %s", page, type(error).__name__, place)
    return {
        "problem": f"This page failed: {type(error).__name__} at {place}.",
        "step": "It is a fault of the dashboard; the other pages and the system go on.",
    }
