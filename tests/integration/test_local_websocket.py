"""The local WebSocket API: a real client, the real gateway, real function processes."""

import asyncio
import contextlib
import json
import socket
import textwrap
import time

import aiohttp
import boto3
import pytest
from aiohttp import WSMsgType
from botocore.exceptions import ClientError

from local.child import Lifeline
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.gateway.websocket_connection import Limits
from local.template.resources import Function, HttpApi, Route, Template, WebSocketApi
from tests.fixtures.waiting import until_holds

HANDLER = """
    import json, os, pathlib, time

    def act(what):
        match what:
            case "raise": raise ValueError("private detail")
            case "sleep": time.sleep(30)
            case "malformed": return {"no": "status"}
            case "wait":
                while not pathlib.Path(os.environ["GO"]).exists():
                    time.sleep(0.01)
            case "subprotocol":
                return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "b"}}
            case str(status) if status.isdigit():
                return {"statusCode": int(status), "body": "private body"}
        return {"statusCode": 200, "body": "private body"}

    def handler(event, context):
        with open(os.environ["EVENTS"], "a") as events:
            events.write(json.dumps(event) + "\\n")
        match event.get("requestContext", {}).get("eventType"):
            case "CONNECT": return act((event.get("queryStringParameters") or {}).get("do"))
            case "MESSAGE" if event["body"].startswith("{"):
                return act(json.loads(event["body"]).get("do"))
        return {"statusCode": 200}
"""
ROUTES = {"$connect": "F", "$disconnect": "F", "$default": "F", "shout": "F"}
ACCESS_LOG = (
    '{"id":"$context.requestId","route":"$context.routeKey","status":"$context.status",'
    '"connection":"$context.connectionId","type":"$context.eventType"}'
)
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/execute-api"}
DEADLINE_S = 60  # for a busy machine; nothing waits this long when all is well


class Api:
    """A running gateway, and clients of it."""

    def __init__(self, gateway, http, port, folder):
        self.gateway, self._http, self._folder = gateway, http, folder
        self.origin = f"http://127.0.0.1:{port}"

    async def connect(self, query="", **options):
        return await self._http.ws_connect(f"{self.origin}/ws{query}", **options)

    async def refused(self, query="", **options):
        """Return the status of a refused handshake."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await self.connect(query, **options)
        return refusal.value.status

    async def ask(self, method, path, headers=SIGNED, **options):
        url = aiohttp.client.URL(self.origin + path, encoded=True)
        async with self._http.request(method, url, headers=headers, **options) as response:
            return response.status, await response.text(), response.headers

    async def post(self, name, data):
        return (await self.ask("POST", f"/ws/@connections/{name}", data=data))[0]

    async def status(self):
        return json.loads((await self.ask("GET", "/_local/"))[1])

    def events(self, kind=None):
        path = self._folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        events = [json.loads(line) for line in lines]
        return [e for e in events if kind in (None, e["requestContext"]["eventType"])]

    async def event(self, kind, number=1):
        """Wait for the function's event of that type and number, and return it."""
        await until_holds(lambda: len(self.events(kind)) >= number)
        return self.events(kind)[number - 1]

    async def connection_id(self, number=1):
        event = await self.event("CONNECT", number)
        return event["requestContext"]["connectionId"]

    def go(self):
        """Let waiting functions continue."""
        (self._folder / "go").touch()

    def log(self, name):
        return (self._folder / "logs" / f"{name}.log").read_text()


async def ending(client):
    """Return the messages before the server closes the connection, and the close code."""
    received_texts = []
    while True:
        received = await client.receive(timeout=DEADLINE_S)
        if received.type is not WSMsgType.TEXT:
            return received_texts, client.close_code
        received_texts.append(received.data)


@pytest.fixture
def api(tmp_path):
    @contextlib.asynccontextmanager
    async def start(routes=ROUTES, concurrency=20, timeout=40, burst=None, **limits):
        folder = tmp_path / "code"
        folder.mkdir()
        (folder / "app.py").write_text(textwrap.dedent(HANDLER))
        http_routes = (Route("GET", "/jobs", "F"),)
        function = Function(
            "F", "python3.13", "app.handler", folder, {}, 256, timeout, concurrency, (), http_routes
        )
        websocket = WebSocketApi(
            "W", "ws", "$request.body.type", routes, burst, 0.001 if burst else None, ACCESS_LOG
        )
        template = Template({"F": function}, {}, {}, {}, HttpApi(), websocket=websocket)
        logs, lifeline = Logs(tmp_path / "logs", echo="none"), Lifeline()
        variables = {"EVENTS": str(tmp_path / "events"), "GO": str(tmp_path / "go")}
        service = LambdaService(
            template, {"F": variables}, data_dir=tmp_path, logs=logs, lifeline=lifeline
        )
        gateway = Gateway(template, service, logs, websocket_limits=Limits(**limits))
        listener = socket.create_server(("127.0.0.1", 0))
        await gateway.start([listener])
        try:
            async with aiohttp.ClientSession() as http:
                yield Api(gateway, http, listener.getsockname()[1], tmp_path)
        finally:
            await gateway.stop()
            await service.close()
            lifeline.close()

    return start


