"""The guard, which ends an embedded Postgres when its owner process ends, also by SIGKILL.

``python -P guard.py <folder> <token>`` waits for the end of its standard input, a pipe whose other
end the owner holds: when the owner ends, the kernel closes it. A server that has another
owner by then (the token in the folder differs) is left alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.postgres.server import EmbeddedPostgres

_OWNER = "owner"


class Guard:
    """The owner's side. An instance makes this process the owner of the server of *folder*."""

    def __init__(self, folder: Path) -> None:
        token = secrets.token_hex(8)
        (folder / _OWNER).write_text(token)
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(folder), token],
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


def end(server: EmbeddedPostgres, token: str) -> None:
    """End *server* unless it has another owner than *token* says."""
    with contextlib.suppress(FileNotFoundError):
        if (server.data_dir / _OWNER).read_text() == token:
            server.stop()


def main(folder: str, token: str) -> None:
    """Wait until the owner ends; see the module's docstring."""
    while os.read(0, 1):
        pass
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from local.postgres.server import EmbeddedPostgres

    end(EmbeddedPostgres(Path(folder)), token)


if __name__ == "__main__":
    main(*sys.argv[1:3])
