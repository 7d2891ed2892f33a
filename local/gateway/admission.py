"""Admission of requests in the order of their arrival, a few in each pass of the event loop.

A loop runs all that is ready before it looks for more: a thousand requests at once would take one
pass of more than a second, in which nothing else is answered. With a few in each pass, the others
wait no longer than before, and the dashboard and WebSocket frames go between them.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Admission:
    """Admits *per_pass* callers in each pass of the event loop."""

    def __init__(self, per_pass: int) -> None:
        self._per_pass = per_pass
        self._left = per_pass
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    async def wait(self) -> None:
        """Return when the caller is admitted."""
        self._schedule()
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.append(admitted)
        await admitted

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_pass)

    def _begin_pass(self) -> None:
        self._is_scheduled = False
        self._left = self._per_pass
        while self._waiting and self._left > 0:
            admitted = self._waiting.popleft()
            if not admitted.done():  # else its client has left
                admitted.set_result(None)
                self._left -= 1
        if self._waiting:
            self._schedule()
