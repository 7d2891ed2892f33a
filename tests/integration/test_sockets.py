"""The client of ``@connections``: requests, errors by status, and broken TCP connections."""

import socketserver
import threading
from functools import partial
from urllib.parse import unquote

import boto3
import pytest

from local.template.cloudformation import REGION
from tests.fixtures.aws import CREDENTIALS
from ullgetthejob.realtime import sockets

ID = "L0SM9cOFvHcCIhw="


@pytest.fixture
def environment(monkeypatch):
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    yield
    sockets.close_all()


def post(management, id=ID, message=b"{}"):
    sockets.client_for(management.endpoint).post(id, message)


def close(management, id=ID):
    sockets.client_for(management.endpoint).close(id)


def test_requests_equal_those_of_boto3(environment, management):
    post(management, message=b'{"seq": 1}')
    make = boto3.client
    client = make(
        "apigatewaymanagementapi",
        endpoint_url=management.endpoint,
        region_name=REGION,
        **CREDENTIALS,
    )
    client.post_to_connection(ConnectionId=ID, Data=b'{"seq": 2}')
    ours, theirs = management.signed
    # The server encodes the received path again and compares, so both forms are valid.
    assert ours[0] == "/ws/%40connections/L0SM9cOFvHcCIhw%3D"
    assert unquote(ours[0]) == unquote(theirs[0])
    assert [message["seq"] for message in management.messages[ID]] == [1, 2]
    close(management)
    assert management.closed == [ID]


@pytest.mark.parametrize(
    ("status", "error", "times"),
    [
        (410, sockets.ConnectionGone, 1),
        (413, sockets.MessageTooLong, 1),
        (403, sockets.PostRefused, 1),
        (429, sockets.SlowConsumer, sockets.ATTEMPTS),
        (500, sockets.PostRefused, sockets.ATTEMPTS),
        (504, sockets.PostRefused, sockets.ATTEMPTS),
    ],
)
def test_status_becomes_its_error(environment, management, status, error, times):
    management.answers[ID] = lambda: status
    with pytest.raises(error) as raised:
        post(management)
    assert len(management.signed) == times
    assert getattr(raised.value, "status", status) == status


def test_close_ignores_gone_and_raises_refused(environment, management):
    management.answers[ID] = lambda: 410
    close(management)
    management.answers[ID] = lambda: 403
    with pytest.raises(sockets.PostRefused):
        close(management)


def test_missing_response_raises_slow_consumer(environment, management, monkeypatch):
    monkeypatch.setattr(sockets, "REPLY_TIMEOUT_S", 0.2)
    management.slow[ID] = 30
    with pytest.raises(sockets.SlowConsumer):
        post(management)
    assert len(management.signed) == 1
    post(management, "other=")


def test_unreachable_endpoint_raises_refused(environment, management):
    with pytest.raises(sockets.PostRefused) as raised:
        sockets.client_for("http://127.0.0.1:1/ws").post(ID, b"{}")
    assert raised.value.status == 0


class Ends(socketserver.StreamRequestHandler):
    """Answers a request, then reads another and closes the connection."""

    def handle(self):
        self._read_request()
        self.server.answered.append(self.client_address)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self._read_request()

    def _read_request(self):
        while self.rfile.readline().strip():
            pass
        self.rfile.read(2)


@pytest.fixture
def ends():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ends) as server:
        server.answered = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
        sockets.close_all()


def test_broken_tcp_connections_are_replaced(environment, ends):
    """API Gateway has closed them while the environment was frozen."""
    client = sockets.client_for(f"http://127.0.0.1:{ends.server_address[1]}/ws")
    together = threading.Barrier(sockets.ATTEMPTS)

    def post_at_once():
        together.wait()
        client.post(ID, b"{}")

    for _ in range(2):  # then on the kept connections, which end without an answer
        for posted in [sockets.submit(post_at_once) for _ in range(sockets.ATTEMPTS)]:
            posted.result()
    assert len(set(ends.answered)) == 2 * sockets.ATTEMPTS


def test_client_and_its_connections_outlive_an_invocation(environment, management):
    def post_many():
        client = sockets.client_for(management.endpoint)
        calls = [partial(client.post, f"c-{number}=", b"{}") for number in range(300)]
        for posted in [sockets.submit(call) for call in calls]:
            posted.result()
        return client

    assert post_many() is post_many()
    assert all(len(management.messages[f"c-{number}="]) == 2 for number in range(300))


def test_gone_connections_are_found_at_once(environment, management):
    management.answers["b="] = lambda: 410
    management.answers["c="] = lambda: 500
    assert sockets.client_for(management.endpoint).find_gone(["a=", "b=", "c="]) == ["b="]
