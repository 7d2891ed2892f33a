"""The fetcher, the fetch worker and the broadcaster as processes that may be killed: see
:mod:`.worker_process`. The wake-up ``tick`` is the fetcher's, ``broadcast <account>`` the
broadcaster's, others name a search."""

from __future__ import annotations

import socket
import sys
from typing import Any, ClassVar

from functions.broadcaster import app as broadcaster_app
from functions.fetch_worker import app
from functions.fetcher import app as fetcher_app
from tests.harness import worker_process
from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, Pacer
from ullgetthejob.platform import leases, queues, settings
from ullgetthejob.realtime import event_log
from ullgetthejob.saved_searches import canonical_searches, notifications, run_store, run_worker
from ullgetthejob.vacancies import detail_backfill, store

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


class Fetching(worker_process.Worker):
    """The functions ``fetcher``, ``fetch_worker`` and ``broadcaster``."""

    after: ClassVar = {
        "a run is begun": (run_store, "begin", worker_process.always),
        "runs are claimed": (canonical_searches, "claim_due", bool),
        "a bell has rung": (queues, "notify", worker_process.always),
        "the lease is taken": (leases, "acquire", worker_process.always),
        "the run is put off": (run_store, "postpone", worker_process.always),
        # in transactions that are never committed
        "vacancies are stored": (store, "store_vacancies", worker_process.always),
        "matches are numbered": (canonical_searches, "record_matches", worker_process.always),
        "the first page is written": (run_store, "save_step", worker_process.always),
        "the last page is written": (run_store, "save_step", lambda run: run.plan.over),
        "the end is written": (run_store, "end", worker_process.always),
        "an event is written": (event_log, "append", worker_process.always),
        # committed
        "the first page is kept": (run_worker._RunWorker, "_store_page", worker_process.always),
        "one is told": (notifications, "_notify_account", worker_process.always),
        "all are told": (notifications, "notify_accounts", worker_process.always),
        "details are read": (detail_backfill, "backfill", worker_process.always),
    }
    before: ClassVar = {
        "the end is committed": (run_worker._RunWorker, "notify"),
        "before the lease is let go": (leases.Lease, "release"),
    }
    calls: ClassVar = {
        "before the call leaves": ("GET", "/vacancies", "before"),
        "hh.ru has answered": ("GET", "/vacancies", "after"),
    }

    def __init__(self, channel: socket.socket, order: dict[str, Any]) -> None:
        super().__init__(channel, order)
        vars(app).update(client=lambda **_: self.hh)

    def pacer(self) -> Pacer:
        return Pacer(
            settings.text("PACER_TABLE"),
            calls_per_second=settings.number("HH_CALLS_PER_SECOND", 1000),
            patience_ms=BACKGROUND_PATIENCE_MS,
        )

    def answer(self, bell: str) -> dict[str, Any]:
        if bell == TICK:
            fetcher_app.handler({}, None)
            return {"batchItemFailures": []}
        if bell.startswith(BROADCAST):
            event = worker_process.event({"account_id": bell.removeprefix(BROADCAST)})
            return broadcaster_app.handler(event, None)
        return app.handler(worker_process.event({"query_id": bell}), None)


if __name__ == "__main__":
    worker_process.serve(Fetching, socket.socket(fileno=int(sys.argv[1])))