def test_function_gets_connect_message_and_disconnect(api):
    async def scenario():
        async with api() as running:
            client = await running.connect("?ticket=t&a=1&a=2", headers={"X-Mine": "yes"})
            await client.send_str('{"type":"ping","text":"да"}')
            await running.event("MESSAGE")
            await client.close(code=4001, message=b"bye")
            connect, message, disconnect = [
                await running.event(kind) for kind in ("CONNECT", "MESSAGE", "DISCONNECT")
            ]
            assert connect["queryStringParameters"] == {"ticket": "t", "a": "2"}
            assert connect["multiValueQueryStringParameters"] == {"ticket": ["t"], "a": ["1", "2"]}
            assert connect["headers"]["X-Mine"] == "yes"
            assert connect["multiValueHeaders"]["X-Mine"] == ["yes"]
            assert connect["isBase64Encoded"] is False
            assert "Upgrade" not in connect["headers"]
            context = connect["requestContext"]
            assert context["routeKey"] == "$connect"
            assert context["messageDirection"] == "IN"
            assert context["stage"] == "ws"
            assert running.origin.endswith(context["domainName"])
            assert context["identity"]["sourceIp"] == "127.0.0.1"
            assert len(context["connectionId"]) == 16
            assert context["connectionId"].endswith("=")
            assert context["connectedAt"] <= context["requestTimeEpoch"]
            assert context["requestId"] == context["extendedRequestId"]
            assert message["body"] == '{"type":"ping","text":"да"}'
            assert message["requestContext"]["routeKey"] == "$default"
            assert message["requestContext"]["messageId"]
            assert "headers" not in message
            assert disconnect["requestContext"]["routeKey"] == "$disconnect"
            assert disconnect["requestContext"]["disconnectStatusCode"] == 4001
            assert disconnect["requestContext"]["disconnectReason"] == "bye"
            for event in (message, disconnect):
                disconnect_context = event["requestContext"]
                assert disconnect_context["connectionId"] == context["connectionId"]
                assert disconnect_context["connectedAt"] == context["connectedAt"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("what", "status"), [("401", 401), ("302", 302), ("raise", 502), ("malformed", 502)]
)
def test_connect_refuses_the_handshake(api, what, status):
    async def scenario():
        async with api() as running:
            assert await running.refused(f"?do={what}") == status
            name = await running.connection_id()
            assert await running.post(name, b"x") == 410
            assert (await running.status())["websocket"]["connections"] == 0
        assert running.events("DISCONNECT") == []

    asyncio.run(scenario())


def test_slow_connect_refuses_the_handshake(api):
    async def scenario():
        async with api(integration_s=0.5) as running:
            assert await running.refused("?do=wait") == 504
            running.go()

    asyncio.run(scenario())


def test_connect_without_a_free_process_refuses_the_handshake(api):
    async def scenario():
        async with api(concurrency=1) as running:
            first = asyncio.ensure_future(running.connect("?do=wait"))
            await running.event("CONNECT")
            assert await running.refused() == 500
            running.go()
            await (await first).close()

    asyncio.run(scenario())


def test_each_route_is_throttled(api):
    async def scenario():
        async with api(burst=1) as running:
            client = await running.connect()
            assert await running.refused() == 429
            for _ in range(2):
                await client.send_str("x")
            answer = await client.receive_json(timeout=DEADLINE_S)
            assert answer["message"] == "Too Many Requests"
            await client.close()

    asyncio.run(scenario())


def test_invalid_handshake_reaches_no_function(api):
    async def scenario():
        async with api() as running:
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            assert (await running.ask("GET", "/ws", headers=upgrade))[0] == 400
            assert (await running.ask("GET", "/ws"))[0] == 404
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await running.connect("x")
            assert refusal.value.status == 404
            assert running.events() == []
            assert (await running.ask("GET", "/jobs"))[0] == 200  # the HTTP API is beside it

    asyncio.run(scenario())


