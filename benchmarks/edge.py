"""The warm edge: Core's, beside Powertools' resolver with validation and FastAPI with Mangum.

``make bench-edge``. An event of API Gateway comes in and a response goes out: authentication by a
secret, the same model that validates the request, the same function that returns an answer (which
its model validates), one line of log and one metric. Nothing else is called. The baselines do not
validate the answer again. Each edge has a process, which alternate in each round; compared is the
CPU of a request in the same round, which other load disturbs less than time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import results, services
from benchmarks.edges import content
from benchmarks.results import Goal, Row, compare

REPOSITORY = Path(__file__).resolve().parents[1]
EDGES = ("core", "powertools", "fastapi_mangum")
COUNT = 400
POWERTOOLS_GOAL = Goal("<=", 0.5)
VARIABLES = {
    "ORCHESTRATOR_SECRET": content.SECRET,
    "AWS_LAMBDA_FUNCTION_NAME": "SearchFunction",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
    "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
}


class Edge:
    """A process with one edge."""

    def __init__(self, name: str, packages: Path) -> None:
        paths = [REPOSITORY, REPOSITORY / "layers" / "core"]
        if name == "fastapi_mangum":
            paths.append(packages)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.edges.{name}"],
            cwd=REPOSITORY,
            env={**os.environ, **VARIABLES, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._result()

    def serve(self, event: dict[str, Any], count: int) -> dict[str, Any]:
        """Serve *event* *count* times; return as :func:`benchmarks.edges.worker.measure`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"event": event, "count": count}) + "\n")
        self._process.stdin.flush()
        return self._result()

    def _result(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--packages", type=Path, required=True, help="where FastAPI is")
    results.add_option(parser)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        edges = {name: Edge(name, options.packages) for name in EDGES}
        for edge in edges.values():
            stack.callback(edge.stop)
        rows = measure(edges, options.rounds)
    results.finish(rows, options)


def measure(edges: dict[str, Edge], rounds: int) -> list[Row]:
    """Return the rows; the first round warms up and is dropped."""
    rows = []
    for measured, event in content.events().items():
        cpu: dict[str, list[float]] = {name: [] for name in EDGES}
        for number in range(rounds + 1):
            for name in reversed(EDGES) if number % 2 else EDGES:
                served = edges[name].serve(event, COUNT)
                answered = json.loads(served["body"])
                if number == 0 and name == EDGES[0]:
                    expected = answered
                if served["status"] != 200 or answered != expected:
                    raise RuntimeError(f"{name} answers {served['status']}: {served['body'][:500]}")
                if number:
                    cpu[name].append(served["cpu"])
        core, powertools, fastapi = cpu.values()
        what = f"edge, {measured}: CPU of a request, us"
        rows.append(compare(f"{what}; Powertools", core, powertools, POWERTOOLS_GOAL))
        rows.append(compare(f"{what}; FastAPI with Mangum", core, fastapi))
    return rows


if __name__ == "__main__":
    main()
