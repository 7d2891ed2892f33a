"""The process that ends an embedded Postgres when its owner process ends, also by SIGKILL.

``python -P guard_process.py <folder> <token>`` waits for the end of its standard input, a pipe
whose other end the owner holds (:mod:`local.postgres.guard`): when the owner ends, the kernel
closes it. A server that has another owner by then (the token in the folder differs) is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def main(folder: Path, token: str) -> None:
    """Wait until the owner ends, then stop the server of *folder* if it has no other owner."""
    while os.read(0, 1):
        pass
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from local.postgres.guard import OWNER
    from local.postgres.server import EmbeddedPostgres

    with contextlib.suppress(FileNotFoundError):
        if (folder / OWNER).read_text() == token:
            EmbeddedPostgres(folder).stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
