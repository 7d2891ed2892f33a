"""The test's side of :mod:`tests.harness.worker_process`: starts, rings and kills workers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from local.settings import REPOSITORY
from tests.harness import apply_process

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType
    from uuid import UUID

ANSWERS_WITHIN_S = 60
# As the client of hh.ru has it; a test with slow answers has less patience.
TIMEOUT_S = 5.0


class Worker:
    """A process that answers bells, one after another. *busy*: one of them is not answered yet."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._read = b""
        self.busy = False
        self.pid = int(self._line().removeprefix("ready "))

    def fileno(self) -> int:
        """Of the socket, which can be read when the worker has said something."""
        return self._channel.fileno()

    def ring(self, who: UUID | str) -> None:
        """Let it do what is due for *who*, an account."""
        self._channel.sendall(f"{who}\n".encode())
        self.busy = True

    def answer(self) -> str:
        """What it says next: ``done``, ``failed`` or ``stopped``."""
        said = self._line()
        self.busy = False
        return said

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            while self._channel.recv(4096):
                pass
        self._channel.close()

    def _line(self) -> str:
        while b"\n" not in self._read:
            self._channel.settimeout(ANSWERS_WITHIN_S)
            more = self._channel.recv(4096)
            assert more, "a worker died by itself: see the log of the workers"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()


class Workers:
    """Starts workers, and kills those that are left in the end. What they log is in *log*; their
    nursery is *module*."""

    def __init__(self, log: Path, module: str = apply_process.__name__) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._running: list[Worker] = []
        with log.open("ab") as output, theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'layers' / 'core'}"},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self, clock: Path, *, step: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Worker:
        """A worker in this process's environment, on the clock of that file.

        *step*: where it stops, at the first time that it gets there.
        """
        order = {
            "environment": dict(os.environ),
            "clock": str(clock),
            "step": step,
            "timeout_s": timeout_s,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs.fileno()])
        worker = Worker(ours)
        self._running.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL."""
        self._running.remove(worker)
        worker.kill()

    def killed_at(self, step: str, who: UUID | str, clock: Path) -> None:
        """Let a worker do what is due for *who*, and kill it at *step*."""
        worker = self.start(clock, step=step)
        worker.ring(who)
        assert worker.answer() == "stopped", step
        self.kill(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._running):
            self.kill(worker)
        self._orders.close()
        self._nursery.wait(timeout=10)


def first_to_answer(workers: Collection[Worker], timeout_s: float) -> list[Worker]:
    """Those of *workers* that have said something, at the latest after *timeout_s*."""
    return select.select([worker for worker in workers if worker.busy], [], [], timeout_s)[0]
