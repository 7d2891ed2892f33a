"""The memory of each function after one invocation and after 1,000.

``make bench-memory``. Each function runs in an emulator as in :mod:`benchmarks.cold_start`, with
its sample event, on the same services; three functions at a time. Measured is the resident memory
of the Python process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import cold_start, results, services
from benchmarks.results import Goal, Row
from benchmarks.secret_reads import SecretsManager
from benchmarks.services import running

if TYPE_CHECKING:
    from benchmarks.cold_start import Case

INVOCATIONS = 1_000
GOAL = Goal("<=", 5.0)
AT_A_TIME = 3
BASELINES = ("naive search", "empty")


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=INVOCATIONS)
    results.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "data") as variables:
        folder = Path(name)
        manager = SecretsManager(variables["SearchFunction"]["AWS_ENDPOINT_URL"])
        cases = cold_start.prepare(folder, variables, manager)
        cold_start.connect_person({case.name: case for case in cases}, folder)
        cases = [case for case in cases if case.name not in BASELINES]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            rows = list(pool.map(lambda case: measure(case, folder, options.invocations), cases))
    results.finish(rows, options)


def measure(case: Case, folder: Path, invocations: int) -> Row:
    """Return the row of a function. Raises ``RuntimeError`` if an invocation fails."""
    with cold_start.emulator(case, folder) as (process, port, log_path):
        for number in range(1, invocations + 1):
            answer = cold_start.invoke(port, case.event)
            busy = '"hh_busy"' in answer.get("body", "")  # hh.ru's limit, which is kept here too
            if "errorMessage" in answer or (answer.get("statusCode", 200) >= 500 and not busy):
                raise RuntimeError(f"{case.name} fails: {answer}\n{log_path.read_text()[-2000:]}")
            if number == 1:
                first_mb = resident_mb(process.pid)
        last_mb = resident_mb(process.pid)
    print(f"{case.name}: {first_mb:.1f} MB, then {last_mb:.1f}", file=sys.stderr)
    growth = last_mb - first_mb
    what = f"memory of {case.name}, {first_mb:.0f} MB: growth by {invocations} invocations, MB"
    return Row(what, growth, None, None, (growth, growth), GOAL)


def resident_mb(emulator: int) -> float:
    """Return the resident memory of the function's process below *emulator*."""
    (child,) = psutil.Process(emulator).children()
    return float(child.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
