"""Cold starts: INIT and the time to the first response, under AWS's Runtime Interface Emulator.

``make bench-cold-start``. Each function is started repeatedly, alternating with a plausible naive
search (naive_handler.py) and an empty handler (the floor), in one run, on the same packages with
the same bytecode, against the same Postgres, DynamoDB, KMS and hh.ru sandbox, in which the person
of the sample events is connected and has the requested data. Secrets are read from Secrets Manager
as in the cloud; the calls for them are counted. Each start is a new emulator and a new Python. INIT
is the emulator's own figure; the first response is timed from the start of the emulator to the end
of its first invocation, which reads all secrets that it needs through AWS's API. The results are
medians, and ratios to the naive search in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import progress, results, services
from benchmarks.results import Goal, Row, compare, figure
from benchmarks.secret_reads import SecretsManager
from benchmarks.services import running
from local.functions.environment import process_environment
from local.template import reader as template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
MACHINE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
# The content of /var/runtime in Lambda's own image: AWS's runtime client and boto3.
RUNTIME = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"),
)
INVOKE = "/2015-03-31/functions/function/invocations"
INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)")

PERSON = "anna"  # of the sandbox; connected to the user of the sample events
# The expected statuses other than 200: an accepted application; tickets and secrets of no one.
OTHER_STATUS = {"handoff": 401, "submit": 202, "telegram": 401, "websocket": 401}

INIT_GOALS = {
    "search": Goal("<=", 0.35),
    "health": Goal("<=", 0.25),
    "websocket": Goal("<=", 0.25),
}
FIRST_ANSWER_GOALS = {"search": Goal("<=", 0.6)}

COMPARED = ("naive search", "empty")
EMPTY_HANDLER = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"


@dataclass
class Case:
    """One handler and its measurements: times in milliseconds, calls for secrets."""

    name: str
    handler: str
    task: Path
    environment: Mapping[str, str]
    event: dict[str, Any]
    init: list[float] = field(default_factory=list)
    first_answer: list[float] = field(default_factory=list)
    secret_calls: list[int] = field(default_factory=list)


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", type=lambda names: names.split(","), help="functions, by commas")
    results.add_option(parser)
    options = parser.parse_args()
    rounds, only = options.rounds, options.only
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as variables:
        manager = SecretsManager(variables["SearchFunction"]["AWS_ENDPOINT_URL"])
        cases = prepare(Path(folder), variables, manager)
        connect_person({case.name: case for case in cases}, Path(folder))
        cases = [case for case in cases if not only or case.name in {*only, *COMPARED}]
        for round_number in range(rounds + 1):  # the first one warms the caches and is dropped
            for case in reversed(cases) if round_number % 2 else cases:
                manager.calls.clear()
                init, first_answer, _ = start(case, Path(folder))
                if round_number:
                    case.secret_calls.append(manager.calls.total())
                    case.init.append(init)
                    case.first_answer.append(first_answer)
            progress.show(f"round {round_number}/{rounds}")
    progress.clear()
    results.finish(list(rows(cases)), options)


# ── preparation ──────────────────────────────────────────────────────────────────────────────────


def prepare(
    folder: Path, variables: Mapping[str, Mapping[str, str]], manager: SecretsManager
) -> list[Case]:
    """Build the layers for this machine's Python, and every handler; return the cases."""
    layers = {
        "DependenciesLayer": build_layer(folder, "layers/dependencies", "DependenciesLayer"),
        "CoreLayer": build_layer(folder, "layers/core", "CoreLayer"),
        "MigrationsLayer": build_layer(folder, "migrations", "MigrationsLayer"),
    }
    runtime = copy_runtime(folder / "runtime")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    functions = template.load().functions
    search = functions["SearchFunction"]

    def case(name: str, source: str, function: Any, event: str) -> Case:
        task = folder / "tasks" / name
        task.mkdir(parents=True)
        (task / "app.py").write_text(source)
        compile_all(task)
        function = replace(function, code=task)
        paths = [task, *(layers[layer] for layer in function.layers), runtime]
        given = {**variables[function.logical_id], "HH_CALLS_PER_SECOND": "10"}
        own = manager.environment(function.environment, given)
        environment = process_environment(function, own, paths)
        return Case(name, function.handler, task, environment, sample(event, given))

    ours = [
        case(function.name, (function.code / "app.py").read_text(), function, function.name)
        for function in functions.values()
    ]
    naive = (REPOSITORY / "benchmarks/naive_handler.py").read_text()
    return [
        *ours,
        case("naive search", naive, search, "search"),
        case("empty", EMPTY_HANDLER, search, "health"),
    ]


