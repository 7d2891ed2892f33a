"""How quick ``make run`` is with 1,000 accounts and 100,000 jobs, beside an empty one.

``make bench-filled``. Two local clouds, on data folders of their own, one of them filled as by
``make db-fill``, are started in turn, several times each: the time from the start of the process to
the first answer, the time of each page of the dashboard, and that of the minute's rules, which run
as their schedules would run them. Printed are the medians beside each other.

Ends with 1 if something takes more than :data:`TARGET` of what it takes empty, and more than
:data:`FLOOR_MS` longer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx

from benchmarks import fill, progress, services
from benchmarks.growth_data import Size
from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
CALLS = 5  # of each page and each rule in a round
SIZE = Size(1_000, 100_000)
TARGET = 1.5
FLOOR_MS = 150.0  # what a person does not notice, and another process of the machine can cause
START_LIMIT_S = 120
RULE_LIMIT_S = 60
DASHBOARD = "/dev/dashboard"
PAGES = ("", "/requests", "/functions", "/database", "/queues", "/people", "/hh", "/apply")
FUNCTIONS = ("sweeper", "fetcher")
PERSON = re.compile(rf"{DASHBOARD}/people/[0-9a-f-]{{36}}")
RULE = re.compile(r'name="rule" value="([^"]+)"')

Figures = dict[str, list[float]]


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="bench-filled-") as name:
        folders = {"empty": Path(name) / "empty", "filled": Path(name) / "filled"}
        for folder in (Path(name), *folders.values()):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)  # Postgres's own user must be able to enter it
        _fill(folders["filled"])
        measured: dict[str, Figures] = {}
        for number in range(rounds + 1):
            for kind, folder in folders.items():
                progress.show(f"{kind}, start {number}")
                figures = measure(folder)
                if number:  # the first start makes what later ones find
                    into = measured.setdefault(kind, defaultdict(list))
                    for what, milliseconds in figures.items():
                        into[what] += milliseconds
        progress.clear()
    sys.exit(0 if report(measured, rounds) else 1)


def _fill(folder: Path) -> None:
    with EmbeddedPostgres(folder / "postgres", ends_with_us=True) as postgres:
        upgrade(postgres.url)
        fill.fill(folder, SIZE)


def measure(folder: Path) -> Figures:
    """Start the cloud of *folder*, and return the milliseconds of what was measured, by name."""
    figures: Figures = {}
    with (
        cloud(folder) as (url, started_ms),
        httpx.Client(base_url=url, timeout=60, follow_redirects=True) as client,
    ):
        figures["start, to the first answer"] = [started_ms]
        for page in PAGES:
            took = []
            for _ in range(CALLS):
                began = time.perf_counter()
                client.get(f"{DASHBOARD}{page}").raise_for_status()
                took.append((time.perf_counter() - began) * 1000)
            figures[f"{DASHBOARD}{page}"] = took
        account = re.search(
            rf"{DASHBOARD}/people/[0-9a-f-]{{36}}", client.get(f"{DASHBOARD}/people").text
        )
        if account:
            began = time.perf_counter()
            client.get(account[0]).raise_for_status()
            figures["a person of it"] = [(time.perf_counter() - began) * 1000]
        for function in FUNCTIONS:
            figures[function] = [run_rule(client, folder, function) for _ in range(CALLS)]
    return figures


@contextlib.contextmanager
def cloud(folder: Path) -> Iterator[tuple[str, float]]:
    """Run the local cloud of *folder*; yield its address, and the milliseconds from the start to
    its first answer. Raises :class:`RuntimeError`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    process = services.started(
        *("local", "run"),
        environment={"PORT": str(port), "DATA_DIR": str(folder), "DEMO_PERSON": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_answer(f"{url}/api/v1/system/health")
        yield url, (time.perf_counter() - began) * 1000
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _wait_for_answer(url: str) -> None:
    ends = time.monotonic() + START_LIMIT_S
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=30).status_code == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"no answer within {START_LIMIT_S} s: {url}")


def run_rule(client: httpx.Client, folder: Path, function: str) -> float:
    """Run the rule of *function* now, and return the milliseconds of its invocation. Raises
    :class:`RuntimeError`."""
    page = client.get(f"{DASHBOARD}/queues").text
    rule = next(name for name in RULE.findall(page) if function in name.lower())
    before = len(invocations(folder, function))
    form = {"rule": rule, "back": f"{DASHBOARD}/queues"}
    origin = {"Origin": str(client.base_url).rstrip("/")}
    ends = time.monotonic() + RULE_LIMIT_S
    client.post(f"{DASHBOARD}/queues/run_rule", data=form, headers=origin).raise_for_status()
    while time.monotonic() < ends:
        done = invocations(folder, function)
        if len(done) > before:
            return done[-1]
        time.sleep(0.02)
    raise RuntimeError(f"{function} did not end within {RULE_LIMIT_S} s")


def invocations(folder: Path, function: str) -> list[float]:
    """Return the milliseconds of each invocation of *function* in its log."""
    found = []
    for path in (folder / "logs").glob(f"*{function}.log"):
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line[line.index("{") :])
                if entry["message"] == "invocation":
                    found.append(float(entry["ms"]))
    return found


def report(measured: dict[str, Figures], rounds: int) -> bool:
    """Print the medians; return whether all meet the target."""
    print(f"ms, medians of {rounds} starts, empty and with {SIZE}:")
    missed = 0
    for what, values in measured["filled"].items():
        filled = median(values)
        if what not in measured["empty"]:
            print(f"  {what:30} {'':>9} {filled:9.1f}")
            continue
        empty = median(measured["empty"][what])
        misses = filled > TARGET * empty and filled > empty + FLOOR_MS
        missed += misses
        failed = "  FAILED" if misses else ""
        print(f"  {what:30} {empty:9.1f} {filled:9.1f}  x {filled / empty:4.2f}{failed}")
    print(
        f"{missed} take more than {TARGET} of their time empty and {FLOOR_MS:.0f} ms longer:"
        f" {'MISSED' if missed else 'met'}"
    )
    return not missed


if __name__ == "__main__":
    main()