def test_function_chooses_a_subprotocol(api):
    async def scenario():
        async with api() as running:
            chosen = await running.connect("?do=subprotocol", protocols=("a", "b"))
            none = await running.connect(protocols=("a", "b"))
            assert (chosen.protocol, none.protocol) == ("b", None)
            await chosen.close()
            await none.close()

    asyncio.run(scenario())


def test_post_before_connect_returned_is_gone(api):
    async def scenario():
        async with api() as running:
            connecting = asyncio.ensure_future(running.connect("?do=wait"))
            name = await running.connection_id()
            status, body, headers = await running.ask("POST", f"/ws/@connections/{name}", data="x")
            assert (status, headers["x-amzn-ErrorType"]) == (410, "GoneException")
            assert "message" in json.loads(body)
            running.go()
            client = await connecting
            await eventually_open(running, name)
            assert await running.post(name, b"now") == 200
            assert (await client.receive(timeout=DEADLINE_S)).data == "now"
            await client.close()
            await running.event("DISCONNECT")
            assert await running.post(name, b"late") == 410

    asyncio.run(scenario())


async def eventually_open(running, name):
    """The client knows of its connection a moment before the gateway has stored it."""
    deadline = time.monotonic() + DEADLINE_S
    while (await running.ask("GET", f"/@connections/{name}"))[0] == 410:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("body", "route"),
    [
        ('{"type":"shout"}', "shout"),
        ('{"type":"other"}', "$default"),
        ('{"type":"$disconnect"}', "$default"),
        ('{"type":{"a":1}}', "$default"),
        ('{"action":"shout"}', "$default"),
        ("[1]", "$default"),
        ("no JSON", "$default"),
        ("", "$default"),
    ],
)
def test_message_goes_to_the_route_it_names(api, body, route):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            await client.send_str(body)
            event = await running.event("MESSAGE")
            assert (event["requestContext"]["routeKey"], event["body"]) == (route, body)
            await client.close()

    asyncio.run(scenario())


def test_message_without_a_route_is_forbidden(api):
    async def scenario():
        async with api(routes={"shout": "F"}) as running:
            client = await running.connect()
            await client.send_str('{"type":"whisper"}')
            answer = await client.receive_json(timeout=DEADLINE_S)
            assert answer.pop("requestId")
            assert answer.pop("connectionId").endswith("=")
            assert answer == {"message": "Forbidden"}
            await client.send_str('{"type":"shout"}')
            await running.event("MESSAGE")
            await client.close()
        assert [e["requestContext"]["eventType"] for e in running.events()] == ["MESSAGE"]

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["raise", "malformed"])
def test_failed_function_gives_an_error_without_details(api, what):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            await client.send_json({"do": what})
            answer = await client.receive_json(timeout=DEADLINE_S)
            event = await running.event("MESSAGE")
            assert answer == {
                "message": "Internal server error",
                "connectionId": event["requestContext"]["connectionId"],
                "requestId": event["requestContext"]["requestId"],
            }
            await client.close()

    asyncio.run(scenario())


def test_function_timeout_gives_an_error(api):
    async def scenario():
        async with api(integration_s=3) as running:
            assert (await running.ask("GET", "/jobs"))[0] == 200  # no cold start within the limit
            client = await running.connect()
            await client.send_json({"do": "wait"})
            answer = await client.receive_json(timeout=DEADLINE_S)
            assert answer["message"] == "Endpoint request timed out"
            running.go()
            await client.close()

    asyncio.run(scenario())


def test_messages_are_handled_in_order_and_results_dropped(api):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            bodies = [json.dumps({"n": n, "do": "500" if n % 2 else None}) for n in range(8)]
            for body in bodies:
                await client.send_str(body)
            await client.close()  # earlier messages are still handled
            await running.event("DISCONNECT")
            assert [event["body"] for event in running.events("MESSAGE")] == bodies
            assert await ending(client) == ([], 1000)

    asyncio.run(scenario())


def test_pings_are_answered_while_a_message_is_handled(api):
    async def scenario():
        async with api() as running:
            client = await running.connect(autoping=False)
            await client.send_json({"do": "wait"})
            await running.event("MESSAGE")
            await client.ping(b"there?")
            pong = await client.receive(timeout=DEADLINE_S)
            assert (pong.type, pong.data) == (WSMsgType.PONG, b"there?")
            running.go()
            await client.close()

    asyncio.run(scenario())


async def fragments(client, text):
    """Send a message in frames of 32 KB, which aiohttp's client does not do by itself."""
    parts = [text[start : start + 32768] for start in range(0, len(text), 32768)]
    writer = client._writer
    for number, part in enumerate(parts):
        opcode = WSMsgType.CONTINUATION if number else WSMsgType.TEXT
        frame = bytearray()
        transport = writer.transport
        writer.transport = _Collector(frame)
        await writer.send_frame(part, opcode)
        writer.transport = transport
        frame[0] &= 0x7F if number < len(parts) - 1 else 0xFF  # FIN
        transport.write(bytes(frame))


