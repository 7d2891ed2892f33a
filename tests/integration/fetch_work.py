"""The fetcher, the fetch worker and the broadcaster as processes of their own, which may be killed:
see :mod:`.apply_work`. The bell ``tick`` is the fetcher's, ``broadcast <account>`` the
broadcaster's, others name a search. The product has no hooks for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg  # noqa: F401 - a warm environment has it

from functions.broadcaster import app as broadcaster_app
from functions.fetch_worker import app
from functions.fetcher import app as fetcher_app
from local.clock import LocalClock
from local.settings import REPOSITORY
from ullgetthejob.hh import client as hh_client
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, Pacer
from ullgetthejob.platform import clock, leases, queues, settings
from ullgetthejob.realtime import events
from ullgetthejob.vacancies import details, fetch, fetch_runs, news, queries, store

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = "tick"
BROADCAST = "broadcast "
# On the fetcher's way, and on the worker's with a search of two pages, in order.
STEPS_OF_THE_FETCHER = ("a run is begun", "runs are claimed", "a bell has rung")
STEPS = (
    "the lease is taken",
    "the run is put off",
    "before the call leaves",
    "hh.ru has answered",
    "vacancies are stored",
    "matches are numbered",
    "the first page is written",
    "the first page is kept",
    "the last page is written",
    "the end is written",
    "the end is committed",
    "an event is written",
    "one is told",
    "all are told",
    "details are read",
    "before the lease is let go",
)
PAUSE_S = 0.05


class Worker:
    """One environment. It never ends by itself."""

    def __init__(self, channel: socket.socket, order: dict[str, Any]) -> None:
        self._lines = channel.makefile("rw", encoding="utf-8")
        clock.install(LocalClock(REPOSITORY / order["clock"]).now)
        vars(hh_client).update(
            PAUSE_AFTER_429_S=PAUSE_S,
            PAUSE_AFTER_FAILURES_S=PAUSE_S,
            TIMEOUT=httpx.Timeout(order["timeout_s"]),
        )
        hh = HHClient(
            settings.text("HH_API_URL"),
            user_agent=settings.text("HH_USER_AGENT"),
            pacer=Pacer(
                settings.text("PACER_TABLE"),
                calls_per_second=settings.number("HH_CALLS_PER_SECOND", 1000),
                patience_ms=BACKGROUND_PATIENCE_MS,
            ),
            transport=_Way(self, order["step"]),
        )
        vars(app).update(client=lambda **_: hh)
        self._stop_at(order["step"])

    def work(self) -> None:
        """Answer bells."""
        self.say(f"ready {os.getpid()}")
        for bell in self._lines:
            self.say(self._answer(bell.strip()))

    def _answer(self, bell: str) -> str:
        if bell == TICK:
            fetcher_app.handler({}, None)
            return "done"
        handler, who = app.handler, {"query_id": bell}
        if bell.startswith(BROADCAST):
            handler, who = broadcaster_app.handler, {"account_id": bell.removeprefix(BROADCAST)}
        answer = handler({"Records": [{"messageId": "1", "body": json.dumps(who)}]}, None)
        return "failed" if answer["batchItemFailures"] else "done"

    def say(self, what: str) -> None:
        """Tell the test."""
        self._lines.write(f"{what}\n")
        self._lines.flush()

    def stop(self) -> None:
        """Do nothing more."""
        self.say("stopped")
        time.sleep(600)

    def _stop_at(self, step: str | None) -> None:
        after: dict[str, tuple[Any, str, Callable[[Any], bool]]] = {
            "a run is begun": (fetch_runs, "begin", _always),
            "runs are claimed": (queries, "claim_due", bool),
            "a bell has rung": (queues, "ring", _always),
            "the lease is taken": (leases, "take", _always),
            "the run is put off": (fetch_runs, "put_off", _always),
            # in transactions that are never committed
            "vacancies are stored": (store, "store_seen", _always),
            "matches are numbered": (queries, "match", _always),
            "the first page is written": (fetch_runs, "step", _always),
            "the last page is written": (fetch_runs, "step", lambda run: run.plan.over),
            "the end is written": (fetch_runs, "end", _always),
            "an event is written": (events, "append", _always),
            # committed
            "the first page is kept": (fetch._Worker, "_keep", _always),
            "one is told": (news, "_tell", _always),
            "all are told": (news, "tell", _always),
            "details are read": (details, "read_some", _always),
        }
        before: dict[str, tuple[Any, str]] = {
            "the end is committed": (fetch._Worker, "tell"),
            "before the lease is let go": (leases.Lease, "release"),
        }
        if step in after:
            self._after(*after[step])
        elif step in before:
            owner, name = before[step]
            setattr(owner, name, lambda *_: self.stop())

    def _after(self, owner: Any, name: str, here: Callable[[Any], bool]) -> None:
        inner = getattr(owner, name)

        def stopping(*arguments: Any, **options: Any) -> Any:
            answer = inner(*arguments, **options)
            if here(answer):
                self.stop()
            return answer

        setattr(owner, name, stopping)


def _always(_: Any) -> bool:
    return True


class _Way(httpx.BaseTransport):
    """The way to hh.ru, on which a worker may stop before and after a search."""

    def __init__(self, worker: Worker, step: str | None) -> None:
        self._worker = worker
        self._step = step
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        searches = request.url.path == "/vacancies"
        if searches and self._step == "before the call leaves":
            self._worker.stop()
        response = self._inner.handle_request(request)
        if searches and self._step == "hh.ru has answered":
            response.read()
            self._worker.stop()
        return response


def main(orders: socket.socket) -> None:
    """Fork a worker for each order: its environment and its socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
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
                Worker(socket.socket(fileno=channel), order).work()
            os._exit(0)
        os.close(channel)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
