"""Lambda on a laptop: functions of the template, each concurrent invocation in its own process.

As in the cloud: processes start on demand and are reused; reserved concurrency limits them; an
invocation that times out kills its process; crashes and failed INITs are reported as by Lambda.
Unlike in the cloud: memory is measured, not limited; an idle process is not frozen; a change of the
code retires the processes that run the old code.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.functions.code import Code, import_paths
from local.functions.environment import process_environment
from local.functions.runtime_api import RuntimeApi
from local.functions.worker import PAYLOAD_LIMIT, Invocation, Result, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.child import Lifeline
    from local.functions.logs import Logs
    from local.template.resources import Function, Template

INIT_LIMIT_S = 10
ACCOUNT_CONCURRENCY = 1000  # of a function without reserved concurrency
IDLE_LIFE_S = 600
_ENTRY = Path(__file__).with_name("process.py")
_FATAL = {"Sandbox.Timedout", "Function.ResponseSizeTooLarge"}  # errors that end the process
_RUNTIME = "awslambdaric" if importlib.util.find_spec("awslambdaric") else "plain"


class Throttled(Exception):
    """Lambda's ``TooManyRequestsException``: the reserved concurrency is in use."""


class PayloadTooLarge(Exception):
    """Lambda's ``RequestTooLargeException``: the event is over 6 MB."""


@dataclass
class Counters:
    """Counters of a function since the start."""

    invocations: int = 0
    errors: int = 0
    timeouts: int = 0
    throttles: int = 0
    cold_starts: int = 0
    last_init_ms: float | None = None


@dataclass
class _Pool:
    function: Function
    paths: list[Path]
    environment: dict[str, str]
    code: Code
    idle: list[Worker] = field(default_factory=list)
    busy: int = 0
    counters: Counters = field(default_factory=Counters)

    @property
    def limit(self) -> int:
        reserved = self.function.reserved_concurrency
        return ACCOUNT_CONCURRENCY if reserved is None else reserved


