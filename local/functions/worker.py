"""An execution environment of a function: a process, and its own Runtime API.

Calls of the Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) name no
process, so each process has a port of its own. Its clients accept only ``host:port``, so the
address cannot hold a secret: instead the owner of a connection is looked up, and only the process
and its children are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import psutil
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from local.child import Lifeline

PAYLOAD_LIMIT = 6 * 1024 * 1024 + 100  # bytes, of a synchronous invocation, either way
_ACCEPTED = {"status": "OK"}
_NEVER_S = 10**9
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


class Worker:
    """A process that serves one invocation at a time. Create it with :meth:`RuntimeApi.start`."""

    def __init__(
        self, process: asyncio.subprocess.Process, log: Callable[[Iterable[str]], None]
    ) -> None:
        self.process = process
        self.generation = 0  # of the code that it runs
        self.started = self.idle_since = time.monotonic()
        self.init_s: float | None = None  # of the cold start, once it is over
        self._peak_mb: int | None = None
        self._peak_read_at = -_PEAK_AGE_S
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._initialised: asyncio.Future[Result | None] = self._loop.create_future()
        self._given: asyncio.Future[Invocation] = self._loop.create_future()
        self._current: Invocation | None = None
        self._result: asyncio.Future[Result] = self._loop.create_future()
        self._reader = self._loop.create_task(self._read_output())
        self.exited: asyncio.Task[str] = self._loop.create_task(self._wait_for_exit())

    # ── for the service ──────────────────────────────────────────────────────────────────────

    @property
    def alive(self) -> bool:
        """Return whether the process can serve another invocation."""
        return not self.exited.done()

    async def initialise(self, limit_s: float) -> Result | None:
        """Wait for the end of INIT; return its failure or ``None``. Raises ``TimeoutError``."""
        await self._first_of(self._initialised, limit_s)
        if self._initialised.done():
            return self._initialised.result()
        return Result.failed("Runtime.ExitError", f"Error: Runtime exited {self.exited.result()}")

    async def serve(self, invocation: Invocation, limit_s: float) -> Result:
        """Pass *invocation* to the process and return the result. Raises ``TimeoutError`` after
        *limit_s*."""
        self._current, self._result = invocation, self._loop.create_future()
        invocation.started = time.monotonic()
        invocation.deadline_ms = int((time.time() + limit_s) * 1000)
        self._given.set_result(invocation)
        try:
            await self._first_of(self._result, limit_s)
        finally:
            self._current = None
        if self._result.done():
            return self._result.result()
        return Result.failed(
            "Runtime.ExitError",
            f"RequestId: {invocation.request_id} Error: Runtime exited {self.exited.result()}",
        )

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

    async def _first_of(self, future: asyncio.Future[Any], limit_s: float) -> None:
        both: set[asyncio.Future[Any]] = {future, self.exited}
        await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not future.done() and not self.exited.done():
            raise TimeoutError

    async def _wait_for_exit(self) -> str:
        status = await self.process.wait()
        self._kill_group()  # children left by the function would keep the pipe open
        await self._reader
        if status < 0:
            return f"with error: signal: {signal.strsignal(-status)}".lower()
        return f"with error: exit status {status}" if status else "without providing a reason"

    async def _read_output(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  it is a pipe
        rest = b""
        while chunk := await self.process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                self._log([line.decode("utf-8", "replace") for line in lines])
        if rest:
            self._log([rest.decode("utf-8", "replace")])

    def owns(self, peer: tuple[str, int]) -> bool:
        """Return whether the process or a child of it has the other end of a connection."""
        return any(_has_socket(process, peer) for process in _tree(self.process.pid))

    # ── the Runtime API ──────────────────────────────────────────────────────────────────────

    async def next_invocation(self) -> web.Response:
        """Handle ``GET /runtime/invocation/next``: end INIT, then wait for an event."""
        if not self._initialised.done():
            self.init_s = time.monotonic() - self.started
            self._initialised.set_result(None)
        invocation = await self._given
        self._given = self._loop.create_future()
        return web.Response(
            body=invocation.payload,
            content_type="application/json",
            headers={
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
            },
        )

    def init_failed(self, body: bytes, error: str) -> web.Response:
        """Handle ``POST /runtime/init/error``."""
        if not self._initialised.done():
            self._initialised.set_result(Result(body, error))
        return web.json_response(_ACCEPTED, status=202)

    def finish_invocation(self, request_id: str, body: bytes, error: str | None) -> web.Response:
        """Handle ``POST /runtime/invocation/{id}/response`` or ``…/error``."""
        if self._current is None or self._current.request_id != request_id or self._result.done():
            return _runtime_error(400, "InvalidRequestID", "Invalid request ID")
        if len(body) > PAYLOAD_LIMIT:
            message = f"exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."
            kind = "Function.ResponseSizeTooLarge"
            self._result.set_result(Result.failed(kind, f"Response payload size {message}"))
            return _runtime_error(413, "RequestEntityTooLarge", message)
        self._result.set_result(Result(body, error))
        return web.json_response(_ACCEPTED, status=202)


class RuntimeApi:
    """Starts processes and serves each its Runtime API."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._workers: dict[int, Worker] = {}  # by the port of its Runtime API
        self._runner: web.ServerRunner | None = None
        self._known: WeakSet[asyncio.Transport] = WeakSet()  # connections whose owner was looked up

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Callable[[Iterable[str]], None],
    ) -> Worker:
        """Start *command* in *folder* with *environment* and a Runtime API of its own."""
        if self._runner is None:
            # Handlers are cancelled: a process that has ended waits for no invocation.
            server = web.Server(
                self._serve,
                keepalive_timeout=_NEVER_S,
                access_log=None,
                handler_cancellation=True,
            )
            self._runner = web.ServerRunner(server, shutdown_timeout=1)
            await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        site = web.SockSite(self._runner, listener)
        await site.start()
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=[self._lifeline.read_end],
            start_new_session=True,  # without Ctrl-C of the terminal; killpg reaches its children
        )
        worker = self._workers[port] = Worker(process, log)
        worker.exited.add_done_callback(lambda _: asyncio.ensure_future(self._remove(port, site)))
        return worker

    async def close(self) -> None:
        """Kill every process and stop serving."""
        await asyncio.gather(*(worker.kill() for worker in list(self._workers.values())))
        if self._runner is not None:
            await self._runner.cleanup()

    async def _remove(self, port: int, site: web.SockSite) -> None:
        del self._workers[port]
        await site.stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None  # noqa: S101  a request has just come over it
        worker = self._workers.get(request.transport.get_extra_info("sockname")[1])
        if worker is None:
            return _runtime_error(500, "NoSuchRuntime", "the process is unknown")
        if not self._is_known(worker, request.transport):
            return _runtime_error(403, "Forbidden", "this is another process's Runtime API")
        body = await request.content.read()
        error = request.headers.get("Lambda-Runtime-Function-Error-Type") or "Unhandled"
        match request.method, *request.path.split("/")[1:]:
            case "GET", "2018-06-01", "runtime", "invocation", "next":
                return await worker.next_invocation()
            case "POST", "2018-06-01", "runtime", "invocation", request_id, "response":
                return worker.finish_invocation(request_id, body, None)
            case "POST", "2018-06-01", "runtime", "invocation", request_id, "error":
                return worker.finish_invocation(request_id, body, error)
            case "POST", "2018-06-01", "runtime", "init", "error":
                return worker.init_failed(body, error)
            case _:
                return _runtime_error(404, "NotFound", "no such operation")

    def _is_known(self, worker: Worker, transport: asyncio.Transport) -> bool:
        if transport not in self._known:
            if not worker.owns(transport.get_extra_info("peername")[:2]):
                return False
            self._known.add(transport)
        return True


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


def _runtime_error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"errorType": kind, "errorMessage": message}, status=status)
