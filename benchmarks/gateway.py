"""The local gateway beside serverless-offline: health calls a second, one and 16 at a time.

``make bench-gateway``. Both serve the function ``health`` unchanged, in Python processes that they
keep, with the same variables and the same Postgres: each call asks whether it accepts writes. The
template's throttles and concurrency are lifted here. The gateway also does what the cloud does:
Lambda's own runtime client, log groups and access log, concurrency, and changes of the code take
effect; serverless-offline passes events over a pipe. The clients keep their connections; the two
alternate in each round. The processor time is that of the process that serves the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

from benchmarks import progress, results, services
from benchmarks.results import Goal, Row, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
PATH = "/api/v1/system/health"
CONCURRENCIES = (1, 16)
ROUND_S = 3.0
SETTINGS = {"THROTTLES": "off", "CONCURRENCY": str(max(CONCURRENCIES)), "DEMO_PERSON": "off"}
GOAL = Goal(">=", 1.0)
START_LIMIT_S = 60
WARM_UPS = 20


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--offline", type=Path, required=True, help="where serverless-offline is installed"
    )
    results.add_option(parser)
    options = parser.parse_args()
    with services.running_cloud("Ready in", **SETTINGS) as (url, _, _):
        gateway = int(url.rpartition(":")[2])
        httpx.get(url + PATH).raise_for_status()  # the function's process starts
        with serverless_offline(options.offline, variables_of_health()) as offline:
            rows = measure({"gateway": gateway, "offline": offline}, options.rounds)
    results.finish(rows, options)


def variables_of_health() -> dict[str, str]:
    """Return the environment of the gateway's own process of the function."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            variables = child.environ()
            if variables.get("AWS_LAMBDA_FUNCTION_NAME") == "HealthFunction":
                return variables
    raise RuntimeError("the function does not run")


@contextlib.contextmanager
def serverless_offline(folder: Path, variables: Mapping[str, str]) -> Iterator[int]:
    """Run serverless-offline from *folder* on a free port, and yield it."""
    shutil.copy(REPOSITORY / "benchmarks/serverless_offline/serverless.yml", folder)
    (folder / "functions").unlink(missing_ok=True)
    (folder / "functions").symlink_to(REPOSITORY / "functions")
    ports = [free_port() for _ in range(3)]
    process = subprocess.Popen(
        [
            *("node", "node_modules/serverless/bin/serverless.js", "offline", "start"),
            *("--httpPort", str(ports[0]), "--lambdaPort", str(ports[1])),
            *("--websocketPort", str(ports[2]), "--host", "127.0.0.1", "--noTimeout"),
        ],
        cwd=folder,
        env={
            **variables,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SLS_TELEMETRY_DISABLED": "1",
            "SLS_NOTIFICATIONS_MODE": "off",
            "CI": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + START_LIMIT_S
        while not is_serving(ports[0]):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("serverless-offline does not start")
            time.sleep(0.2)
        yield ports[0]
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.wait()


def is_serving(port: int) -> bool:
    """Return whether the function answers on *port*."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}{PATH}", timeout=20).is_success
    return False


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def measure(ports: Mapping[str, int], rounds: int) -> list[Row]:
    """Return the rows; the first round is dropped."""
    processes = {name: listener(port) for name, port in ports.items()}
    rows = []
    for callers in CONCURRENCIES:
        for port in ports.values():
            warm_up(port, callers)
        rates: dict[str, list[float]] = {name: [] for name in ports}
        spent: dict[str, list[float]] = {name: [] for name in ports}
        for number in range(rounds + 1):
            for name in reversed(list(ports)) if number % 2 else ports:
                before = sum(processes[name].cpu_times()[:2])
                answered = asyncio.run(load(ports[name], callers, ROUND_S))
                cpu_s = sum(processes[name].cpu_times()[:2]) - before
                if number:
                    rates[name].append(answered / ROUND_S)
                    spent[name].append(cpu_s / answered * 1e6)
            progress.show(f"{callers} at a time: {number}/{rounds}")
        progress.clear()
        what = f"local gateway, {callers} at a time"
        rows.append(
            compare(
                f"{what}: calls a second; serverless-offline",
                rates["gateway"],
                rates["offline"],
                GOAL,
            )
        )
        rows.append(compare(f"{what}: its CPU a call, us", spent["gateway"], spent["offline"]))
    return rows


def listener(port: int) -> psutil.Process:
    """Return the process that listens on *port*."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            for connection in child.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return child
    raise RuntimeError(f"no process listens on {port}")


def warm_up(port: int, callers: int) -> None:
    """Start the processes that *callers* need. An answer that comes too late is an error then."""
    for _ in range(WARM_UPS):
        with contextlib.suppress(UnexpectedAnswer):
            asyncio.run(load(port, callers, 1.0))
            return
    raise RuntimeError(f"the processes behind {port} do not start")


class UnexpectedAnswer(Exception):
    """A call was not answered with 200."""


async def load(port: int, callers: int, seconds: float) -> int:
    """Return how many calls were answered, by *callers* that each send the next after an answer.
    Raises :class:`UnexpectedAnswer`."""
    end = time.monotonic() + seconds
    counts = await asyncio.gather(
        *(call_until(port, end) for _ in range(callers)), return_exceptions=True
    )
    for count in counts:
        if isinstance(count, BaseException):
            raise count
    return sum(count for count in counts if isinstance(count, int))


async def call_until(port: int, end: float) -> int:
    """Return how many calls one connection had answered at *end*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {PATH} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    answered = 0
    try:
        while time.monotonic() < end:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200 "):
                raise UnexpectedAnswer(head[:200])
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            answered += 1
    finally:
        writer.close()
    return answered


if __name__ == "__main__":
    main()
