"""The client of API Gateway's ``@connections``: many concurrent posts over kept TCP connections.

It uses aiohttp and its own signature: httpx's pool is quadratic in its connections, and boto3 needs
a thread and three times the CPU for each post (``make bench-broadcast``). aiohttp is imported with
this module, which only the functions that post import.

An environment has one event loop, so TCP connections outlive an invocation. A broken one is
replaced, and a post whose response was lost is sent again: clients drop a ``seq`` that they have.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import yarl

from ullgetthejob.platform import aws, settings, tls

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

Result = TypeVar("Result")

MAX_CONCURRENT_POSTS = 128  # TCP connections: a TLS handshake costs more than sharing one does
CONNECT_TIMEOUT_S = 2
REPLY_TIMEOUT_S = 6  # all attempts, and waiting for a free TCP connection
ATTEMPTS = 4
BACKOFF_S = 0.05
BUSY = 429
GONE = 410
TOO_LONG = 413


class PostFailed(Exception):
    """Base of the reasons why a post failed."""


class ConnectionGone(PostFailed):
    """API Gateway does not know the connection, or it has ended."""


class SlowConsumer(PostFailed):
    """API Gateway accepts no more messages for this connection at the moment."""


class PostTimeout(SlowConsumer):
    """API Gateway did not respond in time."""


class MessageTooLong(PostFailed):
    """The message is larger than API Gateway accepts."""


class PostRefused(PostFailed):
    """API Gateway refused or failed, or is unreachable; *status*: its HTTP status, or 0."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Sockets:
    """The connections of the API at *endpoint*, such as ``https://….amazonaws.com/ws``. An instance
    belongs to one event loop."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._origin = f"{address.scheme}://{address.netloc}"
        self._host = address.netloc
        self._path = address.path.rstrip("/")
        self._region = settings.AWS_REGION()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONCURRENT_POSTS,
                keepalive_timeout=60,
                ssl=tls.context() if address.scheme == "https" else True,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
        )

    async def post(self, connection_id: str, message: bytes) -> None:
        """Post a message. Raises :class:`ConnectionGone`, :class:`SlowConsumer`,
        :class:`MessageTooLong` or :class:`PostRefused`."""
        status = await self._request_with_retries("POST", connection_id, message)
        if status >= 300 or not status:
            raise error_for_status(status)

    async def close(self, connection_id: str) -> None:
        """Close the connection, unless it has ended already. Raises :class:`PostFailed`."""
        status = await self._request_with_retries("DELETE", connection_id, b"")
        if (status >= 300 and status not in (GONE, 404)) or not status:
            raise error_for_status(status)

    async def is_gone(self, connection_id: str) -> bool:
        """Return whether API Gateway reports the connection as gone; ``False`` if it fails."""
        try:
            return await self._request_with_retries("GET", connection_id, b"") == GONE
        except PostFailed:
            return False

    async def find_gone(self, connection_ids: Iterable[str]) -> list[str]:
        """Return the ids of the connections that are gone."""
        ids = list(connection_ids)
        gone = await asyncio.gather(*map(self.is_gone, ids))
        return [connection_id for connection_id, is_gone in zip(ids, gone, strict=True) if is_gone]

    async def stop(self) -> None:
        """Close the TCP connections."""
        await self._session.close()

    async def _request_with_retries(self, method: str, connection_id: str, body: bytes) -> int:
        """Return the status of the first response that is final, or of the last attempt; 0 if that
        had none. Raises :class:`PostTimeout`."""
        status = 0
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                for attempt in range(ATTEMPTS):
                    if attempt:
                        pause_s = BACKOFF_S * 2**attempt * random.random()  # noqa: S311 - jitter
                        await asyncio.sleep(pause_s)
                    status = await self._request(method, connection_id, body)
                    if status not in (0, BUSY) and status < 500:
                        break
        except TimeoutError:
            raise PostTimeout from None
        return status

    async def _request(self, method: str, connection_id: str, body: bytes) -> int:
        """Return the status of the response, or 0 when there is none."""
        name = quote(connection_id, safe="")
        headers = aws.signed(
            {"host": self._host},
            body,
            "execute-api",
            self._region,
            method=method,
            path=f"{self._path}/%2540connections/{name.replace('%', '%25')}",
        )
        url = yarl.URL(f"{self._origin}{self._path}/%40connections/{name}", encoded=True)
        try:
            async with self._session.request(method, url, data=body, headers=headers) as response:
                if response.status != 200:  # the body of a 200 is empty
                    await response.read()
                return response.status
        except (aiohttp.ClientError, OSError):
            return 0


def error_for_status(status: int) -> PostFailed:
    """Return the error that an HTTP status of ``@connections`` means."""
    known: dict[int, type[PostFailed]] = {
        GONE: ConnectionGone,
        BUSY: SlowConsumer,
        TOO_LONG: MessageTooLong,
    }
    return known[status]() if status in known else PostRefused(status)


# ── one loop per environment ─────────────────────────────────────────────────────────────────────

_runner: asyncio.Runner | None = None
_sockets: dict[str, Sockets] = {}


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* in the environment's event loop and return its result."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    # By default a runner works in the context of its first use: in the trace of that invocation.
    return _runner.run(work, context=contextvars.copy_context())


def client_for(endpoint: str) -> Sockets:
    """Return the environment's client for *endpoint*. To be called in its event loop."""
    if endpoint not in _sockets:
        _sockets[endpoint] = Sockets(endpoint)
    return _sockets[endpoint]


def close_all() -> None:
    """Close the environment's clients and its event loop."""
    global _runner
    if _runner is None:
        return
    for client in _sockets.values():
        _runner.run(client.stop())
    _sockets.clear()
    _runner.close()
    _runner = None
