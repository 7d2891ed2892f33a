"""The local API Gateway over real HTTP, in front of real function processes."""

import asyncio
import base64
import contextlib
import gzip
import io
import json
import re
import socket
import textwrap
import time

import aiohttp
import pytest

from local import request_deadlines
from local.child import Lifeline
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.template.reader import load
from local.template.resources import Function, HttpApi, Route, Template

HANDLER = """
    import json, time

    def handler(event, context):
        match (event.get("queryStringParameters") or {}).get("do"):
            case "raise": raise ValueError("private detail")
            case "sleep": time.sleep(5)
            case "status": return {"statusCode": 418, "headers": {"X-A": "b"}, "body": "teapot",
                                   "cookies": ["a=1", "b=2"]}
            case "binary": return {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}
            case "malformed": return {"statusCode": "x"}
            case "bare": return {"bare": True}
        return {"statusCode": 200, "headers": {"content-type": "application/json"},
                "body": json.dumps(event)}
"""


class Client:
    """A client of the gateway that sends paths exactly as written."""

    def __init__(self, session, origin, folder):
        self._session, self.origin, self._folder = session, origin, folder

    async def __call__(self, method, path, **options):
        """Return status, parsed JSON (or bytes) and headers of the response."""
        url = aiohttp.client.URL(self.origin + path, encoded=True)
        async with self._session.request(method, url, **options) as response:
            body = await response.read()
            if body and response.content_type == "application/json":
                body = json.loads(body)
            return response.status, body, response.headers

    def log(self, name):
        return (self._folder / "logs" / f"{name}.log").read_text()


@pytest.fixture
def gateway(tmp_path):
    @contextlib.asynccontextmanager
    async def start(api=HttpApi(), concurrency=5, timeout=20, **options):  # noqa: B008  frozen
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(textwrap.dedent(HANDLER))
        routes = (
            Route("GET", "/jobs/{id}", "F"),
            Route("POST", "/jobs", "F"),
        )
        function = Function(
            "F", "python3.13", "app.handler", folder, {}, 256, timeout, concurrency, (), routes
        )
        template = Template({"F": function}, {}, {}, {}, api)
        logs, lifeline = Logs(tmp_path / "logs", echo="none"), Lifeline()
        service = LambdaService(template, {}, data_dir=tmp_path, logs=logs, lifeline=lifeline)
        gateway = Gateway(template, service, logs, **options)
        listener = socket.create_server(("127.0.0.1", 0))
        await gateway.start([listener])
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with aiohttp.ClientSession() as session:
                yield Client(session, origin, tmp_path)
        finally:
            await gateway.stop()
            await service.close()
            lifeline.close()

    return start


def test_request_becomes_event_and_result_response(gateway):
    async def scenario():
        async with gateway() as ask:
            status, event, headers = await ask(
                "POST", "/jobs?a=1&a=2", data='{"text":"да"}',
                headers={"Content-Type": "application/json", "Cookie": "x=1; y=2"},
            )  # fmt: skip
            assert status == 200
            assert event["routeKey"] == "POST /jobs"
            assert event["body"] == '{"text":"да"}'
            assert event["queryStringParameters"] == {"a": "1,2"}
            assert event["cookies"] == ["x=1", "y=2"]
            assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
            assert headers["apigw-requestid"] == event["requestContext"]["requestId"]

            status, body, headers = await ask("GET", "/jobs/1?do=status")
            assert (status, body, headers["x-a"]) == (418, b"teapot", "b")
            assert headers.getall("set-cookie") == ["a=1", "b=2"]
            assert (await ask("GET", "/jobs/1?do=binary"))[1] == b"\x00\xff"
            assert (await ask("GET", "/jobs/1?do=bare"))[:2] == (200, {"bare": True})

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "raw_path", "parameters"),
    [
        ("/jobs/7", "/jobs/7", {"id": "7"}),
        ("/jobs/%D0%B8%20x", "/jobs/и x", {"id": "и x"}),
        ("/jobs/..%252Fresumes", "/jobs/..%2Fresumes", {"id": "..%2Fresumes"}),
    ],
)
def test_path_reaches_the_function_unchanged(gateway, path, raw_path, parameters):
    async def scenario():
        async with gateway() as ask:
            status, event, _ = await ask("GET", path)
            assert status == 200
            assert event["rawPath"] == raw_path
            assert event["pathParameters"] == parameters

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "request_line",
    ["GET /", "GET /jobs/..%2Fresumes%2Fmine", "PUT /jobs", "GET /jobs/", "HEAD /jobs/1"],
)
def test_unknown_route_is_404(gateway, request_line):
    async def scenario():
        async with gateway() as ask:
            method, path = request_line.split()
            status, body, _ = await ask(method, path)
            assert status == 404
            assert method == "HEAD" or body == {"message": "Not Found"}

    asyncio.run(scenario())


