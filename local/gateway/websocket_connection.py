"""An open WebSocket connection, with a bounded outbox and limits on its lifetime."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WebSocketError, WSCloseCode, WSMsgType

from local.gateway.frames import MESSAGE_LIMIT, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import WSMessage

    from local.gateway.frames import Socket
    from local.gateway.websocket_events import Client

NO_STATUS = 1005  # the code of a close frame without a code
ABNORMALLY = (1006, "Connection closed abnormally")  # without a close frame


@dataclass(frozen=True)
class Limits:
    """API Gateway's limits, in real time; those of the outbox and the last three are ours.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    """

    idle_s: float = 600
    life_s: float = 7200
    integration_s: float = 29
    outbox_messages: int = 64
    outbox_bytes: int = 1024 * 1024
    flush_s: float = 1  # for the outbox, before a connection is closed
    close_wait_s: float = 2  # for the client to close its end
    stop_s: float = 5  # for $disconnect of all, when the gateway stops


class OutboxFull(Exception):
    """The client does not read its messages."""


class Connection:
    """An open connection to *client*.

    Posted messages wait in an outbox for a task of the connection, so that a client that does not
    read blocks no caller. Call :meth:`close` or read :meth:`messages` to the end.
    """

    def __init__(
        self, client: Client, socket: Socket, transport: asyncio.Transport, limits: Limits
    ) -> None:
        self.client = client
        self.last_active_at = client.connected_at
        self._socket = socket
        self._transport = transport
        self._limits = limits
        self._end: tuple[int, str] | None = None
        self._closed = asyncio.Event()  # at this end
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._unsent_messages = self._unsent_bytes = 0
        self._opened = self._active = time.monotonic()
        self._tasks = [asyncio.ensure_future(self._send()), asyncio.ensure_future(self._expire())]

    @property
    def closing(self) -> bool:
        """Return whether delivery has ended."""
        return self._end is not None

    @property
    def end(self) -> tuple[int, str]:
        """Return the code and the reason of the close."""
        return self._end or ABNORMALLY

    def post(self, data: bytes) -> None:
        """Queue *data* to be sent. Raises :class:`OutboxFull`."""
        if (
            self._unsent_messages >= self._limits.outbox_messages
            or self._unsent_bytes + len(data) > self._limits.outbox_bytes
        ):
            raise OutboxFull
        self._unsent_messages += 1
        self._unsent_bytes += len(data)
        self._outbox.put_nowait(data)

    async def messages(self) -> AsyncGenerator[str, None]:
        """Yield the client's messages until the connection is closed."""
        try:
            while True:
                received = await self._socket.receive()
                if received.type is not WSMsgType.TEXT:
                    await self._finish(received)
                    return
                if len(received.data.encode()) > MESSAGE_LIMIT:
                    await self.close(WSCloseCode.MESSAGE_TOO_BIG, "")
                    return
                self._touch()
                yield received.data
        finally:
            self._end = self.end
            for task in self._tasks:
                task.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Close the connection once posted messages are sent, and wait for that."""
        self.close_soon(code, reason)
        await self._closed.wait()

    def close_soon(self, code: int, reason: str) -> None:
        """Begin to close without waiting; nothing is delivered from now on."""
        if self._end is None:
            self._end = (code, reason)
            self._shutting = asyncio.ensure_future(self._shut(code, reason))

    async def _shut(self, code: int, reason: str) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._outbox.join(), self._limits.flush_s)
        try:
            await self._socket.close(code=code, message=reason.encode(), drain=False)
        finally:
            if self._socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
                # The client did not close its end; it may not even read what has been sent.
                self._transport.abort()
            self._closed.set()

    async def _finish(self, received: WSMessage) -> None:
        """End the connection after a message that is not text."""
        if received.type is WSMsgType.BINARY:
            await self.close(WSCloseCode.UNSUPPORTED_DATA, "")
        elif isinstance(received.data, TooLarge):
            await self.close(WSCloseCode.MESSAGE_TOO_BIG, "")
        elif self._end is not None:
            await self._closed.wait()
        elif received.type is WSMsgType.CLOSE:
            code = received.data or NO_STATUS
            missing = "Client-side close frame status not set" if code == NO_STATUS else ""
            self._end = (code, received.extra or missing)
        elif isinstance(received.data, WebSocketError):
            self._end = (received.data.code, "")

    def _touch(self) -> None:
        self._active, self.last_active_at = time.monotonic(), time.time()

    async def _send(self) -> None:
        while True:
            data = await self._outbox.get()
            with contextlib.suppress(ConnectionError):
                try:
                    await self._socket.send_str(data.decode())
                except UnicodeDecodeError:
                    await self._socket.send_bytes(data)
                self._touch()
            self._unsent_messages -= 1
            self._unsent_bytes -= len(data)
            self._outbox.task_done()

    async def _expire(self) -> None:
        """Close the connection at its maximum lifetime, or when idle for too long."""
        while True:
            due = min(self._active + self._limits.idle_s, self._opened + self._limits.life_s)
            if (left_s := due - time.monotonic()) <= 0:
                break
            await asyncio.sleep(left_s)
        self.close_soon(WSCloseCode.GOING_AWAY, "Going away")
