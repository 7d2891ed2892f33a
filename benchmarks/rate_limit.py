"""Acquires on AWS's DynamoDB Local: Core's token bucket compared with zae-limiter's.

``make bench-rate-limit``. Both limiters use the same DynamoDB Local, each in its own processes and
virtual environment, alternating within each round. *Steady*: one process, with a used bucket that
always has a token. *Demand*: one process, then four, that want more than a bucket of 10 tokens and
50 per second allows, and wait as long as the limiter says; measured is the granted share of the
allowed tokens. The results are medians of all rounds but the first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks import services
from benchmarks.limiters.worker import SCARCE
from tests.dynamodb_local import package
from tests.dynamodb_local.server import DynamoDbLocal
from ullgetthejob.platform import aws

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
TABLE = {
    "TableName": "buckets",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
}
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "eu-central-1",
    "BUCKET_TABLE": "buckets",
    "ZAE_TABLE": "zae",
    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'layers' / 'core'}",
}
STEADY_COUNT = 400
DEMAND_S = 8.0
PROCESSES = 4
LIMITERS = ("core", "zae")

# The ratio to zae-limiter, and the share of the tokens that the bucket allows.
RATIO_TARGET = 1.4
REQUESTS_TARGET = 1.0
SHARE_TARGET = 0.99


class Worker:
    """A process that acquires tokens."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.result()

    def start(self, work: str, **options: Any) -> None:
        """Start *work* in the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"work": work, **options}) + "\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Wait for the result of the work, and return it."""
        assert self._process.stdout is not None
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


Figures = dict[str, dict[str, list[float]]]  # by limiter and measurement


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--zae-python", type=Path, required=True, help="where zae-limiter is")
    options = parser.parse_args()
    commands = {
        "core": [sys.executable, "-m", "benchmarks.limiters.core"],
        "zae": [str(options.zae_python), "benchmarks/limiters/zae.py"],
    }
    figures: Figures = {name: {} for name in LIMITERS}
    with dynamodb() as url, contextlib.ExitStack() as stack:
        environment = {**VARIABLES, "AWS_ENDPOINT_URL_DYNAMODB": url}
        workers: dict[str, list[Worker]] = {name: [] for name in LIMITERS}
        for name in LIMITERS * PROCESSES:
            worker = Worker(commands[name], environment)
            stack.callback(worker.stop)
            workers[name].append(worker)
        for number in range(options.rounds + 1):  # the first one warms up and is dropped
            for name in reversed(LIMITERS) if number % 2 else LIMITERS:
                for measured, figure in measure(workers[name]).items():
                    if number:
                        figures[name].setdefault(measured, []).append(figure)
            print(f"\rround {number}/{options.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    sys.exit(0 if report(figures) else 1)


@contextlib.contextmanager
def dynamodb() -> Iterator[str]:
    """Run AWS's DynamoDB Local with Core's table; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        server = DynamoDbLocal(package.folder(), Path(folder) / "log")
        try:
            os.environ |= {**VARIABLES, "AWS_ENDPOINT_URL_DYNAMODB": server.url}
            aws.call("dynamodb", "CreateTable", TABLE)
            yield server.url
        finally:
            aws.reset_connections()
            server.stop()


def measure(workers: list[Worker]) -> dict[str, float]:
    """Return the figures of one round of one limiter."""
    workers[0].start("steady", key=f"steady-{uuid4()}", count=STEADY_COUNT)
    steady = workers[0].result()
    single, parallel = demand(workers[:1]), demand(workers)
    return {
        "acquires a second": STEADY_COUNT / sum(steady["seconds"]),
        "p50, ms": statistics.median(steady["seconds"]) * 1000,
        "requests an acquire": steady["requests"] / STEADY_COUNT,
        "share of the allowed, 1 process": single[0],
        "requests a grant, 1 process": single[1],
        f"share of the allowed, {PROCESSES} processes": parallel[0],
        f"requests a grant, {PROCESSES} processes": parallel[1],
    }


def demand(workers: list[Worker]) -> tuple[float, float]:
    """Return the share of a bucket's allowed tokens that *workers* get, and requests per grant."""
    start, key = time.time() + 0.5, f"demand-{uuid4()}"
    for worker in workers:
        worker.start("demand", key=key, start=start, seconds=DEMAND_S)
    results = [worker.result() for worker in workers]
    granted = sum(result["granted"] for result in results)
    burst, per_second = SCARCE
    requests = sum(result["requests"] for result in results)
    return granted / (burst + per_second * DEMAND_S), requests / granted


def report(figures: Figures) -> bool:
    """Print the table; return whether Core's bucket meets its targets."""
    print(f"{'':34} {'core':>8} {'zae':>8} {'ratio':>7}")
    core, zae = (
        {measured: statistics.median(values) for measured, values in figures[name].items()}
        for name in LIMITERS
    )
    for measured, figure in core.items():
        ratio = figure / zae[measured]
        print(f"{measured:34} {figure:8.2f} {zae[measured]:8.2f} {ratio:7.2f}")
    ratio = core["acquires a second"] / zae["acquires a second"]
    shares = [values for measured, values in figures["core"].items() if "share" in measured]
    least = min(map(statistics.median, shares))
    most = max(map(max, shares))
    requests = max(figures["core"]["requests an acquire"])
    met = (
        ratio >= RATIO_TARGET
        and requests == REQUESTS_TARGET
        and least >= SHARE_TARGET
        and most <= 1
    )
    print(
        f"core: {ratio:.2f} x zae's acquires a second (target {RATIO_TARGET:.2f}) at "
        f"{requests:.2f} requests each (target {REQUESTS_TARGET:.2f}); under demand {least:.1%} of "
        f"the allowed rate (target {SHARE_TARGET:.0%}), at most {most:.1%} in any round: "
        f"{'met' if met else 'MISSED'}"
    )
    return met


if __name__ == "__main__":
    main()
