"""The logs of functions and services: a file each, and lines on the terminal."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from local.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 10_000_000
_PROBLEM = re.compile(
    r'"level":"(WARNING|ERROR|CRITICAL)"|\[ERROR\]|Traceback|Task timed out|^Throttled:'
    r"|Status: (timeout|error)|Runtime\.\w+|the cloud would have killed"
)

Echo = Literal["none", "problems", "all"]


class Logs:
    """The logs in *folder*. *echo*: which lines are also printed to the terminal."""

    def __init__(self, folder: Path, *, echo: Echo = "all") -> None:
        self.folder = folder
        self._echo = echo
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str, *, echo: bool | None = None) -> None:
        """Append *text*, a line or several, to the log of *name*.

        *echo*: whether it is also printed; by default only if it reports a problem.
        """
        # awslambdaric separates the lines of a traceback by CR and indents them by no-break spaces,
        # so that CloudWatch keeps them in one event.
        text = printable(text.replace("\r", "\n").replace("\u00a0", " "))
        lines = text.rstrip().split("\n")
        with contextlib.suppress(OSError):  # a full disk must not stop a function
            self._append(self.folder / f"{name}.log", lines)
        wanted = echo if echo is not None else bool(_PROBLEM.search(text))
        if self._echo != "none" and (wanted or (self._echo == "all" and echo is None)):
            print("\n".join(f"[{name}] {line}" for line in lines), flush=True)

    def _append(self, path: Path, lines: list[str]) -> None:
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{at} {line}\n" for line in lines)
