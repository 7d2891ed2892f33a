"""Parallel processes that do the same work at the same moment, as Lambda's environments do.

Each is a fresh interpreter, so they share only the state in AWS and Postgres. Each imports its
modules, reports that it is ready, and begins when all are ready.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from local.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

READY = "ready\n"


def run_in_parallel(count: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return the results of ``work(*arguments)`` in each of *count* processes.

    *work*: a function of a module such as :mod:`tests.dynamodb_local.work`, not of a test module,
    which would import pytest. Arguments and results are passed as JSON. The processes inherit the
    environment, as ``monkeypatch`` left it. An exception in one of them fails the test; its
    traceback is in the captured output.
    """
    processes = [_start(work, arguments) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == READY
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * count
        return [json.loads(output.splitlines()[-1]) for output in outputs]  # logs come before it
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _start(work: Callable[..., Any], arguments: tuple[Any, ...]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, work.__module__, work.__name__]
    return subprocess.Popen(
        [*command, json.dumps(arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "layers" / "core")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main(module: str, function: str, arguments: str) -> None:
    """Run one of the parallel processes."""
    work = getattr(importlib.import_module(module), function)
    print(READY, end="", flush=True)
    if sys.stdin.readline():  # empty if the tests have ended
        print(json.dumps(work(*json.loads(arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
