"""Functions in real processes of AWS's runtime client, behind the local Runtime API."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from local.child import Lifeline
from local.functions.logs import Logs
from local.functions.service import LambdaService, PayloadTooLarge, Throttled
from local.settings import REPOSITORY
from local.template.resources import Function, HttpApi, Layer, Template
from tests.fixtures.processes import has_ended
from tests.fixtures.waiting import until

HANDLER = """
    import json, os, sys, time

    def handler(event, context):
        match event.get("do"):
            case "raise": raise ValueError("no good")
            case "exit": os._exit(event["status"])
            case "sleep": time.sleep(event["s"])
            case "large": return "x" * event["size"]
            case "strange": return object()
            case "print": print(event["text"])
            case "environment": return dict(os.environ)
            case "path": return sys.path
            case "import":
                module = __import__(event["name"])
                return getattr(module, "__file__", None)
            case "context": return {
                "id": context.aws_request_id, "arn": context.invoked_function_arn,
                "left": context.get_remaining_time_in_millis(),
                "memory": context.memory_limit_in_mb, "trace": os.environ["_X_AMZN_TRACE_ID"],
            }
        return {"pid": os.getpid(), "event": event}
"""


class Cloud:
    """A Lambda service with a function, and its log."""

    def __init__(self, service, folder):
        self.service = service
        self.folder = folder

    async def invoke(self, **event):
        """Return the result, and the error if the function failed."""
        result = await self.service.invoke("F", json.dumps(event).encode(), "Root=1-trace")
        return json.loads(result.payload), result.error

    async def pid(self):
        return (await self.invoke())[0]["pid"]

    @property
    def log(self):
        return (self.folder / "logs" / "code.log").read_text()

    @property
    def status(self):
        return self.service.status()["code"]


@pytest.fixture(params=["awslambdaric", "plain"])
def runtime(request):
    if request.param == "awslambdaric":
        pytest.importorskip("awslambdaric")
    return request.param


@pytest.fixture
def cloud(tmp_path, runtime):
    @contextlib.asynccontextmanager
    async def start(
        code=HANDLER, timeout=5, concurrency=3, layers=(), clock=None, memory=256, variables=None
    ):
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(textwrap.dedent(code))
        names = tuple(layer.logical_id for layer in layers)
        function = Function(
            "F", "python3.13", "app.handler", folder, variables or {"GREETING": "hi"}, memory,
            timeout, concurrency, names, (),
        )  # fmt: skip
        template = Template(
            {"F": function}, dict(zip(names, layers, strict=True)), {}, {}, HttpApi()
        )
        lifeline = Lifeline()
        logs = Logs(tmp_path / "logs", echo="none")
        service = LambdaService(
            template, {}, data_dir=tmp_path, logs=logs, lifeline=lifeline, clock=clock,
            runtime=runtime,
        )  # fmt: skip
        try:
            yield Cloud(service, tmp_path)
        finally:
            await service.close()
            lifeline.close()

    return start


def test_function_process_is_reused(cloud):
    async def scenario():
        async with cloud() as functions:
            first = await functions.invoke(text="да")
            second = await functions.pid()
            assert first == ({"pid": second, "event": {"text": "да"}}, None)
            assert functions.status["cold_starts"] == 1
            assert functions.status["last_init_ms"] > 0
            assert "Init Duration: " in functions.log
            assert functions.log.count("REPORT RequestId: ") == 2

    asyncio.run(scenario())


def test_concurrent_invocations_have_separate_processes(cloud):
    async def scenario():
        async with cloud() as functions:
            answers = await asyncio.gather(*(functions.invoke(do="sleep", s=0.3) for _ in range(3)))
            assert len({answer["pid"] for answer, _ in answers}) == 3
            again = await functions.pid()
            assert again in {answer["pid"] for answer, _ in answers}

    asyncio.run(scenario())


def test_reserved_concurrency_limits_processes(cloud):
    async def scenario():
        async with cloud(concurrency=2) as functions:
            asked = [asyncio.ensure_future(functions.invoke(do="sleep", s=0.3)) for _ in range(2)]
            await asyncio.sleep(0.05)
            with pytest.raises(Throttled):
                await functions.invoke()
            await asyncio.gather(*asked)
            assert (await functions.invoke())[1] is None
            assert functions.status["throttles"] == 1

    asyncio.run(scenario())


def test_context_matches_lambda(cloud):
    async def scenario():
        async with cloud(timeout=5) as functions:
            context, _ = await functions.invoke(do="context")
            assert context["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:F"
            assert 4000 < context["left"] <= 5000
            assert context["memory"] == "256"
            assert context["trace"] == "Root=1-trace"
            assert f"START RequestId: {context['id']} Version: $LATEST" in functions.log

    asyncio.run(scenario())


def test_developer_environment_is_not_inherited(cloud, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "private")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")

    async def scenario():
        async with cloud() as functions:
            environment, _ = await functions.invoke(do="environment")
            assert "MY_TOKEN" not in environment
            assert environment["AWS_SECRET_ACCESS_KEY"] == "local"
            assert environment["GREETING"] == "hi"
            assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
            assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "F"
            assert environment["_HANDLER"] == "app.handler"
            path, _ = await functions.invoke(do="path")
            assert path[0] == environment["LAMBDA_TASK_ROOT"]
            assert str(REPOSITORY) not in path

    asyncio.run(scenario())


def test_package_layer_excludes_its_neighbours(cloud, tmp_path):
    for package in ("wanted", "neighbour"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    inside = tmp_path / "layer" / "mine"
    inside.mkdir(parents=True)
    (inside / "__init__.py").write_text("")
    layers = [Layer("L1", tmp_path / "wanted"), Layer("L2", tmp_path / "layer")]

    async def scenario():
        async with cloud(layers=layers) as functions:
            assert (await functions.invoke(do="import", name="wanted"))[1] is None
            assert (await functions.invoke(do="import", name="mine"))[1] is None
            answer, error = await functions.invoke(do="import", name="neighbour")
            assert answer["errorType"] == "ModuleNotFoundError"
            assert error is not None

    asyncio.run(scenario())


def test_exception_is_reported_and_process_is_reused(cloud):
    async def scenario():
        async with cloud() as functions:
            before = await functions.pid()
            answer, error = await functions.invoke(do="raise")
            assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no good")
            assert error is not None
            assert "ValueError: no good" in functions.log
            assert await functions.pid() == before
            assert functions.status["errors"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "reason"), [(3, "with error: exit status 3"), (0, "without providing a reason")]
)
def test_ended_process_is_reported_and_replaced(cloud, status, reason):
    async def scenario():
        async with cloud() as functions:
            before = await functions.pid()
            answer, error = await functions.invoke(do="exit", status=status)
            assert error == answer["errorType"] == "Runtime.ExitError"
            assert answer["errorMessage"].endswith(f"Error: Runtime exited {reason}")
            assert await functions.pid() != before

    asyncio.run(scenario())


def test_invocation_timeout_kills_the_process(cloud):
    async def scenario():
        async with cloud(timeout=0.5) as functions:
            before = await functions.pid()
            begun = time.monotonic()
            answer, error = await functions.invoke(do="sleep", s=30)
            assert time.monotonic() - begun < 25  # the function sleeps 30 s
            assert error == answer["errorType"] == "Sandbox.Timedout"
            assert "Task timed out after 0.50 seconds" in answer["errorMessage"]
            assert "Task timed out after 0.50 seconds" in functions.log
            until(lambda: has_ended(before))
            assert await functions.pid() != before
            assert functions.status["timeouts"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import nothing_like_it", "Runtime.ImportModuleError", "nothing_like_it"),
        ("def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("other = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("raise KeyError('at import')", "KeyError", "at import"),
        ("import os; os._exit(9)", "Runtime.ExitError", "Runtime exited with error: exit status 9"),
    ],
)
def test_failed_init_is_reported(cloud, code, kind, message):
    async def scenario():
        async with cloud(code) as functions:
            answer, error = await functions.invoke()
            assert error == answer["errorType"] == kind
            assert message in answer["errorMessage"]
            assert f"Status: error\tError Type: {kind}" in functions.log

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FETCH_QUEUE_URL", None, "is not set; it must be a URL"),
        ("FETCH_QUEUE_URL", "a-secret-text", "must be a URL"),
        ("FETCH_DETAILS_PER_RUN", "-8765432", "must be a whole number, 0 or more"),
        ("DATABASE_URL", "", "is not set; it must be a secret"),
        ("DATABASE_URL", "secretsmanager:#a-key", "must be a secret"),
    ],
)
def test_init_fails_with_the_name_of_a_wrong_setting(cloud, name, value, problem):
    code = (REPOSITORY / "functions" / "fetcher" / "app.py").read_text()
    core = Layer("Core", REPOSITORY / "layers" / "core")
    variables = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none?connect_timeout=1",
        "FETCH_QUEUE_URL": "http://127.0.0.1:9/queue",
        "FETCH_DETAILS_PER_RUN": "8",
    }

    async def scenario(variables):
        async with cloud(code, layers=[core], variables=variables, timeout=20) as functions:
            return await functions.invoke(), functions.log

    (answer, error), log = asyncio.run(scenario(variables))
    assert error != "SettingInvalid"  # with all settings it starts, and misses its database
    wrong = {**variables, name: value}
    (answer, error), log = asyncio.run(scenario({k: v for k, v in wrong.items() if v is not None}))
    assert error == answer["errorType"] == "SettingInvalid"
    assert answer["errorMessage"].startswith(f"{name} {problem}")
    assert not value or value not in answer["errorMessage"] + log.split("SettingInvalid", 1)[1]


def test_slow_init_restarts_within_the_function_timeout(cloud, monkeypatch):
    monkeypatch.setattr("local.functions.service.INIT_LIMIT_S", 0.3)
    code = "import time; time.sleep(1)\ndef handler(event, context): return {'pid': 1}"

    async def scenario():
        async with cloud(code, timeout=10) as functions:
            assert await functions.pid() == 1
            assert "Status: timeout" in functions.log
            assert functions.status["cold_starts"] == 2
        async with cloud(code, timeout=0.5) as functions:
            assert (await functions.invoke())[1] == "Sandbox.Timedout"

    asyncio.run(scenario())


def test_payload_size_is_limited_as_by_lambda(cloud):
    async def scenario():
        async with cloud(timeout=20) as functions:
            answer, error = await functions.invoke(text="x" * 6_000_000)
            assert error is None
            assert len(answer["event"]["text"]) == 6_000_000
            with pytest.raises(PayloadTooLarge):
                await functions.invoke(text="x" * 6_300_000)
            answer, error = await functions.invoke(do="large", size=6_300_000)
            assert error == "Function.ResponseSizeTooLarge"
            assert (await functions.invoke())[1] is None

    asyncio.run(scenario())


def test_result_that_is_not_json_is_an_error(cloud):
    async def scenario():
        async with cloud() as functions:
            answer, error = await functions.invoke(do="strange")
            assert error is not None
            assert "not JSON serializable" in answer["errorMessage"]

    asyncio.run(scenario())


def test_output_of_any_length_is_logged(cloud):
    async def scenario():
        async with cloud() as functions:
            await functions.invoke(do="print", text="line one\nкириллица\n" + "y" * 300_000)
            await functions.invoke()
        assert " line one\n" in functions.log
        assert " кириллица\n" in functions.log
        assert " " + "y" * 300_000 + "\n" in functions.log

    asyncio.run(scenario())


def test_output_is_logged_within_its_invocation(cloud):
    async def scenario():
        async with cloud() as functions:
            for text in ("first", "second"):
                await functions.invoke(do="print", text=text)
            words = [line.split()[1] for line in functions.log.splitlines()]
            assert words == ["START", "first", "END", "REPORT", "START", "second", "END", "REPORT"]

    asyncio.run(scenario())


def test_changed_code_is_used_by_the_next_invocation(cloud, tmp_path):
    code = "def handler(event, context): return {'pid': %d}"

    async def scenario():
        async with cloud(code % 1) as functions:
            assert await functions.pid() == 1
            for version in (
                2,
                3,
                4,
            ):  # of equal size and within a second: as bytecode sees it, equal
                (tmp_path / "code" / "app.py").write_text(code % version)
                await asyncio.sleep(0.06)
                assert await functions.pid() == version

    asyncio.run(scenario())


def test_function_uses_the_local_clock(cloud, tmp_path):
    code = """
        from ullgetthejob.platform import clock
        def handler(event, context): return {"pid": clock.now().year}
    """
    clock = tmp_path / "clock.json"
    clock.write_text('{"real": 0, "virtual": 4102444800, "rate": 0}')
    core = Layer("Core", REPOSITORY / "layers" / "core")

    async def scenario():
        async with cloud(code, layers=[core], clock=clock) as functions:
            assert await functions.pid() == 2100

    asyncio.run(scenario())


def test_closing_leaves_no_process(cloud):
    async def scenario():
        async with cloud() as functions:
            running = asyncio.ensure_future(functions.invoke(do="sleep", s=30))
            idle = await functions.pid()
            await asyncio.sleep(0.2)
        until(lambda: has_ended(idle))
        assert (await running)[1] == "Runtime.ExitError"

    asyncio.run(scenario())


SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
from local.child import Lifeline
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.template.resources import Function, HttpApi, Template

async def main(folder, runtime):
    function = Function("F", "python3.13", "app.handler", folder / "code", {}, 128, 60, 2, (), ())
    service = LambdaService(Template({"F": function}, {}, {}, {}, HttpApi()), {}, data_dir=folder,
        logs=Logs(folder / "logs", echo="none"), lifeline=Lifeline(), runtime=runtime)
    idle = await service.invoke("F", b"{}")
    print(json.loads(idle.payload)["pid"], flush=True)
    await service.invoke("F", b'{"busy": true}')

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def test_functions_end_when_the_supervisor_is_killed(tmp_path, runtime):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(
        "import os\ndef handler(event, context):\n"
        "    while event: pass\n"  # busy in Python, without system calls
        "    return {'pid': os.getpid()}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), runtime],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        try:
            pid = int(supervisor.stdout.readline())
            time.sleep(0.3)
            os.kill(pid, 0)  # it runs
        finally:
            supervisor.send_signal(signal.SIGKILL)
    until(lambda: has_ended(pid))


def test_runtime_api_serves_its_own_process_alone(cloud):
    """Another process could read an event with its secrets, or return a result for the function."""

    def take(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/2018-06-01/runtime/invocation/next")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    async def scenario():
        async with cloud() as functions:
            answer, _ = await functions.invoke(do="environment")
            port = int(answer["AWS_LAMBDA_RUNTIME_API"].rpartition(":")[2])
            status, body = await asyncio.to_thread(take, port)
            assert (status, json.loads(body)["errorType"]) == (403, "Forbidden")
            assert (await functions.invoke(a=1))[0]["event"] == {"a": 1}
            assert functions.status["cold_starts"] == 1

    asyncio.run(scenario())
