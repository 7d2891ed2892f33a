"""The sockets themselves: API Gateway's ``@connections``, many posts at once over kept connections.

aiohttp and a signature of our own: httpx's pool is quadratic in its connections, and boto3 needs a
thread and three times the CPU for each post (``make bench-broadcast``). aiohttp is loaded with this
module, which only those load that post.

One event loop an environment, so that connections outlive an invocation. One that died meanwhile is
replaced, and a post whose answer was lost is sent again: clients drop a ``seq`` that they have.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import yarl

from ullgetthejob.platform import aws, settings, tls

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

Outcome = TypeVar("Outcome")

MAX_CONCURRENT_POSTS = 128  # TCP connections: a TLS handshake costs more than sharing one does
CONNECT_TIMEOUT_S = 2
REPLY_TIMEOUT_S = 6  # all tries, and waiting for one of the connections
ATTEMPTS = 4
BACKOFF_S = 0.05
BUSY = 429
GONE = 410
TOO_LONG = 413


class PostFailed(Exception):
    """Base of what can become of a post."""


class ConnectionGone(PostFailed):
    """There is no such connection (any more)."""


class SlowConsumer(PostFailed):
    """API Gateway takes no more for this connection at the moment."""


class PostTimeout(SlowConsumer):
    """It takes too long to say anything."""


class MessageTooLong(PostFailed):
    """The message is larger than API Gateway takes."""


class PostRefused(PostFailed):
    """API Gateway refused or failed, or cannot be reached; *status*: its own, or 0."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Sockets:
    """The connections of the API at *endpoint*, such as ``https://….amazonaws.com/ws``. Lives in
    one event loop."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._origin = f"{address.scheme}://{address.netloc}"
        self._host = address.netloc
        self._path = address.path.rstrip("/")
        self._region = settings.text("AWS_REGION")
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
        """Send a message. Raises :class:`Gone`, :class:`Slow`, :class:`TooLong` or
        :class:`Refused`."""
        status = await self._answered("POST", connection_id, message)
        if status >= 300 or not status:
            raise error_for_status(status)

    async def close(self, connection_id: str) -> None:
        """End the connection; one that is over already is fine. Raises :class:`NotPosted`."""
        status = await self._answered("DELETE", connection_id, b"")
        if (status >= 300 and status not in (GONE, 404)) or not status:
            raise error_for_status(status)

    async def is_gone(self, connection_id: str) -> bool:
        """Whether API Gateway says that there is no such connection; what it does not say is no."""
        try:
            return await self._answered("GET", connection_id, b"") == GONE
        except PostFailed:
            return False

    async def gone(self, connection_ids: Iterable[str]) -> list[str]:
        """Those of the connections that are gone."""
        ids = list(connection_ids)
        answers = await asyncio.gather(*map(self.is_gone, ids))
        return [id for id, is_gone in zip(ids, answers, strict=True) if is_gone]

    async def stop(self) -> None:
        """Close what is kept alive."""
        await self._session.close()

    async def _answered(self, method: str, connection_id: str, body: bytes) -> int:
        """The status of the answer, once it is worth no further try; 0 when there is none. Raises
        :class:`Silent`."""
        status = 0
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                for attempt in range(ATTEMPTS):
                    if attempt:
                        pause_s = BACKOFF_S * 2**attempt * random.random()  # noqa: S311 - jitter
                        await asyncio.sleep(pause_s)
                    status = await self._ask(method, connection_id, body)
                    if status not in (0, BUSY) and status < 500:
                        break
        except TimeoutError:
            raise PostTimeout from None
        return status

    async def _ask(self, method: str, connection_id: str, body: bytes) -> int:
        """The status of the answer; 0 when there is none."""
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
                if response.status != 200:  # that one is empty
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


# ── the environment's ────────────────────────────────────────────────────────────────────────────

_runner: asyncio.Runner | None = None
_sockets: dict[str, Sockets] = {}


def run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """What *work* comes to, in the environment's event loop."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner.run(work)


def client_for(endpoint: str) -> Sockets:
    """The environment's sockets at *endpoint*; to be called in its event loop."""
    if endpoint not in _sockets:
        _sockets[endpoint] = Sockets(endpoint)
    return _sockets[endpoint]


def close_all() -> None:
    """Close the environment's loop and all that lives in it."""
    global _runner
    if _runner is None:
        return
    for one in _sockets.values():
        _runner.run(one.stop())
    _sockets.clear()
    _runner.close()
    _runner = None
