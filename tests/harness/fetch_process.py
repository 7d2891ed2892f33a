"""The fetcher, the fetch worker and the broadcaster as processes that may be killed: see
:mod:`.worker_process`. The wake-up ``tick`` is for the fetcher, ``broadcast <account>`` for the
broadcaster; others name a search, for the fetch worker."""

from __future__ import annotations

import os
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
# The steps of the fetcher, and of the worker with a search of two pages, in order.
FETCHER_STEPS = ("run begun", "runs claimed", "wake-up sent")
WORKER_STEPS = (
    "lease acquired",
    "run deferred",
    "before the call",
    "hh.ru has answered",
    "vacancies stored",
    "matches numbered",
    "first page written",
    "first page committed",
    "last page written",
    "end written",
    "end committed",
    "event written",
    "one account notified",
    "all accounts notified",
    "details read",
    "before the lease is released",
)


class Fetching(worker_process.HhWorker):
    """A process with the functions ``fetcher``, ``fetch_worker`` and ``broadcaster``."""

    after: ClassVar = {
        "run begun": (run_store, "begin", worker_process.always),
        "runs claimed": (canonical_searches, "claim_due", bool),
        "wake-up sent": (queues, "notify_each", worker_process.always),
        "lease acquired": (leases, "acquire", worker_process.always),
        "run deferred": (run_store, "defer", worker_process.always),
        # in transactions that are never committed
        "vacancies stored": (store, "store_vacancies", worker_process.always),
        "matches numbered": (canonical_searches, "record_matches", worker_process.always),
        "first page written": (run_store, "save_step", worker_process.always),
        "last page written": (run_store, "save_step", lambda run: run.plan.over),
        "end written": (run_store, "end", worker_process.always),
        "event written": (event_log, "append", worker_process.always),
        # committed
        "first page committed": (run_worker._RunWorker, "_store_page", worker_process.always),
        "one account notified": (notifications, "_notify_account", worker_process.always),
        "all accounts notified": (notifications, "notify_accounts", worker_process.always),
        "details read": (detail_backfill, "backfill", worker_process.always),
    }
    before: ClassVar = {
        "end committed": (run_worker._RunWorker, "notify"),
        "before the lease is released": (leases.Lease, "release"),
    }
    calls: ClassVar = {
        "before the call": ("GET", "/vacancies", "before"),
        "hh.ru has answered": ("GET", "/vacancies", "after"),
    }

    def pacer(self) -> Pacer:
        return Pacer(
            settings.PACER_TABLE(),
            calls_per_second=float(os.environ.get("HH_CALLS_PER_SECOND", 1000)),
            patience_ms=BACKGROUND_PATIENCE_MS,
        )

    def answer(self, wake_up: str) -> dict[str, Any]:
        if wake_up == TICK:
            fetcher_app.handler({}, None)
            return {"batchItemFailures": []}
        if wake_up.startswith(BROADCAST):
            event = worker_process.event({"account_id": wake_up.removeprefix(BROADCAST)})
            return broadcaster_app.handler(event, None)
        return app.handler(worker_process.event({"query_id": wake_up}), None)


if __name__ == "__main__":
    worker_process.serve(Fetching, socket.socket(fileno=int(sys.argv[1])))