class _Collector:
    def __init__(self, into):
        self._into = into

    def write(self, data):
        self._into += data

    def is_closing(self):
        return False


def test_frame_and_message_size_is_limited(api):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            await client.send_str("x" * 32768)
            await fragments(client, b"y" * 131072)
            await running.event("MESSAGE", 2)
            lengths = [len(event["body"]) for event in running.events("MESSAGE")]
            assert lengths == [32768, 131072]

            await client.send_str("x" * 32769)
            assert await ending(client) == ([], 1009)
            client = await running.connect()
            await fragments(client, b"y" * 131073)
            assert await ending(client) == ([], 1009)
            client = await running.connect()
            await client.send_bytes(b"x")
            assert await ending(client) == ([], 1003)

            codes = [
                (await running.event("DISCONNECT", n))["requestContext"]["disconnectStatusCode"]
                for n in (1, 2, 3)
            ]
            assert sorted(codes) == [1003, 1009, 1009]
            assert len(running.events("MESSAGE")) == 2

    asyncio.run(scenario())


def test_idle_connection_is_closed_and_active_one_is_kept(api):
    async def scenario():
        async with api(idle_s=3) as running:
            idle, busy = await running.connect(), await running.connect()
            begun = time.monotonic()
            ended = asyncio.ensure_future(ending(idle))
            while not ended.done():
                await busy.send_str("still here")
                await asyncio.sleep(0.1)
            assert time.monotonic() - begun > 2.5
            assert ended.result() == ([], 1001)
            event = await running.event("DISCONNECT")
            assert event["requestContext"]["disconnectStatusCode"] == 1001
            assert event["requestContext"]["disconnectReason"] == "Going away"
            assert not busy.closed
            await busy.close()

    asyncio.run(scenario())


def test_connection_has_a_maximum_lifetime(api):
    async def scenario():
        async with api(life_s=2) as running:
            client = await running.connect()
            ended = asyncio.ensure_future(ending(client))
            while not ended.done():
                with contextlib.suppress(ConnectionError):  # between the end and its news
                    await client.send_str("still here")
                await asyncio.sleep(0.1)
            assert ended.result() == ([], 1001)

    asyncio.run(scenario())


def test_vanished_client_gives_an_abnormal_disconnect(api):
    async def scenario():
        async with api() as running:
            vanishing, silent = await running.connect(), await running.connect()
            vanishing._response.connection.transport.abort()
            event = await running.event("DISCONNECT")
            assert event["requestContext"]["disconnectStatusCode"] == 1006
            await silent._writer.send_frame(b"", WSMsgType.CLOSE)
            event = await running.event("DISCONNECT", 2)
            assert event["requestContext"]["disconnectStatusCode"] == 1005
            assert event["requestContext"]["disconnectReason"]
            await silent.close()

    asyncio.run(scenario())


def test_client_gone_during_connect_gives_a_disconnect(api):
    async def scenario():
        async with api() as running:
            connecting = asyncio.ensure_future(running.connect("?do=wait"))
            name = await running.connection_id()
            connecting.cancel()
            running.go()
            event = await running.event("DISCONNECT")
            assert event["requestContext"]["connectionId"] == name
            assert event["requestContext"]["disconnectStatusCode"] == 1006
            assert await running.post(name, b"x") == 410

    asyncio.run(scenario())


def test_client_that_does_not_read_blocks_no_post(api):
    async def scenario():
        async with api(flush_s=0.1, close_wait_s=0.5) as running:
            deaf = await running.connect()  # aiohttp stops reading while messages are not received
            name = await running.connection_id()
            await eventually_open(running, name)
            posted = 0
            while (status := await running.post(name, b"x" * 100_000)) == 200:
                posted += 1
                assert posted < 1000
            assert status == 429
            status, _, headers = await running.ask(
                "POST", f"/@connections/{name}", data=b"x" * 10**5
            )
            assert (status, headers["x-amzn-ErrorType"]) == (429, "LimitExceededException")

            other = await running.connect()
            other_name = await running.connection_id(2)
            await eventually_open(running, other_name)
            assert await running.post(other_name, b"hello") == 200
            assert (await other.receive(timeout=DEADLINE_S)).data == "hello"

            assert (await running.ask("DELETE", f"/@connections/{name}"))[0] == 204
            await running.event("DISCONNECT")  # although the client has not closed its end
            await deaf.close()
            await other.close()

    asyncio.run(scenario())


