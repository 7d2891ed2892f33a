"""The client of ``@connections``: requests, errors by status, and broken TCP connections."""

import asyncio
import contextlib
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
    async def posted():
        await sockets.client_for(management.endpoint).post(id, message)

    return sockets.run(posted())


def close(management, id=ID):
    async def closed():
        await sockets.client_for(management.endpoint).close(id)

    return sockets.run(closed())


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
    async def nowhere():
        await sockets.client_for("http://127.0.0.1:1/ws").post(ID, b"{}")

    with pytest.raises(sockets.PostRefused) as raised:
        sockets.run(nowhere())
    assert raised.value.status == 0


def test_broken_tcp_connection_is_replaced(environment):
    """API Gateway has closed it while the environment was frozen."""
    seen = []

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            seen.append(writer.get_extra_info("peername"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            if len(seen) == 2:  # the second request is read, and never answered
                writer.transport.abort()
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            writer.transport.abort()

    async def started():
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    server = sockets.run(started())
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"

    async def posted():
        await sockets.client_for(endpoint).post(ID, b"{}")

    sockets.run(posted())
    sockets.run(posted())  # on the kept connection, which ends without an answer
    assert len(seen) >= 2

    async def stopped():
        server.close()
        await server.wait_closed()

    sockets.run(stopped())


def test_client_and_its_connections_outlive_an_invocation(environment, management):
    async def post_many():
        client = sockets.client_for(management.endpoint)
        await asyncio.gather(*(client.post(f"c-{number}=", b"{}") for number in range(300)))
        return client

    assert sockets.run(post_many()) is sockets.run(post_many())
    assert all(len(management.messages[f"c-{number}="]) == 2 for number in range(300))


def test_tls_endpoint_is_verified(environment, monkeypatch):
    async def create():
        return sockets.client_for("https://localhost:1/ws")

    client = sockets.run(create())
    assert client._session.connector._ssl is sockets.tls.context()
