"""The client of API Gateway's ``@connections``: posts in threads over kept TCP connections.

Its signatures are those of :mod:`ullgetthejob.platform.aws`: boto3 needs several times the CPU for
each post (``make bench-broadcast``).

TCP connections outlive an invocation (:mod:`ullgetthejob.platform.kept_connections`). A post whose
response was lost is sent again: clients drop a ``seq`` that they have.
"""

from __future__ import annotations

import contextvars
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.kept_connections import KeptConnections, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")

MAX_CONCURRENT_POSTS = 64  # threads, each with a TCP connection
CONNECT_TIMEOUT_S = 2
REPLY_TIMEOUT_S = 6  # all attempts
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
    """The connections of the API at *endpoint*, such as ``https://….amazonaws.com/ws``. Threads
    share an instance."""

    def __init__(self, endpoint: str) -> None:
        self._connections = KeptConnections(endpoint, connect_timeout_s=CONNECT_TIMEOUT_S)
        self._path = urlsplit(endpoint).path.rstrip("/")
        self._region = settings.AWS_REGION()

    def post(self, connection_id: str, message: bytes) -> None:
        """Post a message. Raises :class:`ConnectionGone`, :class:`SlowConsumer`,
        :class:`MessageTooLong` or :class:`PostRefused`."""
        status = self._request_with_retries("POST", connection_id, message)
        if status >= 300 or not status:
            raise error_for_status(status)

    def close(self, connection_id: str) -> None:
        """Close the connection, unless it has ended already. Raises :class:`PostFailed`."""
        status = self._request_with_retries("DELETE", connection_id, b"")
        if (status >= 300 and status not in (GONE, 404)) or not status:
            raise error_for_status(status)

    def is_gone(self, connection_id: str) -> bool:
        """Return whether API Gateway reports the connection as gone; ``False`` if it fails."""
        try:
            return self._request_with_retries("GET", connection_id, b"") == GONE
        except PostFailed:
            return False

    def find_gone(self, connection_ids: Iterable[str]) -> list[str]:
        """Return the ids of the connections that are gone. Not to be called in a thread of
        :func:`submit`, for which it waits."""
        asked = [(name, submit(partial(self.is_gone, name))) for name in connection_ids]
        return [connection_id for connection_id, is_gone in asked if is_gone.result()]

    def stop(self) -> None:
        """Close the TCP connections."""
        self._connections.close()

    def _request_with_retries(self, method: str, connection_id: str, body: bytes) -> int:
        """Return the status of the first response that is final, or of the last attempt; 0 if that
        had none. Raises :class:`PostTimeout`."""
        status, deadline = 0, time.monotonic() + REPLY_TIMEOUT_S
        for attempt in range(ATTEMPTS):
            if attempt:
                pause_s = BACKOFF_S * 2**attempt * random.random()  # noqa: S311 - jitter
                time.sleep(max(0.0, min(pause_s, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                raise PostTimeout
            status = self._request(method, connection_id, body, deadline)
            if status not in (0, BUSY) and status < 500:
                break
        return status

    def _request(self, method: str, connection_id: str, body: bytes, deadline: float) -> int:
        """Return the status of the response, or 0 when there is none. Raises
        :class:`PostTimeout`."""
        name = quote(connection_id, safe="")
        headers = aws.signed(
            {"host": self._connections.host},
            body,
            "execute-api",
            self._region,
            method=method,
            path=f"{self._path}/%2540connections/{name.replace('%', '%25')}",
            digest=_digest_of(body),
        )
        path = f"{self._path}/%40connections/{name}"
        try:
            return self._connections.exchange(method, path, headers, body, deadline).status
        except TimeoutError:
            raise PostTimeout from None
        except Unreachable:
            return 0


# A message is posted to many sockets; the hash of one that is 4 KB long costs a release of the GIL.
_digest_of = lru_cache(maxsize=8)(aws.digest_of)


def error_for_status(status: int) -> PostFailed:
    """Return the error that an HTTP status of ``@connections`` means."""
    known: dict[int, type[PostFailed]] = {
        GONE: ConnectionGone,
        BUSY: SlowConsumer,
        TOO_LONG: MessageTooLong,
    }
    return known[status]() if status in known else PostRefused(status)


# ── what an environment keeps ────────────────────────────────────────────────────────────────────

_threads: ThreadPoolExecutor | None = None
_sockets: dict[str, Sockets] = {}


def submit(call: Callable[[], Result]) -> Future[Result]:
    """Run *call* in one of the environment's threads, in the trace of the caller."""
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(MAX_CONCURRENT_POSTS, thread_name_prefix="sockets")
    return _threads.submit(contextvars.copy_context().run, call)


def client_for(endpoint: str) -> Sockets:
    """Return the environment's client for *endpoint*."""
    return _sockets.get(endpoint) or _sockets.setdefault(endpoint, Sockets(endpoint))


def close_all() -> None:
    """End the environment's threads and close its connections."""
    global _threads
    if _threads is not None:
        _threads.shutdown()
        _threads = None
    while _sockets:
        _sockets.popitem()[1].stop()
