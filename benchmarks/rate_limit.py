"""Acquires on AWS's DynamoDB Local: Core's token bucket compared with zae-limiter's.

``make bench-rate-limit``. Both limiters use the same DynamoDB Local, each in its own processes and
virtual environment, alternating within each round. *In use*: one process, then four, with a used
bucket that always has a token. *Demand*: one process, then four, that want more than a bucket of
10 tokens and 50 per second allows, and wait as long as the limiter says; measured is the granted
share of the allowed tokens. The results are medians of all rounds but the first.
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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks import progress, results, services
from benchmarks.limiters.worker import SCARCE
from benchmarks.results import Goal, Row, compare
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

REQUESTS = "requests an acquire"
GOALS = {  # of the ratio to zae-limiter; of our own figure
    "acquires a second": Goal(">=", 3.0),
    REQUESTS: Goal("<=", 1.0),
    "percent of the allowed, 1 process": Goal(">=", 99.5),
    f"percent of the allowed, {PROCESSES} processes": Goal(">=", 99.5),
}


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
    results.add_option(parser)
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
            progress.show(f"round {number}/{options.rounds}")
    progress.clear()
    results.finish(rows(figures), options)


@contextlib.contextmanager
def dynamodb() -> Iterator[str]:
    """Run AWS's DynamoDB Local with Core's table; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        server = DynamoDbLocal(package.folder(), Path(folder) / "log")
        try:
            os.environ |= {**VARIABLES, "AWS_ENDPOINT_URL_DYNAMODB": server.url}
            try:
                aws.call("dynamodb", "CreateTable", TABLE)
            except aws.AwsError as error:  # its first answer is late on a busy machine
                if error.code != "ResourceInUseException":
                    raise
            yield server.url
        finally:
            aws.reset_connections()
            server.stop()


def measure(workers: list[Worker]) -> dict[str, float]:
    """Return the figures of one round of one limiter."""
    workers[0].start("steady", key=f"steady-{uuid4()}", count=STEADY_COUNT)
    steady = workers[0].result()
    many = acquires_of_all(workers)
    single, parallel = demand(workers[:1]), demand(workers)
    return {
        "acquires a second": STEADY_COUNT / sum(steady["seconds"]),
        "p50, ms": statistics.median(steady["seconds"]) * 1000,
        REQUESTS: steady["requests"] / STEADY_COUNT,
        f"acquires a second, {PROCESSES} processes": many,
        "percent of the allowed, 1 process": single[0] * 100,
        "requests a grant, 1 process": single[1],
        f"percent of the allowed, {PROCESSES} processes": parallel[0] * 100,
        f"requests a grant, {PROCESSES} processes": parallel[1],
    }


def acquires_of_all(workers: list[Worker]) -> float:
    """Return the acquires a second of all *workers* at once, each with a bucket of its own."""
    began = time.perf_counter()
    for worker in workers:
        worker.start("steady", key=f"steady-{uuid4()}", count=STEADY_COUNT)
    for worker in workers:
        worker.result()
    return len(workers) * STEADY_COUNT / (time.perf_counter() - began)


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


def rows(figures: Figures) -> list[Row]:
    """Return the rows of the table. Raises ``RuntimeError`` if more was granted than allowed."""
    table = []
    for measured, core in figures["core"].items():
        row = compare(f"token bucket, {measured}; zae-limiter", core, figures["zae"][measured])
        goal = GOALS.get(measured)
        if "percent" in measured or measured == REQUESTS:  # the goal is of our own figure
            row = replace(row, ratio=None, spread=(min(core), max(core)))
        if "percent" in measured and max(core) > 100:
            raise RuntimeError(f"more was granted than the bucket allows: {max(core)} %")
        table.append(replace(row, goal=goal))
    return table


if __name__ == "__main__":
    main()
