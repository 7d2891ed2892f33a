"""An execution environment of a function: a process that serves one invocation at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

from local.functions.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PAYLOAD_LIMIT = 6 * 1024 * 1024 + 100  # bytes, of a synchronous invocation, either way
_PEAK_AGE_S = 1.0


@dataclass(frozen=True)
class Result:
    """The result of an invocation. *error*: the type of the function's error, if it failed."""

    payload: bytes
    error: str | None = None

    @classmethod
    def failed(cls, error: str, message: str) -> Result:
        """Return a failure that Lambda reports for the function."""
        return cls(json.dumps({"errorType": error, "errorMessage": message}).encode(), error)


@dataclass
class Invocation:
    """An invocation of a function with an event."""

    payload: bytes
    function_arn: str
    timeout_s: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = ""
    started: float = 0.0  # time.monotonic() when the process received it
    deadline_ms: int = 0  # since the epoch


class Connection(Protocol):
    """A connection over which a process calls its Runtime API."""

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer the call with a JSON *body*."""

    def accept(self) -> None:
        """Answer the call with 202."""

    def refuse(self, status: int, kind: str, message: str) -> None:
        """Answer the call with an error."""

    def close(self) -> None:
        """Close the connection."""


class Worker:
    """A process whose output arrives at *read_end* of a pipe. Create it with
    :meth:`~local.functions.runtime_api.RuntimeApi.start`, which connects it with its process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        read_end: int,
        log: Callable[[Iterable[str]], None],
    ) -> None:
        self.process = process
        self.connections: set[Connection] = set()
        self.generation = 0  # of the code that it runs
        self.started = self.idle_since = time.monotonic()
        self.init_s: float | None = None  # of the cold start, once it is over
        self._peak_mb: int | None = None
        self._peak_read_at = -_PEAK_AGE_S
        self._loop = asyncio.get_running_loop()
        self._initialised: asyncio.Future[Result | None] = self._loop.create_future()
        self._asking: Connection | None = None  # the one that waits for an invocation
        self._given: Invocation | None = None  # what the process has not asked for yet
        self._current: Invocation | None = None
        self._result: asyncio.Future[Result] = self._loop.create_future()
        self._output = Output(read_end, log)
        self.exited: asyncio.Task[str] = self._loop.create_task(self._wait_for_exit())
        self.exited.add_done_callback(self._fail)

    # ── for the service ──────────────────────────────────────────────────────────────────────

    @property
    def alive(self) -> bool:
        """Return whether the process can serve another invocation."""
        return not self.exited.done()

    async def initialise(self, limit_s: float) -> Result | None:
        """Wait for the end of INIT; return its failure or ``None``. Raises ``TimeoutError``."""
        async with asyncio.timeout(limit_s):
            return await self._initialised

    async def serve(self, invocation: Invocation, limit_s: float) -> Result:
        """Pass *invocation* to the process and return the result. Raises ``TimeoutError`` after
        *limit_s*."""
        self._current, self._result = invocation, self._loop.create_future()
        invocation.started = time.monotonic()
        invocation.deadline_ms = int((time.time() + limit_s) * 1000)
        self._given = invocation
        self._pass_on()
        if not self.alive:
            self._fail(self.exited)
        try:
            async with asyncio.timeout(limit_s):
                return await self._result
        finally:
            self._current = None

    def take_output(self) -> list[str]:
        """Return the lines that the process has written and that are not in the log yet."""
        return self._output.take()

    async def kill(self) -> None:
        """Kill the process and its children, and read the rest of its output."""
        self._kill_group()
        await self.exited

    def peak_memory_mb(self) -> int | None:
        """Return the peak memory of the process; ``None`` where the system does not report it. It
        is read once a second at most: under load it would cost more than an invocation's rest."""
        if time.monotonic() - self._peak_read_at >= _PEAK_AGE_S:
            self._peak_mb, self._peak_read_at = self._read_peak_memory_mb(), time.monotonic()
        return self._peak_mb

    def _read_peak_memory_mb(self) -> int | None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
            return int(peak.split()[1]) // 1024
        return None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def _wait_for_exit(self) -> str:
        status = await self.process.wait()
        self._kill_group()  # children left by the function would keep the pipe open
        await self._output.ended
        if status < 0:
            return f"with error: signal: {signal.strsignal(-status)}".lower()
        return f"with error: exit status {status}" if status else "without providing a reason"

    def _fail(self, exited: asyncio.Task[str]) -> None:
        """Report to those who wait for the process that it has ended."""
        message = f"Error: Runtime exited {exited.result()}"
        if not self._initialised.done():
            self._initialised.set_result(Result.failed("Runtime.ExitError", message))
        if self._current is not None and not self._result.done():
            message = f"RequestId: {self._current.request_id} {message}"
            self._result.set_result(Result.failed("Runtime.ExitError", message))

    def owns(self, peer: tuple[str, int]) -> bool:
        """Return whether the process or a child of it has the other end of a connection."""
        return any(_has_socket(process, peer) for process in _tree(self.process.pid))

    # ── the Runtime API ──────────────────────────────────────────────────────────────────────

    def next_invocation(self, connection: Connection) -> None:
        """Handle ``GET /runtime/invocation/next``: end INIT, then wait for an event."""
        if not self._initialised.done():
            self.init_s = time.monotonic() - self.started
            self._initialised.set_result(None)
        self._asking = connection
        self._pass_on()

    def init_failed(self, connection: Connection, body: bytes, error: str) -> None:
        """Handle ``POST /runtime/init/error``."""
        if not self._initialised.done():
            self._initialised.set_result(Result(body, error))
        connection.accept()

    def finish_invocation(
        self, connection: Connection, request_id: str, body: bytes, error: str | None
    ) -> None:
        """Handle ``POST /runtime/invocation/{id}/response`` or ``…/error``."""
        if self._current is None or self._current.request_id != request_id or self._result.done():
            connection.refuse(400, "InvalidRequestID", "Invalid request ID")
        elif len(body) > PAYLOAD_LIMIT:
            message = f"exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."
            kind = "Function.ResponseSizeTooLarge"
            self._result.set_result(Result.failed(kind, f"Response payload size {message}"))
            connection.refuse(413, "RequestEntityTooLarge", message)
        else:
            self._result.set_result(Result(body, error))
            connection.accept()

    def disconnected(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        self.connections.discard(connection)
        if self._asking is connection:
            self._asking = None

    def _pass_on(self) -> None:
        """Give the invocation to the connection that asks, once there are both."""
        if self._asking is None or self._given is None:
            return
        connection, self._asking = self._asking, None
        invocation, self._given = self._given, None
        connection.answer(
            200,
            invocation.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
            },
        )


def _tree(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        yield first
        yield from first.children(recursive=True)


def _has_socket(process: psutil.Process, address: tuple[str, int]) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(
            connection.laddr and tuple(connection.laddr) == address
            for connection in process.net_connections("tcp4")
        )
    return False
