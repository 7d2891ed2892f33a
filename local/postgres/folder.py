"""The folder of an embedded server: its owner, and the files beside Postgres' own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from typing import TYPE_CHECKING

from local.postgres.binaries import PostgresError, system_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_TIMEOUT_S = 90


class Folder:
    """The folder *path*; call :meth:`make` first."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.cluster = self.path / "cluster"
        self.log = self.path / "server.log"

    def make(self) -> None:
        """Create missing files, private to the owner. Raises :class:`PostgresError`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            if self.owner == 0:
                os.chown(self.path, system_user(), -1)
        elif self.owner != os.geteuid():
            raise PostgresError(
                f"{self.path} belongs to another user (uid {self.owner}). "
                "Run as that user, give the folder away (chown -R) or choose another DATA_DIR."
            )
        self.path.chmod(0o700)
        first = {"password": secrets.token_urlsafe(32), "port": "0", "server.log": "", "lock": ""}
        for name, content in first.items():
            self._write_once(self.path / name, content)

    def _write_once(self, path: Path, content: str) -> None:
        """Create *path* with *content* atomically, unless it exists."""
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(content)
        os.chown(draft, self.owner, -1)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()

    @property
    def owner(self) -> int:
        """Return the uid that the server runs as."""
        return self.path.stat().st_uid

    @property
    def password(self) -> str:
        """Return the password of both roles."""
        return (self.path / "password").read_text()

    @property
    def port(self) -> int:
        """Return the chosen port; 0 before the first start."""
        return int((self.path / "port").read_text())

    @port.setter
    def port(self, port: int) -> None:
        (self.path / "port").write_text(str(port))

    def log_tail(self) -> str:
        """Return the end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which the system releases when this process ends. Raises
        :class:`PostgresError`."""
        with (self.path / "lock").open("a") as lock:
            for _ in until(LOCK_TIMEOUT_S):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
            else:
                raise PostgresError(f"another process keeps starting or stopping {self.path}")
            yield


def until(timeout_s: float, pause_s: float = 0.05) -> Iterator[None]:
    """Yield at once, then every *pause_s* seconds until *timeout_s* have passed."""
    deadline = time.monotonic() + timeout_s
    yield
    while time.monotonic() < deadline:
        time.sleep(pause_s)
        yield
