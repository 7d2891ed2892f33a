"""The test's side of :mod:`tests.harness.worker_process`: start, notify and kill workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Self

from local.settings import REPOSITORY
from tests.harness import apply_process
from tests.harness.effects import EFFECT

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType
    from uuid import UUID

ANSWERS_WITHIN_S = 60
# The timeout of the client of hh.ru; a test with slow answers sets a shorter one.
TIMEOUT_S = 30.0  # of a busy machine, too


class Worker:
    """A process that answers wake-ups, one after another. *busy*: a wake-up is not answered yet."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._read = b""
        self.busy = False
        self.pid = int(self._line().removeprefix("ready "))

    def fileno(self) -> int:
        """Return the descriptor of the socket, which is readable when the worker has answered."""
        return self._channel.fileno()

    def notify(self, wake_up: UUID | str) -> None:
        """Send a wake-up: an account, or what else the worker's function takes."""
        self._channel.sendall(f"{wake_up}\n".encode())
        self.busy = True

    def answer(self) -> str:
        """Return its next answer: ``done``, ``failed`` or ``stopped``."""
        answer = self._line()
        self.busy = False
        return answer

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process has ended."""
        os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            while self._channel.recv(4096):
                pass
        self._channel.close()

    def _line(self) -> str:
        while b"\n" not in self._read:
            self._channel.settimeout(ANSWERS_WITHIN_S)
            more = self._channel.recv(4096)
            assert more, "a worker's process ended by itself: see the log of the workers"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()


class Workers:
    """A pool of workers, which are killed at the end. They log into the file *log*; *module* is run
    as the process that forks them."""

    def __init__(self, log: Path, module: str = apply_process.__name__) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._running: list[Worker] = []
        with log.open("ab") as output, theirs:
            self._forker = subprocess.Popen(
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
        """Start a worker in this process's environment, on the clock of the file *clock*.

        *step*: where it stops, the first time that it reaches it.
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
        """Kill *worker* with SIGKILL."""
        self._running.remove(worker)
        worker.kill()

    def kill_at(self, step: str, wake_up: UUID | str, clock: Path) -> None:
        """Send *wake_up* to a new worker, and kill it at *step*."""
        worker = self.start(clock, step=step)
        worker.notify(wake_up)
        assert worker.answer() == "stopped", step
        self.kill(worker)

    def kill_after(self, number: int, wake_up: str, clock: Path) -> str | None:
        """Send *wake_up* to a new worker, and kill it after its effect *number*; return what that
        was, ``None`` if the worker has answered after fewer."""
        worker = self.start(clock, step=f"{EFFECT}{number}")
        worker.notify(wake_up)
        answer, _, effect = worker.answer().partition(" ")
        self.kill(worker)
        assert answer in ("done", "stopped"), effect
        return effect if answer == "stopped" else None

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
        self._forker.wait(timeout=10)


def first_to_answer(workers: Collection[Worker], timeout_s: float) -> list[Worker]:
    """Return those of *workers* that have answered, at the latest after *timeout_s*."""
    busy = {worker.fileno(): worker for worker in workers if worker.busy}
    answered = wait(list(busy), timeout_s)
    return [worker for descriptor, worker in busy.items() if descriptor in answered]
