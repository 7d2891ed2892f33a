"""HTTP/1.1 over kept TCP connections, for requests that are whole before they are sent.

``http.client`` reads the headers of each response with the parser of e-mail, checks every header of
a request by regular expressions, sends its head and its body apart, and waits for the socket more
often than it must: nearly half of the CPU of a post (docs/decisions/0001-aws-without-sdk.md). Here
a request is one write, and of a response's framing only what RFC 9112 requires is read.

There are as many connections as threads have exchanged at the same time, so that no thread waits
for the response of another. A connection that was closed while the environment was frozen is
replaced, so a request may arrive twice: the caller makes sure that this is harmless.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ullgetthejob.platform import tls

if TYPE_CHECKING:
    from collections.abc import Mapping

PORTS = {"https": 443, "http": 80}
CHUNK_BYTES = 16_384  # a record of TLS
MAX_HEAD_BYTES = 65_536
HEX_DIGITS = b"0123456789abcdefABCDEF"
NO_CONTENT, NOT_MODIFIED = 204, 304


class Unreachable(OSError):
    """There is no connection to the server, or it ended on a new one without a whole response."""


class _Broken(OSError):
    """The connection ended before the response did, or what arrived is no response."""


@dataclass(frozen=True)
class Response:
    """A response; the names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeptConnections:
    """The connections to the server of *url*; the last used is reused first. Threads share it."""

    def __init__(self, url: str, *, connect_timeout_s: float) -> None:
        address = urlsplit(url)
        self.host = address.netloc  # as the header says it
        self._address = address.hostname or "", address.port or PORTS[address.scheme]
        self._is_encrypted = address.scheme == "https"
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[_Connection] = []  # append and pop are atomic

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Response:
        """Send a request and return its response. *headers*: without those of the body's length.

        Raises :class:`Unreachable`, and ``TimeoutError`` if no response has arrived at *deadline*
        (of ``time.monotonic``); ``ValueError`` for a header with a line break.
        """
        request = _head(method, path, headers, len(body)) + body
        while True:
            connection, is_new = self._acquire()
            try:
                response = connection.exchange(request, deadline)
            except TimeoutError:
                connection.close()
                raise
            except OSError as error:
                connection.close()
                if is_new:
                    raise Unreachable from error
                continue  # it had been closed by the server
            if connection.is_reusable:
                self._idle.append(connection)
            else:
                connection.close()
            return response

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _acquire(self) -> tuple[_Connection, bool]:
        """Return an idle connection, else a new one and ``True``. Raises :class:`Unreachable`."""
        try:
            return self._idle.pop(), False
        except IndexError:
            pass
        try:
            return _Connection(self._connect()), True
        except OSError as error:
            raise Unreachable from error

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(self._address, self._connect_timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self._is_encrypted:
                return plain
            return tls.context().wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise


def _head(method: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
    """Return the head of a request. Raises ``ValueError`` for a header with a line break."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    head = "\r\n".join([*lines, "accept-encoding: identity", f"content-length: {length}", "", ""])
    if head.count("\n") != len(lines) + 3 or head.count("\r") != len(lines) + 3:
        raise ValueError("a header has a line break")
    return head.encode("latin-1")


class _Connection:
    """One TCP connection. *is_reusable*: another request may be sent on it."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.is_reusable = True
        self._socket = connected
        self._poll = select.poll()  # select() takes no file descriptor above 1,023
        self._poll.register(connected, select.POLLIN)
        self._awaited: int = select.POLLIN
        self._deadline = 0.0
        self._received = b""

    def exchange(self, request: bytes, deadline: float) -> Response:
        """Send *request* and return the response. Raises ``OSError``, of it ``TimeoutError``."""
        self._deadline = deadline
        self._received = b""
        self._send(request)
        self._wait(select.POLLIN)  # there is nothing to read yet
        response = self._read_response()
        if self._received:  # more than one response: it is of no request
            self.is_reusable = False
        return response

    def close(self) -> None:
        self._socket.close()

    # ── responses ────────────────────────────────────────────────────────────────────────────────

    def _read_response(self) -> Response:
        while True:
            status, headers = self._read_head()
            if status >= 200:
                break  # not an interim response, such as 100
        return Response(status, headers, self._read_body(status, headers))

    def _read_head(self) -> tuple[int, dict[str, str]]:
        head, *lines = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = head.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise _Broken
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():  # a folded line, too
                raise _Broken
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if version != "HTTP/1.1" or "close" in headers.get("connection", "").lower():
            self.is_reusable = False
        return int(rest[:3]), headers

    def _read_body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in (NO_CONTENT, NOT_MODIFIED):
            return b""
        length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
        if encoding is not None:
            if encoding.lower() != "chunked" or length is not None:
                raise _Broken
            return self._read_chunks()
        if length is None:
            return self._read_to_end()
        if not length.isdecimal():  # or there are two
            raise _Broken
        return self._read(int(length))

    def _read_chunks(self) -> bytes:
        chunks = []
        while True:
            size = self._read_until(b"\r\n").partition(b";")[0].rstrip()
            if not size or size.strip(HEX_DIGITS):
                raise _Broken
            length = int(size, 16)
            if not length:
                break
            chunks.append(self._read(length))
            if self._read_until(b"\r\n"):
                raise _Broken
        while self._read_until(b"\r\n"):
            pass  # trailers
        return b"".join(chunks)

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────

    def _read_until(self, end: bytes) -> bytes:
        """Return what precedes *end*, and pass over both."""
        while (found := self._received.find(end)) < 0:
            if len(self._received) > MAX_HEAD_BYTES:
                raise _Broken
            self._received += self._receive()
        read = self._received[:found]
        self._received = self._received[found + len(end) :]
        return read

    def _read(self, length: int) -> bytes:
        parts, missing = [self._received], length - len(self._received)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        read = b"".join(parts)
        self._received = read[length:]
        return read[:length]

    def _read_to_end(self) -> bytes:
        self.is_reusable = False
        parts = [self._received]
        self._received = b""
        while part := self._receive_some():
            parts.append(part)
        return b"".join(parts)

    def _receive(self) -> bytes:
        """Return the next bytes. Raises ``OSError`` at the end of the stream."""
        part = self._receive_some()
        if not part:
            raise _Broken
        return part

    def _receive_some(self) -> bytes:
        """Return the next bytes, none at the end of the stream."""
        while True:
            try:
                return self._socket.recv(CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _send(self, request: bytes) -> None:
        while request:
            try:
                request = request[self._socket.send(request) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)

    def _wait(self, event: int) -> None:
        """Wait until the socket is ready for *event*. Raises ``TimeoutError`` at the deadline."""
        if event != self._awaited:
            self._poll.modify(self._socket, event)
            self._awaited = event
        remaining_ms = (self._deadline - time.monotonic()) * 1000
        if remaining_ms <= 0 or not self._poll.poll(remaining_ms):
            raise TimeoutError
