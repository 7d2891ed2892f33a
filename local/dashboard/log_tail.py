"""Reading the ends of growing files, across the rotation by :mod:`local.functions.logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_BYTES = 1_000_000  # of each file, read at the first visit
MOST_BYTES = 4_000_000  # of each file, read at once: of more, only the end


class Tail:
    """The unread end of the file *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped_bytes = 0
        self._inode = 0
        self._offset = 0

    def read_lines(self) -> Iterator[str]:
        """Yield the complete lines that were written since the last call."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if self._inode and status.st_ino != self._inode:
            yield from self._read_from(self.path.with_suffix(".log.1"))
            self._offset = 0
        if not self._inode and status.st_size > FIRST_BYTES:
            self._offset = self._next_line(self.path, status.st_size - FIRST_BYTES)
        self._inode = status.st_ino
        if status.st_size > self._offset:
            yield from self._read_from(self.path)

    def _read_from(self, path: Path) -> Iterator[str]:
        try:
            size = path.stat().st_size
            if size - self._offset > MOST_BYTES:
                start = self._next_line(path, size - MOST_BYTES)
                self.skipped_bytes += start - self._offset
                self._offset = start
            with path.open("rb") as file:
                file.seek(self._offset)
                content = file.read(MOST_BYTES)
        except FileNotFoundError:
            return
        complete = content.rfind(b"\n") + 1
        self._offset += complete
        yield from content[:complete].decode(errors="replace").splitlines()

    @staticmethod
    def _next_line(path: Path, offset: int) -> int:
        """Return the start of the first line that begins after *offset*."""
        with path.open("rb") as file:
            file.seek(offset)
            file.readline()
            return file.tell()
