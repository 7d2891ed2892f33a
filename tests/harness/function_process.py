"""Every function that changes something, in processes that may be killed (:mod:`.worker_process`).
A wake-up is the name of the function's folder and its event, as JSON."""

from __future__ import annotations

import importlib
import json
import socket
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.harness import worker_process
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.notifications import channels
from ullgetthejob.platform import settings
from ullgetthejob.public_feed import publisher
from ullgetthejob.realtime import sockets

CONTEXT = SimpleNamespace(aws_request_id="an-invocation")
# Imported once, by the process that forks the others.
FUNCTIONS = {
    name: importlib.import_module(f"functions.{name}.app")
    for name in (
        *("accounts", "applications", "applier", "broadcaster", "fetch_worker", "filters"),
        *("frames", "handoff", "letters", "notifications", "notifier", "oauth", "public_feed"),
        *("queue", "resumes", "reviews", "schedules", "search", "submit", "sweeper", "websocket"),
    )
}


class Function(worker_process.HhWorker):
    """A process with all functions."""

    posts: ClassVar = [
        (channels, "send"),
        (publisher, "post"),
        (sockets.Sockets, "post"),
        (sockets.Sockets, "close"),
    ]

    def pacer(self) -> Pacer:
        return Pacer(settings.PACER_TABLE(), calls_per_second=1000)

    def answer(self, wake_up: str) -> dict[str, Any]:
        name, _, event = wake_up.partition(" ")
        answer = FUNCTIONS[name].handler(json.loads(event), CONTEXT)
        if answer.get("statusCode", 200) >= 500:
            return {"batchItemFailures": [answer]}
        return {"batchItemFailures": answer.get("batchItemFailures", [])}


if __name__ == "__main__":
    worker_process.serve(Function, socket.socket(fileno=int(sys.argv[1])))
