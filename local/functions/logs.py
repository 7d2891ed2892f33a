"""The logs of functions and services: a file each, and lines on the terminal."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from local.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_BYTES = 10_000_000
_PROBLEM = re.compile(
    r'"level":"(WARNING|ERROR|CRITICAL)"|\[ERROR\]|Traceback|Task timed out|^Throttled:'
    r"|Status: (timeout|error)|Runtime\.\w+|the cloud would have killed"
)

_SPAN = '"message":"span"'
# The beginnings of lines that report no problem: a function's, and Lambda's own.
_NO_PROBLEM = ('{"level":"INFO"', "START RequestId: ", "END RequestId: ", "REPORT RequestId: ")


def _lines(text: str) -> list[str]:
    """Return the lines of a text, made printable."""
    if not text.isprintable():
        # awslambdaric separates the lines of a traceback by CR and indents them by no-break spaces,
        # so that CloudWatch keeps them in one event.
        text = printable(text.replace("\r", "\n").replace("\u00a0", " "))
    return text.rstrip().split("\n")


Echo = Literal["none", "problems", "all"]


@dataclass
class _File:
    """An open log file, and the bytes in it."""

    descriptor: int
    size: int


class Logs:
    """The logs in *folder*. *echo*: which lines are also printed to the terminal."""

    def __init__(self, folder: Path, *, echo: Echo = "all") -> None:
        self.folder = folder
        self._echo = echo
        self._files: dict[str, _File] = {}  # by name
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str, *, echo: bool | None = None) -> None:
        """Append *text*, a line or several, to the log of *name*.

        *echo*: whether it is also printed; by default only if it reports a problem.
        """
        self.write_all(name, [text], echo=echo)

    def write_all(self, name: str, texts: Iterable[str], *, echo: bool | None = None) -> None:
        """Append several texts to the log of *name*, each as :meth:`write` does, at once."""
        entries = [(text, _lines(text)) for text in texts]
        with contextlib.suppress(OSError):  # a full disk must not stop a function
            self._append(name, [line for _, some in entries for line in some])
        for text, lines in entries:
            self._echo_lines(name, text, lines, echo)

    def _echo_lines(self, name: str, text: str, lines: list[str], echo: bool | None) -> None:
        """Print the lines of *text* if that is wanted."""
        if self._echo == "none":
            return
        if echo is None and text.startswith(_NO_PROBLEM):
            wanted = False
        else:
            wanted = echo if echo is not None else bool(_PROBLEM.search(text))
        if not wanted and _SPAN in text:  # several for each request
            return
        if wanted or (self._echo == "all" and echo is None):
            print("\n".join(f"[{name}] {line}" for line in lines), flush=True)

    def _append(self, name: str, lines: list[str]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = "".join(f"{at} {line}\n" for line in lines)
        file = self._file(name)
        file.size += os.write(file.descriptor, text.encode("utf-8", "replace"))

    def _file(self, name: str) -> _File:
        """Return the open file of *name*; one that has become too large is put aside."""
        file = self._files.get(name)
        if file is not None and file.size <= _MAX_BYTES:
            return file
        path = self.folder / f"{name}.log"
        if file is not None:
            os.close(self._files.pop(name).descriptor)
            path.replace(path.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        file = self._files[name] = _File(descriptor, os.fstat(descriptor).st_size)
        return file

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1].descriptor)