def build_layer(folder: Path, source: str, name: str) -> Path:
    """Build a layer as ``make build`` does, for the Python that runs this; return its folder."""
    target = folder / name
    version = ".".join(map(str, sys.version_info[:2]))
    subprocess.run(
        [
            *("make", "--silent", "--directory", source, f"build-{name}", f"ARCH={MACHINE}"),
            *(f"PYTHON_VERSION={version}", f"COMPILER={sys.executable}"),
        ],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "ARTIFACTS_DIR": str(target),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target / "python"


def copy_runtime(target: Path) -> Path:
    """Copy the packages of Lambda's image from this environment to *target*, and return it."""
    for name in RUNTIME:
        for file in metadata.distribution(name).files or []:
            if not {"..", "__pycache__"} & set(file.parts):
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target / file)
    compile_all(target)
    return target


def compile_all(folder: Path) -> None:
    """Compile *folder* to bytecode of the same kind as in the layers."""
    flags = ["-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-m", "compileall", *flags, folder], check=True)


def sample(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a sample event with the actual secret of the services."""
    event: dict[str, Any] = json.loads((REPOSITORY / f"events/{name}.json").read_text())
    if "x-core-secret" in event.get("headers", {}):
        event["headers"]["x-core-secret"] = given["ORCHESTRATOR_SECRET"]
    return event


def connect_person(cases: Mapping[str, Case], folder: Path) -> None:
    """Connect the person of the sample events, through the real flow, and add to their campaign."""
    oauth, queue = cases["oauth"], cases["queue"]
    _, _, way = start(oauth, folder)
    form = {"person": PERSON, "decision": "allow"}
    consent = httpx.post(json.loads(way["body"])["url"], data=form)
    callback = json.loads((REPOSITORY / "events/oauth-callback.json").read_text())
    callback["headers"] |= oauth.event["headers"]
    callback["queryStringParameters"] |= dict(httpx.URL(consent.headers["location"]).params)
    callback["rawQueryString"] = str(httpx.QueryParams(callback["queryStringParameters"]))
    _, _, login = start(replace(oauth, event=callback), folder)
    jwt = json.loads(login["body"])["jwt"]
    for case in cases.values():
        if "authorization" in case.event.get("headers", {}):
            case.event["headers"]["authorization"] = f"Bearer {jwt}"
    addition = json.loads((REPOSITORY / "events/queue-add.json").read_text())
    addition["headers"] |= queue.event["headers"]
    start(replace(queue, event=addition), folder)


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def emulator(case: Case, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Start an emulator with the function; yield its process, its port and its log."""
    binary = f"samcli/local/rapid/aws-lambda-rie-{MACHINE}"
    samcli = util.find_spec("samcli")
    assert samcli is not None
    assert samcli.origin is not None
    port, api = free_port(), free_port()
    log_path = folder / f"{case.name}.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [
                Path(samcli.origin).parents[1] / binary,
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api}"),
                *(folder / "venv/bin/python", "-m", "awslambdaric", case.handler),
            ],
            cwd=case.task,
            env=dict(case.environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, port, log_path
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(case: Case, folder: Path) -> tuple[float, float, dict[str, Any]]:
    """Measure one cold start; return INIT and the time to the first response, in milliseconds, and
    the response."""
    time.sleep(0.25)  # until the pacer's slot of the previous case is over
    begun = time.perf_counter()
    with emulator(case, folder) as (_, port, log_path):
        answer = invoke(port, case.event)
        first_answer = (time.perf_counter() - begun) * 1000
    output = log_path.read_text()
    reported = INIT_REPORT.search(output)
    expected = OTHER_STATUS.get(case.name, 200)
    if (
        reported is None
        or "errorMessage" in answer
        or answer.get("statusCode", expected) != expected
        or answer.get("batchItemFailures")
    ):
        raise RuntimeError(f"{case.name} does not work: {answer}\n{output}")
    return float(reported[1]), first_answer, answer


def invoke(port: int, event: dict[str, Any]) -> dict[str, Any]:
    """Return the emulator's first response. It listens after some milliseconds, and accepts one
    connection at a time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    until = time.monotonic() + 5
    while True:
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.001)
    with contextlib.closing(connection):
        connection.request("POST", INVOKE, json.dumps(event).encode())
        answer: dict[str, Any] = json.loads(connection.getresponse().read()) or {}
        return answer


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# ── report ───────────────────────────────────────────────────────────────────────────────────────


def rows(cases: list[Case]) -> Iterator[Row]:
    """Yield the rows of the table."""
    (naive,) = (case for case in cases if case.name == "naive search")
    for case in cases:
        if case is not naive:
            goal = INIT_GOALS.get(case.name)
            yield compare(f"INIT of {case.name}, ms; naive search", case.init, naive.init, goal)
    for case in cases:
        if case is not naive:
            goal = FIRST_ANSWER_GOALS.get(case.name)
            what = f"first answer of {case.name}, ms; naive search"
            yield compare(what, case.first_answer, naive.first_answer, goal)
    for case in cases:
        yield figure(f"calls for secrets of {case.name}", case.secret_calls)


if __name__ == "__main__":
    main()
