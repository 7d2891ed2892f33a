"""What an operation makes the cloud do: invocations, their durations, calls of AWS, bytes of logs.

``make bench-cost``. It runs the operations in its own local cloud and counts what the functions'
logs say of them, then writes ``cli/cost/measurements.json``, from which ``ugtj cloud cost`` and
docs/cost.md compute. Counts are those of the cloud: the template, the code and the event sources
are the same. Durations are those of this machine and of the sandbox's latency: a function in Lambda
has a part of a processor, and hh.ru is further away, so that deployed stages use CloudWatch's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks import services
from cli.cost.model import MEASUREMENTS, functions_by_folder
from migrations.seed import DEMO_USER_ID
from tests.fixtures.local_cloud import LocalCloud, new_cloud

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

SEARCHES = 30
RUNS = 8
INTERVAL_S = 1800
APPLICATIONS = 12
SOCKETS = 6
QUIET_S = 4.0  # without a new log line an operation is over
LONGEST_WAIT_S = 240.0
TIMERS = ("FetcherFunction", "SweeperFunction")  # invoked by the clock, not by an operation
REPORT = re.compile(r"REPORT .*?Duration: (?P<ms>[\d.]+) ms.*?(Init Duration: (?P<init>[\d.]+)|$)")
SPAN = re.compile(r'(?P<line>\{.*"message":"span".*\})')
PREFIX = re.compile(r"^\S+ ")  # the time, which the local log adds


class Counts:
    """What functions did, by name."""

    def __init__(self) -> None:
        self.durations: dict[str, list[float]] = defaultdict(list)
        self.inits: dict[str, list[float]] = defaultdict(list)
        self.calls: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.log_bytes = 0

    def read(self, function: str, lines: list[str]) -> None:
        """Add the *lines* of the log of *function*. Spans are not logged in the cloud, where
        ``TraceSpans`` is off, so that their bytes do not count."""
        for raw in lines:
            line = PREFIX.sub("", raw)
            if found := SPAN.search(line):
                span = json.loads(found["line"])
                self.spans[str(span["kind"])] += 1
                if span["kind"] == "aws":
                    self.calls[str(span["operation"])] += 1
                continue
            self.log_bytes += len(line.encode()) + 1
            if found := REPORT.search(line):
                self.durations[function].append(float(found["ms"]))
                if found["init"]:
                    self.inits[function].append(float(found["init"]))

    def to_json(self, count: int) -> dict[str, Any]:
        """Return the counts of one of *count* operations; durations are medians, in ms."""
        return {
            "operations": count,
            "functions": {
                name: {
                    "invocations": round(len(values) / count, 3),
                    "ms": round(statistics.median(values), 1),
                }
                for name, values in sorted(self.durations.items())
            },
            "calls": {name: round(n / count, 3) for name, n in sorted(self.calls.items())},
            "frames": round(self.spans["frame"] / count, 3),
            "hh_calls": round(self.spans["hh"] / count, 3),
            "statements": round(self.spans["sql"] / count, 3),
            "log_bytes": round(self.log_bytes / count),
        }


class Bench:
    """A running local cloud, and how far its logs were read."""

    def __init__(self, cloud: LocalCloud, client: httpx.Client) -> None:
        self.cloud, self.client = cloud, client
        self._read: dict[str, int] = {}

    def new_lines(self) -> dict[str, list[str]]:
        """Return the lines that were logged since the last call, by function."""
        found = {}
        for folder, function in functions_by_folder().items():
            path = self.cloud.data_dir / "logs" / f"{folder}.log"
            content = path.read_bytes() if path.exists() else b""
            end = content.rfind(b"\n") + 1
            new = content[self._read.get(folder, 0) : end]
            self._read[folder] = end
            if new:
                found[function] = new.decode().splitlines()
        return found

    def measure(
        self, count: int, operate: Callable[[], None], without: tuple[str, ...] = TIMERS
    ) -> dict[str, Any]:
        """Run *operate*, wait until the cloud is quiet, and return what one of *count* did."""
        self.new_lines()
        counts = Counts()
        operate()
        began = quiet_since = time.monotonic()
        while time.monotonic() < min(quiet_since + QUIET_S, began + LONGEST_WAIT_S):
            time.sleep(0.5)
            lines = {n: ls for n, ls in self.new_lines().items() if n not in without}
            for name, of_function in lines.items():
                counts.read(name, of_function)
            if lines:
                quiet_since = time.monotonic()
        return counts.to_json(count)

    def post(self, path: str, body: dict[str, Any], *statuses: int) -> dict[str, Any]:
        """Return the answer of Core. Raises ``RuntimeError`` for another status."""
        answer = self.client.post(path, json=body)
        if answer.status_code not in statuses:
            raise RuntimeError(f"{path}: {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content

    def count_runs(self) -> int:
        """Return how many runs of saved searches have ended."""
        ((count,),) = self.cloud.query("SELECT count(*) FROM fetch_runs WHERE state <> 'running'")
        return int(count)

    def publish(self, title: str) -> str:
        """Publish a vacancy in the sandbox; return its id."""
        return str(self.cloud.sandbox("POST", "/vacancies", {"title": title})["id"])


def measure_searches(bench: Bench) -> dict[str, Any]:
    """Measure different searches, each of which asks hh.ru."""

    def search() -> None:
        for number in range(SEARCHES):
            bench.post("/api/jobs/search", {"text": f"python {number}", "per_page": 20}, 200)

    return bench.measure(SEARCHES, search)


def measure_runs(bench: Bench) -> dict[str, Any]:
    """Measure scheduled runs of saved searches that find one new vacancy each: the sandbox's clock
    advances until they are due, and the next tick of the fetcher begins them."""
    for number in range(RUNS):
        search = {"text": f"водолаз{number}"}
        body = {"user_id": DEMO_USER_ID, "search": search, "interval_seconds": INTERVAL_S}
        made = bench.post("/api/schedules", body, 200, 201)
        path = f"/api/schedules/{made['id']}/fetch"
        bench.post(path, {"user_id": DEMO_USER_ID}, 200, 202)
    bench.measure(1, lambda: None)  # until these runs have ended
    before = bench.count_runs()

    def run() -> None:
        for number in range(RUNS):
            bench.publish(f"водолаз{number}")
        bench.cloud.sandbox("POST", "/clock", {"advance_seconds": INTERVAL_S * 5 // 4})
        deadline = time.monotonic() + LONGEST_WAIT_S
        while bench.count_runs() < before + RUNS and time.monotonic() < deadline:
            time.sleep(2)

    measured = bench.measure(1, run)
    return divided(measured, bench.count_runs() - before)


def divided(measured: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the counts of one of *count* operations that were *measured* as one."""
    functions = {
        name: of | {"invocations": round(of["invocations"] / count, 3)}
        for name, of in measured["functions"].items()
    }
    numbers = ("frames", "hh_calls", "statements")
    return measured | {
        "operations": count,
        "functions": functions,
        "calls": {name: round(n / count, 3) for name, n in measured["calls"].items()},
        **{name: round(measured[name] / count, 3) for name in numbers},
        "log_bytes": round(measured["log_bytes"] / count),
    }


