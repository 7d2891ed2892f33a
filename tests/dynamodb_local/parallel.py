"""A crowd: many processes that do the same thing at the same moment, as Lambda's environments do.

Each is a fresh interpreter, so nothing is shared but what AWS and Postgres hold. It imports what it
needs, says so, and begins when the last one is ready.
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


def at_once(count: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``work(*arguments)`` returned in each of *count* processes.

    *work*: a function of a module such as :mod:`tests.dynamodb_local.work`, not of a test module:
    nobody waits for pytest there. Arguments and results go as JSON. The processes have this one's
    environment, as ``monkeypatch`` left it. An exception in one of them fails the test; its
    traceback is in the captured output.
    """
    processes = [_started(work, arguments) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == READY
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * count
        return [json.loads(answer.splitlines()[-1]) for answer in answers]  # above are logs
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _started(work: Callable[..., Any], arguments: tuple[Any, ...]) -> subprocess.Popen[str]:
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
    """One of the crowd."""
    work = getattr(importlib.import_module(module), function)
    print(READY, end="", flush=True)
    if sys.stdin.readline():  # nothing: the tests have ended
        print(json.dumps(work(*json.loads(arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
