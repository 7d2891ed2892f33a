"""The backing services of a benchmark: those of a local run, on a data folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import child
from local.child import Lifeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that it ends what it started."""

    def interrupt(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def started(
    module: str, *arguments: str, environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[str]:
    """``python -m module``, which ends when this process does, SIGKILL included."""
    lifeline = Lifeline()
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "layers" / "core")))
    process: subprocess.Popen[str] = subprocess.Popen(
        child.command(lifeline, module, *arguments),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        pass_fds=[lifeline.read_end],
        **options,
    )
    os.close(lifeline.read_end)  # the other end closes with this process
    return process


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Postgres, AWS and hh.ru's sandbox; gives each function's variables by logical id."""
    with started(
        "local",
        *("services", "--container-host", "127.0.0.1"),
        environment={"DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("Ready"):
                    break
            else:
                raise RuntimeError(f"the services do not start:\n{''.join(said)}")
            yield json.loads((data_dir / "sam-env.json").read_text())
        finally:
            process.terminate()
            process.communicate()