def test_queued_message_is_sent_before_the_close(api):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            name = await running.connection_id()
            await eventually_open(running, name)
            for n in range(20):
                assert await running.post(name, f"{n}".encode()) == 200
            assert (await running.ask("DELETE", f"/ws/@connections/{name}"))[0] == 204
            assert await running.post(name, b"late") == 410
            assert await ending(client) == ([f"{n}" for n in range(20)], 1000)

    asyncio.run(scenario())


def test_boto3_manages_connections(api):
    def client_of(endpoint):
        return boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def work(endpoint, name):
        client = client_of(endpoint)
        try:
            client.post_to_connection(ConnectionId=name, Data="привет".encode())
            found = client.get_connection(ConnectionId=name)
            with pytest.raises(client.exceptions.PayloadTooLargeException):
                client.post_to_connection(ConnectionId=name, Data=b"x" * 131_073)
            client.delete_connection(ConnectionId=name)
            with pytest.raises(client.exceptions.GoneException):
                client.post_to_connection(ConnectionId=name, Data=b"late")
            for call in (client.get_connection, client.delete_connection):
                with pytest.raises(ClientError) as refused:
                    call(ConnectionId="unheard=")
                assert refused.value.response["Error"]["Code"] == "GoneException"
        finally:
            client.close()
        return found

    async def scenario():
        async with api() as running:
            for number, endpoint in enumerate((f"{running.origin}/ws", running.origin), start=1):
                client = await running.connect(headers={"User-Agent": "test"})
                name = await running.connection_id(number)
                await eventually_open(running, name)
                working = asyncio.ensure_future(asyncio.to_thread(work, endpoint, name))
                assert await ending(client) == (["привет"], 1000)
                found = await working
                assert found["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test"}
                assert found["ConnectedAt"] <= found["LastActiveAt"]

    asyncio.run(scenario())


def test_unsigned_or_unknown_management_call_is_forbidden(api):
    async def scenario():
        async with api() as running:
            client = await running.connect()
            name = await running.connection_id()
            await eventually_open(running, name)
            for method, headers in (("POST", {}), ("DELETE", {}), ("PUT", SIGNED)):
                status, _, answered = await running.ask(
                    method, f"/ws/@connections/{name}", headers=headers
                )
                assert status == 403
                assert answered["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
            assert not client.closed
            await client.close()

    asyncio.run(scenario())


def test_stop_closes_connections_with_disconnect_events(api):
    async def scenario():
        async with api(stop_s=DEADLINE_S) as running:
            clients = [await running.connect() for _ in range(3)]
            assert (await running.status())["websocket"]["connections"] == 3
            endings = [asyncio.ensure_future(ending(client)) for client in clients]
            await running.gateway.stop()
            assert await asyncio.gather(*endings) == [([], 1001)] * 3
            assert len(running.events("DISCONNECT")) == 3

    asyncio.run(scenario())


def test_stop_does_not_wait_for_slow_functions(api):
    async def scenario():
        async with api(stop_s=3) as running:
            client = await running.connect()
            await client.send_json({"do": "wait"})
            await running.event("MESSAGE")
            ended = asyncio.ensure_future(ending(client))
            begun = time.monotonic()
            await running.gateway.stop()
            assert time.monotonic() - begun < 20  # the message alone would take 29 s
            assert (await ended)[1] == 1001
            running.go()

    asyncio.run(scenario())


def test_logs_hold_names_and_sizes_alone(api):
    async def scenario():
        async with api() as running:
            client = await running.connect("?ticket=secret-ticket", protocols=("secret-protocol",))
            name = await running.connection_id()
            await eventually_open(running, name)
            await client.send_str("secret-message")
            await running.event("MESSAGE")
            await running.post(name, b"secret-answer")
            await client.receive(timeout=DEADLINE_S)
            await client.close(message=b"secret-reason")
            await running.event("DISCONNECT")
            await until_holds(lambda: "closed with 1000" in running.log("gateway"))
            log, access = running.log("gateway"), running.log("access")
            assert f"200 $default {name} 14 B" in log
            assert f"200 POST @connections {name} 13 B" in log
            lines = [json.loads(line.partition(" ")[2]) for line in access.splitlines()]
            assert [(line["type"], line["route"]) for line in lines] == [
                ("CONNECT", "$connect"),
                ("MESSAGE", "$default"),
                ("DISCONNECT", "$disconnect"),
            ]
            assert {line["connection"] for line in lines} == {name}
            assert {line["status"] for line in lines} == {"200"}
            assert "secret" not in log + access

    asyncio.run(scenario())