def test_function_failures_reveal_no_details(gateway):
    async def scenario():
        async with gateway() as ask:
            for what in ("raise", "malformed"):
                status, body, headers = await ask("GET", f"/jobs/1?do={what}")
                assert (status, body) == (500, {"message": "Internal Server Error"})
                assert "private" not in str(headers)

    asyncio.run(scenario())


def test_function_without_a_free_process_is_503(gateway):
    async def scenario():
        async with gateway(concurrency=1, timeout=1) as ask:
            slow = asyncio.ensure_future(ask("GET", "/jobs/1?do=sleep"))
            await asyncio.sleep(0.3)
            unavailable = (503, {"message": "Service Unavailable"})
            assert (await ask("GET", "/jobs/1"))[:2] == unavailable
            assert (await slow)[:2] == (500, {"message": "Internal Server Error"})  # its timeout
            assert (await ask("GET", "/jobs/1"))[0] == 200

    asyncio.run(scenario())


def test_integration_has_its_own_timeout(gateway):
    async def scenario():
        async with gateway(integration_limit_s=0.5) as ask:
            status, body, _ = await ask("GET", "/jobs/1?do=sleep")
            assert (status, body) == (503, {"message": "Service Unavailable"})

    asyncio.run(scenario())


def test_body_size_is_limited(gateway):
    async def chunks(count):
        for _ in range(count):
            yield b"x" * 1_000_000

    async def scenario():
        async with gateway() as ask:
            too_long = (413, {"message": "Request Too Long"})
            assert (await ask("POST", "/jobs", data=io.BytesIO(b"x" * 10_485_761)))[:2] == too_long
            assert (await ask("POST", "/jobs", data=chunks(11)))[:2] == too_long
            assert (await ask("POST", "/jobs", data=io.BytesIO(b"x" * 5_000_000)))[
                :2
            ] == too_long  # as base64
            text = {"Content-Type": "text/plain"}
            assert (await ask("POST", "/jobs", data=io.BytesIO(b"x" * 4_000_000), headers=text))[
                0
            ] == 200

    asyncio.run(scenario())


def test_each_route_is_throttled(gateway):
    async def scenario():
        async with gateway(HttpApi(throttle_burst=2, throttle_rate=0.001)) as ask:
            answers = [(await ask("GET", "/jobs/1"))[:2] for _ in range(3)]
            assert [status for status, _ in answers] == [200, 200, 429]
            assert answers[2][1] == {"message": "Too Many Requests"}
            assert (await ask("POST", "/jobs"))[0] == 200

    asyncio.run(scenario())


def test_route_throttle_applies_beside_the_api_throttle(gateway):
    api = HttpApi(throttle_burst=2, throttle_rate=0.001, route_throttles={"POST /jobs": (0.001, 1)})

    async def scenario():
        async with gateway(api) as ask:
            posts = [(await ask("POST", "/jobs"))[0] for _ in range(2)]
            gets = [(await ask("GET", "/jobs/1"))[0] for _ in range(3)]
            assert (posts, gets) == ([200, 429], [200, 200, 429])

    asyncio.run(scenario())


def test_template_throttles_apply_unless_lifted():
    template = load()
    assert template.api.route_throttles["GET /api/v1/system/health"] == (5, 10)
    assert (template.api.throttle_rate, template.api.throttle_burst) == (50, 100)
    lifted = template.without_throttles()
    assert (lifted.api.throttle_rate, lifted.api.route_throttles) == (None, {})
    assert lifted.websocket.throttle_rate is None
    raised = template.with_concurrency(50).functions
    assert {function.reserved_concurrency for function in raised.values()} == {50}


