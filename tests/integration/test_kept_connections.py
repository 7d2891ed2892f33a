"""HTTP/1.1 over kept connections: framing of responses, broken servers, deadlines and TLS."""

import socket
import ssl
import threading
import time
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.certificates import issue
from ullgetthejob.platform import tls
from ullgetthejob.platform.kept_connections import KeptConnections, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADERS = {"host": "localhost", "x-name": "value"}


@contextmanager
def server_of(*scripts, context=None):
    """Serve each TCP connection by one of *scripts*: of each, the pieces of the response to a
    request, or ``None`` to wait without one. After its last request a connection is closed.

    Yields the URL and a list of the requests, which it adds to: (number of the connection, bytes).
    """
    listening = socket.create_server(("127.0.0.1", 0))
    requests, ended = [], threading.Event()

    def serve():
        for number, script in enumerate(scripts):
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(number, plain, script), daemon=True).start()

    def answer(number, plain, script):
        try:
            accepted = context.wrap_socket(plain, server_side=True) if context else plain
        except OSError:
            plain.close()
            return
        with accepted:
            for pieces in script:
                request = read_request(accepted)
                if not request:
                    return
                requests.append((number, request))
                if pieces is None:
                    ended.wait()
                    return
                for piece in pieces:
                    accepted.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/ws", requests
    finally:
        ended.set()
        listening.close()


def read_request(accepted):
    received = b""
    while b"\r\n\r\n" not in received:
        part = accepted.recv(65_536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.rpartition(b"content-length: ")[2])
    while len(body) < length:
        body += accepted.recv(65_536)
    return head + b"\r\n\r\n" + body


def exchange(kept, *, body=b"{}", headers=HEADERS, within_s=60):
    return kept.exchange("POST", "/p", headers, body, time.monotonic() + within_s)


@pytest.fixture
def connect():
    """Return a function that makes the connections to a server, closed at the end."""
    made = []

    def make(url):
        made.append(KeptConnections(url, connect_timeout_s=5))
        return made[-1]

    yield make
    for kept in made:
        kept.close()


def test_request_is_sent_with_its_headers_and_length(connect):
    with server_of([[OK]]) as (url, requests):
        response = exchange(connect(url), body=b"body")
    assert (response.status, response.headers, response.body) == (
        200,
        {"content-length": "2"},
        b"ok",
    )
    head = "POST /p HTTP/1.1\r\nhost: localhost\r\nx-name: value\r\naccept-encoding: identity\r\n"
    assert requests == [(0, f"{head}content-length: 4\r\n\r\nbody".encode())]


@pytest.mark.parametrize("header", ["a\r\nx-evil: 1", "a\nb", "a\rb"])
def test_header_with_a_line_break_is_refused(connect, header):
    with server_of([[OK]]) as (url, requests):
        with pytest.raises(ValueError, match="line break"):
            exchange(connect(url), headers={"host": header})
        assert requests == []


# framing of a response: its head and its body, and whether its connection is kept
FRAMINGS = {
    "length": lambda body: (b"200 OK\r\ncontent-LENGTH:  %d\r\n" % len(body), body, True),
    "chunks": lambda body: (b"200 OK\r\nTransfer-Encoding: chunked\r\n", chunked(body), True),
    "end": lambda body: (b"200 OK\r\n", body, False),
    "close": lambda body: (
        b"200 OK\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body),
        body,
        False,
    ),
}


