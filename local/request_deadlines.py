"""aiohttp servers that close connections with an unfinished request.

aiohttp waits for the rest for an hour. Such a connection costs a client nothing and occupies the
server ("Slowloris"). The overridden methods are aiohttp's own; a test checks that they still exist.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    import asyncio

HEAD_S = 10.0  # from the connection's or the request's first byte to the last of its head
BODY_S = 30.0  # from there to the last byte of the body: 10 MB at most


class _Handler(RequestHandler):
    """A connection with a deadline for the completion of each request."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._deadline: asyncio.TimerHandle | None = None
        self._last_body: Any = None  # of the last request that has a head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_deadline(HEAD_S)

    def data_received(self, data: bytes) -> None:
        heads, body = self._request_count, self._last_body
        in_body = body is not None and not body.is_eof()
        super().data_received(data)
        if self._upgraded:  # a WebSocket: it has limits of its own
            self._cancel_deadline()
            return
        new_head = self._request_count > heads
        if not data and not new_head:  # aiohttp checks for a buffered request
            return
        if new_head and in_body and not body.is_eof():
            return  # a new request instead of the rest of the body, which never ends
        if new_head and self._messages:
            self._last_body = self._messages[-1][1]
        if (new_head or in_body) and self._last_body.is_eof():
            self._cancel_deadline()
        elif new_head:
            self._cancel_deadline()
            self._start_deadline(BODY_S)
        elif self._deadline is None:
            self._start_deadline(HEAD_S)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _start_deadline(self, seconds: float) -> None:
        self._deadline = self._loop.call_later(seconds, self.force_close)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Deadlines:
    """A runner whose connections are of :class:`_Handler`."""

    _server: Any

    @property
    def server(self) -> Any:
        """Return the factory of connections, which sites read."""
        server = self._server
        if server is None:
            return None
        return partial(_Handler, server, loop=server._loop, **server._kwargs)


class ServerRunner(_Deadlines, web.ServerRunner):
    """aiohttp's runner of a low-level server, with deadlines."""


class AppRunner(_Deadlines, web.AppRunner):
    """aiohttp's runner of an application, with deadlines."""
