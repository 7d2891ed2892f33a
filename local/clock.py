"""The clock of the local system: real time, moved by the sandbox's control route.

The state is one small JSON file in the data folder, replaced atomically, so that every process
(sandbox, functions, event sources) agrees and a second start continues where the first stopped::

    {"real": 1790000000.0, "virtual": 1790000000.0, "rate": 1.0}

At the real time *r* (seconds since the epoch) it is ``virtual + (r - real) * rate``. Without a file
it is real time. Only the sandbox writes it.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "clock.json"


class LocalClock:
    """Reads, and for the sandbox moves, the clock file. A read of an unchanged file costs one
    ``stat``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._real = self._virtual = 0.0
        self._rate = 1.0

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        self._refresh()
        real = time.time()
        return datetime.fromtimestamp(self._virtual + (real - self._real) * self._rate, UTC)

    @property
    def rate(self) -> float:
        """Return the virtual seconds per real second."""
        self._refresh()
        return self._rate

    def advance(self, seconds: float) -> None:
        """Move the clock ahead. Raises ``ValueError`` for a negative number."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._write(self.now().timestamp() + seconds, self.rate)

    def run_at(self, rate: float) -> None:
        """Let *rate* virtual seconds pass per real second from now on (0 stops the clock). Raises
        ``ValueError`` for a negative number."""
        if rate < 0:
            raise ValueError("the clock only moves forward")
        self._write(self.now().timestamp(), rate)

    def _write(self, virtual: float, rate: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replacement = self.path.with_suffix(f".{os.getpid()}.tmp")
        state = {"real": time.time(), "virtual": virtual, "rate": rate}
        try:
            replacement.write_text(json.dumps(state))
            replacement.replace(self.path)
        except OSError:  # a full disk: the clock continues unchanged
            replacement.unlink(missing_ok=True)
            raise
        self._seen = None

    def _refresh(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._real, self._virtual, self._rate = None, 0.0, 0.0, 1.0
            return
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            state = json.loads(self.path.read_text())
            self._real, self._virtual = state["real"], state["virtual"]
            self._rate, self._seen = state["rate"], seen