def chunked(body):
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    chunks = b"".join(b"%x;note=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return chunks + b"0\r\nx-trailer: 1\r\n\r\n"


@settings(deadline=None, max_examples=60)
@given(
    framing=st.sampled_from(sorted(FRAMINGS)),
    body=st.binary(max_size=40),
    interim=st.booleans(),
    cuts=st.lists(st.integers(0, 150), max_size=5),
)
def test_body_is_read_whole_in_every_framing(framing, body, interim, cuts):
    head, framed, is_kept = FRAMINGS[framing](body)
    whole = b"HTTP/1.1 100 Continue\r\n\r\n" * interim + b"HTTP/1.1 " + head + b"\r\n" + framed
    places = sorted({0, *cuts, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    first = [pieces, [OK]] if is_kept else [pieces]
    with server_of(first, [[OK]]) as (url, requests):
        kept = KeptConnections(url, connect_timeout_s=5)
        response = exchange(kept)
        assert (response.status, response.body) == (200, body)
        assert exchange(kept).body == b"ok"
        kept.close()
    assert [number for number, _ in requests] == [0, 0 if is_kept else 1]


def test_response_without_content_keeps_its_connection(connect):
    with server_of([[b"HTTP/1.1 204 No Content\r\n\r\n"], [OK]]) as (url, requests):
        kept = connect(url)
        assert exchange(kept).status == 204
        assert exchange(kept).body == b"ok"
    assert [number for number, _ in requests] == [0, 0]


@pytest.mark.parametrize("surplus", [OK, b"x"])
def test_surplus_bytes_are_of_no_later_response(connect, surplus):
    with server_of([[OK + surplus], [OK]], [[OK.replace(b"ok", b"no")]]) as (url, _):
        kept = connect(url)
        assert [exchange(kept).body, exchange(kept).body] == [b"ok", b"no"]


def test_version_1_0_keeps_no_connection(connect):
    old = OK.replace(b"HTTP/1.1", b"HTTP/1.0")
    with server_of([[old], [old]], [[OK]]) as (url, requests):
        kept = connect(url)
        assert exchange(kept).body == exchange(kept).body
    assert [number for number, _ in requests] == [0, 1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded: 1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent\r\n\r\nok",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_broken_response_of_a_new_connection_is_unreachable(connect, answer):
    with server_of([[answer]], [[OK]]) as (url, requests), pytest.raises(Unreachable):
        exchange(connect(url))
    assert len(requests) == 1


def test_connections_that_ended_are_replaced(connect):
    with server_of([[OK]], [[OK], [b""]], [[OK]]) as (url, requests):
        kept = connect(url)
        assert [exchange(kept).body for _ in range(3)] == [b"ok"] * 3
    assert [number for number, _ in requests] == [0, 1, 1, 2]


def test_silent_server_raises_at_the_deadline(connect):
    with server_of([None], [[OK]]) as (url, requests):
        kept = connect(url)
        with pytest.raises(TimeoutError):
            exchange(kept, within_s=0.05)
        assert exchange(kept).body == b"ok"  # and not on the connection that owes a response
    assert [number for number, _ in requests] == [0, 1]


def test_missing_server_is_unreachable(connect):
    with pytest.raises(Unreachable):
        exchange(connect("http://127.0.0.1:1"))


@pytest.fixture
def tls_context(tmp_path, monkeypatch):
    """Return the context of a server at 127.0.0.1 that functions trust."""
    server, authority = issue(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    tls.context.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    yield context
    tls.context.cache_clear()


def test_long_bodies_are_exchanged_over_tls(connect, tls_context):
    long = b"0123456789" * 200_000  # fills the buffers of both sides, so that both wait
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(long)
    with server_of([[answer, long], [OK]], context=tls_context) as (url, requests):
        kept = connect(url)
        assert exchange(kept, body=long).body == long
        assert exchange(kept).body == b"ok"
    assert [number for number, _ in requests] == [0, 0]
    assert requests[0][1].endswith(long)


def test_server_of_another_authority_is_unreachable(connect, tls_context, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    tls.context.cache_clear()
    with server_of([[OK]], context=tls_context) as (url, requests):
        with pytest.raises(Unreachable):
            exchange(connect(url))
        assert requests == []


def test_certificate_of_another_host_is_unreachable(connect, tls_context):
    with server_of([[OK]], context=tls_context) as (url, requests):
        with pytest.raises(Unreachable):
            exchange(connect(url.replace("127.0.0.1", "localhost")))
        assert requests == []
