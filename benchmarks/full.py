"""All benchmarks, one after another, and one table.

``make bench``. Each runs as its own target does, with as many rounds as fit into ten minutes
together. ``--write`` keeps the table in docs/performance.md, with date, machine and versions.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import results, services

if TYPE_CHECKING:
    from benchmarks.results import Row

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs" / "performance.md"
LIMIT_S = 600
PACKAGES = ("aws-lambda-powertools", "boto3", "psycopg", "pydantic", "aiohttp", "moto")
TEXT = """# Performance

The last full run of `make bench`, written by `make bench WRITE=1`. A ratio is ours to the
baseline's in the same round, and the median of the rounds; the spread is its least and its most.
Goals are of the ratio, where there is one. Each module in `benchmarks/` says what it measures.

{facts}

{table}
"""


def main() -> None:
    """Run the benchmarks from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zae-python", required=True, help="where zae-limiter is")
    parser.add_argument("--fastapi", required=True, help="where FastAPI is")
    parser.add_argument("--offline", required=True, help="where serverless-offline is")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--only", help="the benchmarks to run, separated by commas")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("docs/performance.md holds whole runs: not --write with --only")
    benchmarks = {
        "cold_start": ["--rounds", "3"],
        "memory": [],
        "edge": ["--rounds", "5", "--packages", options.fastapi],
        "rate_limit": ["--rounds", "2", "--zae-python", options.zae_python],
        "store": ["--rounds", "3"],
        "fetch": ["--rounds", "2"],
        "broadcast": ["--rounds", "3"],
        "submit_latency": ["--bursts", "7"],
        "gateway": ["--rounds", "3", "--offline", options.offline],
        "second_start": ["--rounds", "3"],
    }
    wanted = options.only.split(",") if options.only else list(benchmarks)
    began = time.monotonic()
    rows: list[Row] = []
    failed: list[str] = []
    for name in wanted:
        found = run(name, benchmarks[name])
        if found is None:
            failed.append(name)
        rows += found or []
    seconds = time.monotonic() - began
    table = results.table(rows)
    print("\n".join(["", *table]))
    missed = [row.measured for row in rows if not row.is_met]
    late = seconds > LIMIT_S
    print(f"\n{len(rows)} rows in {seconds:.0f} s; {len(missed)} goals missed")
    if late:
        print(f"It took longer than {LIMIT_S} s.")
    if failed:
        print(f"These did not run: {', '.join(failed)}")
    if options.write and not failed:
        facts = "\n".join(f"- {fact}" for fact in facts_of_run(seconds, len(missed)))
        DOCUMENT.write_text(TEXT.format(facts=facts, table="\n".join(table)))
    sys.exit(1 if missed or failed or late else 0)


def run(name: str, arguments: list[str]) -> list[Row] | None:
    """Run a benchmark and return its rows; ``None`` if it failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(kept)]
        subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        rows = results.read(kept) if kept.exists() else None
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return rows


def facts_of_run(seconds: float, missed: int) -> list[str]:
    """Return when and on what the benchmarks ran, as texts."""
    memory_gb = psutil.virtual_memory().total / 1e9
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    tools = ", ".join(
        f"{tool} {text}" for tool, text in (("node", _printed("node", "--version")),) if text
    )
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {seconds:.0f} s; {missed} goals missed",
        f"commit {_printed('git', 'rev-parse', '--short', 'HEAD')}",
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB, {platform.system()}; "
        f"load in the last minute at the end {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}, {versions}" + (f", {tools}" if tools else ""),
    ]


def _printed(*command: str) -> str:
    """Return what a command prints; ``""`` where it cannot be run."""
    try:
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()


if __name__ == "__main__":
    main()
