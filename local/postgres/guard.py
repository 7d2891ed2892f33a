"""The owner's side of the guard, which ends an embedded Postgres when its owner process ends."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

OWNER = "owner"  # the file in a server's folder with the token of its owner


class Guard:
    """A guard process. An instance makes this process the owner of the server of *folder*."""

    def __init__(self, folder: Path) -> None:
        token = secrets.token_hex(8)
        (folder / OWNER).write_text(token)
        program = Path(__file__).with_name("guard_process.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(folder), token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the owner
        )

    def dismiss(self) -> None:
        """Stop the guard, because the server has ended or has another owner."""
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        self._process.kill()
        self._process.stdin.close()
        self._process.wait()
