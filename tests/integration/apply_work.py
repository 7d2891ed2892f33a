"""Workers of the function ``applier`` as processes of their own, which may be killed.

A nursery that has imported all that the function needs forks them: as environments of Lambda do,
they share nothing but what Postgres and AWS hold. A worker takes bells from its socket, an account
a line, and answers ``done`` or ``failed``; one that is to be killed at a step stops itself there,
says ``stopped`` and does nothing more. The product has no hooks for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg  # noqa: F401 - a warm environment has it

from functions.applier import app
from local.clock import LocalClock
from local.settings import REPOSITORY
from ullgetthejob.accounts import rate_limit
from ullgetthejob.applications import ledger, new_resume
from ullgetthejob.hh import client as hh_client
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import clock, leases, settings

if TYPE_CHECKING:
    from collections.abc import Callable

# On the way of a new application, in order.
STEPS = (
    "the lease is taken",
    "preparing",
    "the token is taken",
    "the attempt is on record",
    "before the call leaves",
    "the call is out",
    "hh.ru has acted",
    "the outcome is written",
    "the outcome is committed",
)
# On the way of one whose answer was lost.
STEPS_OF_SETTLING = ("before hh.ru is read", "hh.ru is read", "the outcome is written")
# On the way of one that never arrived.
STEPS_OF_TRYING_AGAIN = ("the outcome is written", "queued again")

# On the way of one for which a resume is made, before hh.ru shows it and after.
STEPS_OF_MAKING_A_RESUME = (
    "the resume's title is on record",
    "before the resume is asked for",
    "the resume is made",
    "the resume is kept",
    "it waits for the resume",
)
STEPS_OF_PUBLISHING_IT = ("before it is published", "it is published", "the token is taken")

OUT_FOR_S = 0.3  # how long the call has been out when its worker stops
# A pause of all calls costs real time; what matters here is that there is one.
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
            pacer=Pacer(settings.text("PACER_TABLE"), calls_per_second=1000),
            transport=_Way(self, order["step"]),
        )
        vars(app).update(client=lambda: hh)
        self._stop_at(order["step"])

    def work(self) -> None:
        """Answer bells."""
        self.say(f"ready {os.getpid()}")
        for bell in self._lines:
            record = {"messageId": "1", "body": json.dumps({"account_id": bell.strip()})}
            answer = app.handler({"Records": [record]}, None)
            self.say("failed" if answer["batchItemFailures"] else "done")

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
            "the lease is taken": (leases, "take", _always),
            "preparing": (ledger, "move", lambda row: row.state == "preparing"),
            "the token is taken": (rate_limit, "acquire", _always),
            "the attempt is on record": (ledger, "begin_attempt", _always),
            # in a transaction that is never committed
            "the outcome is written": (ledger, "end_attempts", _always),
            "queued again": (ledger, "move", lambda row: row.reason == "never_arrived"),
            "the resume's title is on record": (new_resume._Work, "_record", _always),
            "the resume is kept": (new_resume._Work, "_keep", _always),
            "it waits for the resume": (
                ledger,
                "move",
                lambda row: row.reason == "resume_not_visible",
            ),
        }
        if step in after:
            self._after(*after[step])
        elif step == "the outcome is committed":
            self._before(leases.Lease, "release")

    def _after(self, owner: Any, name: str, here: Callable[[Any], bool]) -> None:
        inner = getattr(owner, name)

        def stopping(*arguments: Any, **options: Any) -> Any:
            answer = inner(*arguments, **options)
            if here(answer):
                self.stop()
            return answer

        setattr(owner, name, stopping)

    def _before(self, owner: Any, name: str) -> None:
        setattr(owner, name, lambda *_: self.stop())


def _always(_: Any) -> bool:
    return True


class _Way(httpx.BaseTransport):
    """The way to hh.ru, on which a worker may stop before, while and after it is called."""

    def __init__(self, worker: Worker, step: str | None) -> None:
        self._worker = worker
        self._step = step
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        applies = (request.method, request.url.path) == ("POST", "/negotiations")
        reads = (request.method, request.url.path) == ("GET", "/negotiations")
        makes = (request.method, request.url.path) == ("POST", "/resumes")
        publishes = request.method == "POST" and request.url.path.endswith("/publish")
        if (
            (applies and self._step == "before the call leaves")
            or (reads and self._step == "before hh.ru is read")
            or (makes and self._step == "before the resume is asked for")
            or (publishes and self._step == "before it is published")
        ):
            self._worker.stop()
        if applies and self._step == "the call is out":
            threading.Timer(OUT_FOR_S, self._worker.say, ["stopped"]).start()
        response = self._inner.handle_request(request)
        if (
            (applies and self._step == "hh.ru has acted")
            or (reads and self._step == "hh.ru is read")
            or (makes and self._step == "the resume is made")
            or (publishes and self._step == "it is published")
        ):
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
