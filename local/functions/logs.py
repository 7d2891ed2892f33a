"""Where the lines go that functions print: the terminal, under their name, and a file each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEPT_BYTES = 10_000_000


class Logs:
    """The folder *folder* of logs. *echo* also prints each line to the terminal."""

    def __init__(self, folder: Path, *, echo: bool = True) -> None:
        self.folder = folder
        self._echo = echo
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str, *, echo: bool = True) -> None:
        """Append *text*, one line or several, to the log of *name*; without *echo* only there."""
        # awslambdaric separates the lines of a traceback by CR and indents them by no-break spaces,
        # so that CloudWatch keeps them in one event.
        lines = text.replace("\r", "\n").replace("\u00a0", " ").rstrip().split("\n")
        path = self.folder / f"{name}.log"
        if path.exists() and path.stat().st_size > _KEPT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{at} {line}\n" for line in lines)
        if self._echo and echo:
            print("\n".join(f"[{name}] {line}" for line in lines), flush=True)