def measure_applications(bench: Bench) -> dict[str, Any]:
    """Measure applications from the request to hh.ru's answer."""
    vacancies = [bench.publish("Бухгалтер") for _ in range(APPLICATIONS)]
    letter = "Здравствуйте! Буду рада поговорить."

    def apply() -> None:
        for vacancy in vacancies:
            body = {"user_id": DEMO_USER_ID, "job_external_id": vacancy, "cover_letter": letter}
            bench.post("/api/applications/submit", body, 202)

    return bench.measure(APPLICATIONS, apply)


def measure_sockets(bench: Bench) -> dict[str, Any]:
    """Measure connections: a ticket, the connection, the first frame, a ping, the end."""

    async def connect() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(SOCKETS):
                url = bench.post("/api/realtime/ticket", {"user_id": DEMO_USER_ID}, 200, 201)["url"]
                async with session.ws_connect(url) as socket:
                    await socket.send_json({"type": "subscribe"})
                    await socket.receive_str()
                    await socket.send_json({"type": "ping"})
                    await socket.receive_str()

    return bench.measure(SOCKETS, lambda: asyncio.run(connect()))


def measure_minutes(bench: Bench) -> dict[str, Any]:
    """Measure what an idle minute's timers do."""
    minutes = 2
    bench.new_lines()
    time.sleep(minutes * 60)
    counts = Counts()
    for name, lines in bench.new_lines().items():
        if name in TIMERS:
            counts.read(name, lines)
    return counts.to_json(minutes)


MEASURES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "search": measure_searches,
    "run": measure_runs,
    "application": measure_applications,
    "connection": measure_sockets,
    "idle_minute": measure_minutes,
}


def main() -> None:
    """Measure, and write the file."""
    services.end_on_signals()
    with new_cloud(DEMO_PERSON="anna", THROTTLES="off") as cloud:
        cloud.start()
        with cloud.client() as client:
            bench = Bench(cloud, client)
            warm_up(bench)
            cloud.sandbox("POST", "/employers", {"act": False})
            operations = {}
            for name, measure in MEASURES.items():
                operations[name] = measure(bench)
                print(f"{name}: {json.dumps(operations[name])}", flush=True)
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}; hh.ru's sandbox",
        "operations": operations,
    }
    MEASUREMENTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"wrote {MEASUREMENTS}")


def warm_up(bench: Bench) -> None:
    """Start the functions, so that no start is measured; the demo user is connected then."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while "The demo user is connected" not in "".join(bench.cloud.output):
        if time.monotonic() > deadline:
            raise RuntimeError("the demo user was not connected")
        time.sleep(1)
    bench.post("/api/jobs/search", {"text": "warm", "per_page": 1}, 200)
    vacancy = bench.publish("Бухгалтер")
    body = {"user_id": DEMO_USER_ID, "job_external_id": vacancy, "cover_letter": "-"}
    bench.post("/api/applications/submit", body, 202)
    measure_sockets(bench)


if __name__ == "__main__":
    main()
