"""Starting and stopping the receivers, in the process that calls this."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

from aiohttp import web

from local import browsers
from local.disk import is_full_error
from local.receivers import bot_api, control, hooks, updates
from local.receivers.state import RECEIVERS, Receivers, Settings
from local.request_deadlines import AppRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOST = "127.0.0.1"


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse calls of foreign pages to the control routes, and answer 507 on a full disk."""
    is_control = request.path.startswith(control.PREFIX)
    if is_control and (refused := browsers.refusal(request.method, request.headers)) is not None:
        return web.json_response({"error": refused}, status=403)
    try:
        return await handler(request)
    except (OSError, sqlite3.Error) as error:
        if not is_full_error(error):
            raise
        return web.json_response({"error": "the disk under DATA_DIR is full"}, status=507)


def create_app(receivers: Receivers) -> web.Application:
    """Return the HTTP side: Bot API, webhook receivers and control routes."""
    app = web.Application(middlewares=[middleware])
    app[RECEIVERS] = receivers
    app.router.add_route("*", "/bot{token:[^/]+}/{method:[A-Za-z]+}", bot_api.call)
    app.router.add_post("/hooks/{name}", hooks.receive)
    for verb, path, handler in control.ROUTES:
        app.router.add_route(verb, path, handler)
    return app


@contextlib.asynccontextmanager
async def serving(settings: Settings, *, port: int, smtp_port: int) -> AsyncIterator[Receivers]:
    """Serve HTTP on *port* and SMTP on *smtp_port* while the context is open. Raises ``OSError``
    for a taken port."""
    from local.receivers import smtp  # aiosmtpd loads while other services start

    receivers = Receivers(settings)
    runner = AppRunner(create_app(receivers), access_log=None, shutdown_timeout=0.1)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(receivers.store.close)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, port).start()
        mail = await smtp.serve(receivers, HOST, smtp_port)
        stack.callback(mail.close)
        delivering = asyncio.create_task(updates.deliver(receivers))
        stack.push_async_callback(_cancel, delivering)
        yield receivers


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
