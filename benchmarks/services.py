"""The backing services of a benchmark: those of a local run, on a data folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Postgres, AWS and hh.ru's sandbox; gives each function's variables by logical id."""
    command = [sys.executable, "-m", "local", "services", "--container-host", "127.0.0.1"]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "DATA_DIR": str(data_dir), "PYTHONPATH": "layers/core"},
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