def test_compressed_body_arrives_compressed(gateway):
    body = gzip.compress(b'{"text": "python"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async def scenario():
        async with gateway() as ask:
            _, event, _ = await ask("POST", "/jobs", data=io.BytesIO(body), headers=headers)
            assert event["isBase64Encoded"] is True
            assert base64.b64decode(event["body"]) == body
            assert event["headers"]["content-encoding"] == "gzip"
            assert event["headers"]["content-length"] == str(len(body))

    asyncio.run(scenario())


def test_compressed_body_is_limited_without_decompression(gateway):
    bomb = gzip.compress(b"0" * 50_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async def scenario():
        async with gateway() as ask:
            status, event, _ = await ask("POST", "/jobs", data=io.BytesIO(bomb), headers=headers)
            assert (status, base64.b64decode(event["body"])) == (200, bomb)

    asyncio.run(scenario())


def test_total_header_size_is_limited(gateway):
    """10,240 bytes for the request line and all values: the quota of HTTP APIs."""

    async def scenario():
        async with gateway() as ask:
            many = {f"X-{number}": "v" * 1_000 for number in range(11)}
            status, body, _ = await ask("GET", "/jobs/1", headers=many)
            assert (status, body) == (431, {"message": "Request Header Fields Too Large"})
            assert (await ask("GET", "/jobs/1", headers=dict(list(many.items())[:8])))[0] == 200

    asyncio.run(scenario())


def test_access_log_has_the_template_format_and_no_path(gateway):
    form = '{"id":"$context.requestId","route":"$context.routeKey","status":"$context.status"}'

    async def scenario():
        async with gateway(HttpApi(access_log_format=form)) as ask:
            _, _, headers = await ask("GET", "/jobs/private-id?code=private-code")
            await ask("GET", "/private-path")
            first, second = ask.log("access").splitlines()
            assert json.loads(first.partition(" ")[2]) == {
                "id": headers["apigw-requestid"],
                "route": "GET /jobs/{id}",
                "status": "200",
            }
            assert '"status":"404"' in second
            assert "private" not in ask.log("access") + ask.log("gateway")

    asyncio.run(scenario())


def test_status_page_shows_counters(gateway):
    async def scenario():
        async with gateway(status=lambda: {"services": {"aws": "runs"}}) as ask:
            await ask("GET", "/jobs/1")
            await ask("GET", "/jobs/1?do=raise")
            status, page, _ = await ask("GET", "/_local/")
            assert status == 200
            assert page["services"] == {"aws": "runs"}
            function = page["functions"]["code"]
            assert (function["invocations"], function["errors"]) == (2, 1)
            assert len(function["processes"]["idle"]) == 1

    asyncio.run(scenario())


def test_client_disconnect_does_not_stop_the_function(gateway):
    async def scenario():
        async with gateway(timeout=20) as ask:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ask("GET", "/jobs/1?do=sleep"), 0.5)
            assert (await ask("GET", "/_local/"))[1]["functions"]["code"]["processes"]["busy"] == 1

    asyncio.run(scenario())


PAGES_ELSEWHERE = [
    {"Host": "rebound.example:4000"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
]


@pytest.mark.parametrize("headers", PAGES_ELSEWHERE)
@pytest.mark.parametrize("path", ["/_local/", "/_local/docs", "/_local/rules/Any/fire"])
def test_foreign_page_cannot_reach_the_local_cloud(gateway, path, headers):
    async def scenario():
        async with gateway() as ask:
            method = "POST" if path.endswith("/fire") else "GET"
            status, body, _ = await ask(method, path, headers=headers)
            assert (status, list(body)) == (403, ["message"])

    asyncio.run(scenario())


@pytest.mark.parametrize("headers", PAGES_ELSEWHERE[1:])
def test_api_allows_any_origin_as_in_the_cloud(gateway, headers):
    async def scenario():
        async with gateway() as ask:
            assert (await ask("GET", "/jobs/1", headers=headers))[0] == 200

    asyncio.run(scenario())


HALVES = [
    b"",
    b"GET /jobs/",
    b"GET /jobs/1 HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
]


LONG_S = 60  # for a busy machine; a request that is not closed takes as long


async def _drip(origin, half):
    """Send *half*, then single bytes; return the duration in seconds and the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))
    began = time.monotonic()
    writer.write(half)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < LONG_S:
            with contextlib.suppress(TimeoutError):
                answer += await asyncio.wait_for(reader.read(1000), 0.1)
                if reader.at_eof():
                    break
            writer.write(half and b"x")
    writer.close()
    return time.monotonic() - began, answer


def test_unfinished_request_is_closed(gateway, monkeypatch, capsys):
    monkeypatch.setattr(request_deadlines, "HEAD_S", 0.5)
    monkeypatch.setattr(request_deadlines, "BODY_S", 0.5)

    async def scenario():
        async with gateway() as ask:
            ended = await asyncio.gather(*(_drip(ask.origin, half) for half in HALVES))
            assert [answer for _, answer in ended] == [b""] * len(HALVES)
            late = [
                half for half, (seconds, _) in zip(HALVES, ended, strict=True) if seconds > LONG_S
            ]
            assert late == []
            assert (await ask("GET", "/jobs/1"))[0] == 200

    asyncio.run(scenario())
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_idle_connection_has_no_request_deadline(gateway, monkeypatch):
    monkeypatch.setattr(request_deadlines, "HEAD_S", 0.3)
    monkeypatch.setattr(request_deadlines, "BODY_S", 0.3)
    whole = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"

    async def scenario():
        async with gateway() as ask:
            port = int(ask.origin.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(whole)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LONG_S)
                assert head.startswith(b"HTTP/1.1 200")
                length = int(re.search(rb"Content-Length: (\d+)", head)[1])
                await reader.readexactly(length)
                await asyncio.sleep(0.6)
            writer.close()
            slow = await ask("GET", "/jobs/1?do=sleep")  # the function takes its time
            assert slow[0] == 200

    asyncio.run(scenario())
