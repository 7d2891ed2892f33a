"""The backing services of a benchmark: those of a local run, on their own data folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from local import child
from local.child import Lifeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that it ends its children."""

    def interrupt(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def started(
    module: str, *arguments: str, environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[str]:
    """Start ``python -m module``, which ends with this process, also at a SIGKILL."""
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
def running(data_dir: Path, **environment: str) -> Iterator[dict[str, dict[str, str]]]:
    """Run Postgres, AWS and hh.ru's sandbox; yield each function's variables by logical id.
    *environment*: their settings."""
    with started(
        "local",
        *("services", "--container-host", "127.0.0.1"),
        environment={"DATA_DIR": str(data_dir), **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ready"):
                    break
            else:
                raise RuntimeError(f"the services do not start:\n{''.join(lines)}")
            yield json.loads((data_dir / "sam-env.json").read_text())
        finally:
            process.terminate()
            process.communicate()


@contextlib.contextmanager
def running_cloud(ready: str, **environment: str) -> Iterator[tuple[str, str, str]]:
    """Run a local cloud on its own data folder; once it has printed *ready*, yield its address, the
    sandbox's, and the secret. *environment*: its settings."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-cloud-")))
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = stack.enter_context(
            started(
                "local",
                "run",
                environment={"PORT": str(port), "DATA_DIR": str(folder), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if ready in line:
                break
        else:
            raise RuntimeError(f"the local cloud does not start:\n{''.join(lines)}")
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        try:
            url = f"http://localhost:{port}"
            secrets = json.loads((folder / "secrets.json").read_text())
            sandbox = httpx.get(f"{url}/_local/").json()["hh"]
            yield url, sandbox, secrets["ORCHESTRATOR_SECRET"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            reader.join()