class LambdaService:
    """Invokes the functions of *template*.

    *environments*: the variables of each function, by logical id; *clock*: the file of the local
    clock, ``None`` for the system's time. Call :meth:`close` at the end.
    """

    def __init__(
        self,
        template: Template,
        environments: Mapping[str, Mapping[str, str]],
        *,
        data_dir: Path,
        logs: Logs,
        lifeline: Lifeline,
        clock: Path | None = None,
        runtime: str = _RUNTIME,
    ) -> None:
        self._logs = logs
        self._lifeline = lifeline
        self._runtime_api = RuntimeApi(lifeline)
        self._clock = clock
        self._runtime = runtime
        self._running: set[asyncio.Future[Any]] = set()
        self._pools: dict[str, _Pool] = {}
        for logical_id, function in template.functions.items():
            paths = import_paths(function, template, data_dir / "layers")
            variables = environments.get(logical_id, function.environment)
            environment = process_environment(function, variables, paths)
            self._pools[logical_id] = _Pool(function, paths, environment, Code(paths))

    async def invoke(
        self, logical_id: str, payload: bytes, trace_id: str = "", request_id: str | None = None
    ) -> Result:
        """Invoke the function with an event (JSON) and return its result.

        *request_id*: of the first attempt, when an event is retried. A failed function is a
        :class:`Result` with an error, as in the cloud. Raises :class:`Throttled`,
        :class:`PayloadTooLarge`, and ``KeyError`` for an unknown function.
        """
        pool = self._pools[logical_id]
        if len(payload) > PAYLOAD_LIMIT:
            raise PayloadTooLarge
        self._retire_stale(pool)
        if pool.busy >= pool.limit:
            pool.counters.throttles += 1
            self._log(pool, f"Throttled: {pool.limit} invocations are running")
            raise Throttled
        pool.counters.invocations += 1
        pool.busy += 1
        function = pool.function
        invocation = Invocation(
            payload,
            function.arn,
            function.timeout_s,
            request_id=request_id or str(uuid.uuid4()),
            trace_id=trace_id,
        )
        # A caller that disconnects does not stop a function.
        running = asyncio.ensure_future(self._run(pool, invocation))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Kill every process."""
        await self._runtime_api.close()
        await asyncio.gather(*self._running, return_exceptions=True)

    def status(self) -> dict[str, dict[str, object]]:
        """Return counters and processes of every function, by its name."""
        return {
            pool.function.name: {
                "logical_id": pool.function.logical_id,
                "routes": [route.key for route in pool.function.routes],
                "processes": {
                    "busy": pool.busy,
                    "idle": [worker.process.pid for worker in pool.idle],
                    "limit": pool.limit,
                },
                **vars(pool.counters),
            }
            for pool in self._pools.values()
        }

    # ── invocations ──────────────────────────────────────────────────────────────────────────

    async def _run(self, pool: _Pool, invocation: Invocation) -> Result:
        try:
            result = await self._run_in(pool.idle.pop() if pool.idle else None, pool, invocation)
        finally:
            pool.busy -= 1
        pool.counters.errors += result.error is not None
        return result

    async def _run_in(self, worker: Worker | None, pool: _Pool, invocation: Invocation) -> Result:
        init_s, limit_s = None, invocation.timeout_s
        if worker is None:
            worker, failure, limit_s = await self._cold_start(pool, invocation)
            if failure is not None:
                await worker.kill()
                return failure
            init_s = worker.init_s
        self._log(pool, f"START RequestId: {invocation.request_id} Version: $LATEST")
        try:
            result = await worker.serve(invocation, limit_s)
        except TimeoutError:
            result = self._timed_out(pool, invocation)
        self._report(pool, invocation, worker, init_s)
        if worker.alive and result.error not in _FATAL:
            worker.idle_since = time.monotonic()
            pool.idle.append(worker)
        else:
            await worker.kill()
        return result

    async def _cold_start(
        self, pool: _Pool, invocation: Invocation
    ) -> tuple[Worker, Result | None, float]:
        """Start a process; return it, its INIT failure or ``None``, and the rest of the timeout."""
        limit_s = invocation.timeout_s
        worker = await self._spawn(pool)
        try:
            failure = await worker.initialise(INIT_LIMIT_S)
        except TimeoutError:
            # Lambda then starts INIT again, within the function's own timeout.
            self._log(pool, f"INIT_REPORT Init Duration: {INIT_LIMIT_S * 1000} ms\tStatus: timeout")
            await worker.kill()
            worker = await self._spawn(pool)
            begun = time.monotonic()
            try:
                failure = await worker.initialise(limit_s)
            except TimeoutError:
                failure = self._timed_out(pool, invocation)
            limit_s -= time.monotonic() - begun
        if failure is not None:
            took = f"Init Duration: {_ms(worker.started)} ms"
            self._log(pool, f"INIT_REPORT {took}\tStatus: error\tError Type: {failure.error}")
        elif worker.init_s is not None:
            pool.counters.last_init_ms = round(worker.init_s * 1000, 1)
        return worker, failure, limit_s

    async def _spawn(self, pool: _Pool) -> Worker:
        function = pool.function
        pool.counters.cold_starts += 1
        generation = pool.code.generation()
        worker = await self._runtime_api.start(
            [
                *(sys.executable, "-P", "-s", str(_ENTRY), str(self._lifeline.read_end)),
                *(self._runtime, str(self._clock or "-"), function.handler),
            ],
            pool.environment,
            function.code,
            lambda lines: self._log(pool, *lines),
        )
        worker.generation = generation
        return worker

    def _timed_out(self, pool: _Pool, invocation: Invocation) -> Result:
        pool.counters.timeouts += 1
        message = f"Task timed out after {invocation.timeout_s:.2f} seconds"
        self._log(pool, f"RequestId: {invocation.request_id} {message}")
        return Result.failed(
            "Sandbox.Timedout", f"RequestId: {invocation.request_id} Error: {message}"
        )

    def _report(
        self, pool: _Pool, invocation: Invocation, worker: Worker, init_s: float | None
    ) -> None:
        duration_ms = _ms(invocation.started)
        memory_mb = pool.function.memory_mb
        peak_mb = worker.peak_memory_mb()
        parts = [
            f"REPORT RequestId: {invocation.request_id}",
            f"Duration: {duration_ms:.2f} ms",
            f"Billed Duration: {math.ceil(duration_ms + (init_s or 0) * 1000)} ms",
            f"Memory Size: {memory_mb} MB",
        ]
        if peak_mb is not None:
            parts.append(f"Max Memory Used: {peak_mb} MB")
        if init_s is not None:
            parts.append(f"Init Duration: {init_s * 1000:.2f} ms")
        end = f"END RequestId: {invocation.request_id}"
        self._log(pool, *worker.take_output(), end, "\t".join(parts))
        if peak_mb is not None and peak_mb > memory_mb:
            self._log(
                pool, f"{peak_mb} MB of {memory_mb}: the cloud would have killed this process"
            )

    def _log(self, pool: _Pool, *lines: str) -> None:
        self._logs.write_all(pool.function.name, lines)

    # ── idle processes ───────────────────────────────────────────────────────────────────────

    def _retire_stale(self, pool: _Pool) -> None:
        generation = pool.code.generation()
        oldest = time.monotonic() - IDLE_LIFE_S
        current = []
        for worker in pool.idle:
            if worker.alive and worker.generation == generation and worker.idle_since > oldest:
                current.append(worker)
            else:
                retiring = asyncio.ensure_future(worker.kill())
                self._running.add(retiring)
                retiring.add_done_callback(self._running.discard)
        pool.idle = current


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 2)
