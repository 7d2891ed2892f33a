"""The output of a function's process, read by the event loop.

A process writes line by line, and to wake for a line costs the loop more than the line itself:
after the first, it reads again :data:`PAUSE_S` later, or when an invocation ends.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAUSE_S = 0.005
_CHUNK = 65_536  # bytes, as many as a pipe of Linux holds


class Output:
    """The lines that arrive at *read_end* of a pipe, which is closed at the end of the output.

    Each line goes to *log*, unless :meth:`take` was called in time.
    """

    def __init__(self, read_end: int, log: Callable[[Iterable[str]], None]) -> None:
        os.set_blocking(read_end, False)
        self._read_end = read_end
        self._log = log
        self._rest = b""  # a line whose end has not arrived
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(read_end, self._pause)
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def take(self) -> list[str]:
        """Return the lines that have arrived since."""
        lines: list[bytes] = []
        while not self.ended.done():
            try:
                chunk = os.read(self._read_end, _CHUNK)
            except BlockingIOError:
                break
            *complete, self._rest = (self._rest + chunk).split(b"\n")
            lines += complete
            if not chunk:
                lines += [self._rest] if self._rest else []
                self._loop.remove_reader(self._read_end)
                os.close(self._read_end)
                self.ended.set_result(None)
        return [line.decode("utf-8", "replace") for line in lines]

    def _pause(self) -> None:
        self._loop.remove_reader(self._read_end)
        self._loop.call_later(PAUSE_S, self._read)

    def _read(self) -> None:
        if lines := self.take():
            self._log(lines)
        if not self.ended.done():
            self._loop.add_reader(self._read_end, self._pause)
