"""``make run``, for the second time: from its start to its first answer.

``make bench-start``. The first start makes the data; it is not counted. Then the same command is
started and stopped in turn, and asked for its health every 20 ms.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx

from benchmarks import results, services
from benchmarks.gateway import free_port
from benchmarks.results import Goal, figure

GOAL = Goal("<=", 4.0)
LIMIT_S = 120
PATH = "/api/v1/system/health"


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    results.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        seconds = [start(folder) for _ in range(options.rounds + 1)][1:]
    results.finish([figure("make run again, to the first answer, s", seconds, GOAL)], options)


def start(folder: Path) -> float:
    """Start the local cloud on *folder* and stop it; return the seconds to its first answer."""
    port = free_port()
    began = time.perf_counter()
    process = services.started(
        "local",
        "run",
        environment={"PORT": str(port), "DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    try:
        while not is_healthy(port):
            if process.poll() is not None or time.perf_counter() - began > LIMIT_S:
                raise RuntimeError("the local cloud does not start")
            time.sleep(0.02)
        took = time.perf_counter() - began
        time.sleep(3)  # until it has started whole
        return took
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        reader.join()


def is_healthy(port: int) -> bool:
    """Return whether the function ``health`` answers on *port*."""
    try:
        return httpx.get(f"http://localhost:{port}{PATH}", timeout=30).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
