"""Functions in processes of their own, which may be killed.

A process that has imported all that the functions need forks them: like environments of Lambda,
they share nothing but what Postgres and AWS store. A worker reads wake-ups from its socket, one a
line, and answers ``done`` or ``failed``; one that is to be killed at a step, or after one of its
effects (:mod:`.effects`), stops itself there, answers ``stopped`` and does nothing more. The
product has no hooks for it.

:mod:`.apply_process`, :mod:`.fetch_process` and :mod:`.notify_process` name their functions and the
steps, :mod:`.function_process` has all functions; :mod:`.worker_pool` is the test's side.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import psycopg  # noqa: F401 - imported as in a warm environment

from local.clock import LocalClock
from local.settings import REPOSITORY
from tests.harness.effects import EFFECT, Effects
from ullgetthejob.hh import calls as hh_calls
from ullgetthejob.hh import environment, pause_policy
from ullgetthejob.hh.client import HHClient
from ullgetthejob.platform import clock, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.hh.pacer import Pacer

CALL_RUNS_FOR_S = 0.3  # how long a call has been under way when its worker stops
# A pause of all calls costs real time: a short one is enough here.
PAUSE_S = 0.05


class Worker:
    """An environment of Lambda; it never ends by itself. A subclass defines:

    *before* and *after*: the steps at a function, by name: its owner and name, and a predicate of
    what it returned; *posts*: the functions whose effects others receive, by owner and name.
    """

    before: ClassVar[dict[str, tuple[Any, str]]] = {}
    posts: ClassVar[list[tuple[Any, str]]] = []
    after: ClassVar[dict[str, tuple[Any, str, Callable[[Any], bool]]]] = {}

    def __init__(self, channel: socket.socket, order: dict[str, Any]) -> None:
        self._lines = channel.makefile("rw", encoding="utf-8")
        clock.install(LocalClock(REPOSITORY / order["clock"]).now)
        step = order["step"]
        self.effects: Effects | None = None
        if step and step.startswith(EFFECT):
            self.effects = Effects(int(step.removeprefix(EFFECT)), self.stop)
            self.effects.follow(self.posts)
        if step in self.after:
            self._stop_after(*self.after[step])
        if step in self.before:
            owner, name = self.before[step]
            setattr(owner, name, lambda *_, **__: self.stop())

    def answer(self, wake_up: str) -> dict[str, Any]:
        """Return the answer of the function that *wake_up* is for to its event."""
        raise NotImplementedError

    def work(self) -> None:
        """Answer wake-ups."""
        self.send("ready", str(os.getpid()))
        for wake_up in self._lines:
            answer = self.answer(wake_up.strip())
            self.send("failed" if answer["batchItemFailures"] else "done")

    def send(self, *words: str) -> None:
        """Send a line to the test."""
        self._lines.write(f"{' '.join(words)}\n")
        self._lines.flush()

    def stop(self, *words: str) -> None:
        """Answer ``stopped`` with *words*, and do nothing more."""
        self.send("stopped", *words)
        time.sleep(600)

    def _stop_after(self, owner: Any, name: str, is_step: Callable[[Any], bool]) -> None:
        inner = getattr(owner, name)

        def stopping(*arguments: Any, **options: Any) -> Any:
            answer = inner(*arguments, **options)
            if is_step(answer):
                self.stop()
            return answer

        setattr(owner, name, stopping)


class HhWorker(Worker):
    """A worker whose functions call hh.ru. *calls*: the steps at these calls: the method, how the
    path ends, and the time: ``before``, ``during`` or ``after``."""

    calls: ClassVar[dict[str, tuple[str, str, str]]] = {}

    def __init__(self, channel: socket.socket, order: dict[str, Any]) -> None:
        super().__init__(channel, order)
        vars(pause_policy).update(PAUSE_AFTER_429_S=PAUSE_S, PAUSE_AFTER_FAILURES_S=PAUSE_S)
        vars(hh_calls).update(TIMEOUT_S=order["timeout_s"])
        hh = HHClient(
            settings.HH_API_URL(),
            user_agent=settings.HH_USER_AGENT(),
            pacer=self.pacer(),
            transport=_StoppingTransport(self, self.calls.get(order["step"])),
        )
        vars(environment).update(client=lambda **_: hh)

    def pacer(self) -> Pacer:
        """Return the pacer of its calls of hh.ru."""
        raise NotImplementedError


def always(_: Any) -> bool:
    """Return ``True``, whatever the function returned."""
    return True


def event(body: dict[str, Any]) -> dict[str, Any]:
    """Return an event of SQS with one message."""
    return {"Records": [{"messageId": "1", "body": json.dumps(body)}]}


class _StoppingTransport(httpx.BaseTransport):
    """A transport to hh.ru, at which a worker may stop before, during and after a call."""

    def __init__(self, worker: Worker, step: tuple[str, str, str] | None) -> None:
        self._worker = worker
        self._method, self._path, self._moment = step or ("", "", "")
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        moment = None
        if request.method == self._method and request.url.path.endswith(self._path):
            moment = self._moment
        if moment == "before":
            self._worker.stop()
        if moment == "during":
            threading.Timer(CALL_RUNS_FOR_S, self._worker.send, ["stopped"]).start()
        response = self._inner.handle_request(request)
        if moment == "after":
            response.read()
            self._worker.stop()
        if self._worker.effects and request.method != "GET":
            response.read()
            self._worker.effects.happened(f"{request.method} {request.url.path}")
        return response


def serve(worker: type[Worker], orders: socket.socket) -> None:
    """Fork a *worker* for each order, which has its environment and its socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for them
    while True:
        text, sockets, _, _ = socket.recv_fds(orders, 65_536, 1)
        if not text:
            return
        [channel] = sockets
        if os.fork() == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            order = json.loads(text)
            os.environ.clear()
            os.environ.update(order["environment"])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                worker(socket.socket(fileno=channel), order).work()
            os._exit(0)
        os.close(channel)
