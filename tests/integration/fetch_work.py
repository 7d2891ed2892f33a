"""The fetcher, the fetch worker and the broadcaster as processes that may be killed: see
:mod:`.nursery`. The bell ``tick`` is the fetcher's, ``broadcast <account>`` the broadcaster's,
others name a search."""

from __future__ import annotations

import socket
import sys
from typing import Any, ClassVar

from functions.broadcaster import app as broadcaster_app
from functions.fetch_worker import app
from functions.fetcher import app as fetcher_app
from tests.integration import nursery
from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, Pacer
from ullgetthejob.platform import leases, queues, settings
from ullgetthejob.realtime import events
from ullgetthejob.vacancies import details, fetch, fetch_runs, news, queries, store

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


class Fetching(nursery.Worker):
    """The functions ``fetcher``, ``fetch_worker`` and ``broadcaster``."""

    after: ClassVar = {
        "a run is begun": (fetch_runs, "begin", nursery.always),
        "runs are claimed": (queries, "claim_due", bool),
        "a bell has rung": (queues, "ring", nursery.always),
        "the lease is taken": (leases, "take", nursery.always),
        "the run is put off": (fetch_runs, "put_off", nursery.always),
        # in transactions that are never committed
        "vacancies are stored": (store, "store_seen", nursery.always),
        "matches are numbered": (queries, "match", nursery.always),
        "the first page is written": (fetch_runs, "step", nursery.always),
        "the last page is written": (fetch_runs, "step", lambda run: run.plan.over),
        "the end is written": (fetch_runs, "end", nursery.always),
        "an event is written": (events, "append", nursery.always),
        # committed
        "the first page is kept": (fetch._Worker, "_keep", nursery.always),
        "one is told": (news, "_tell", nursery.always),
        "all are told": (news, "tell", nursery.always),
        "details are read": (details, "read_some", nursery.always),
    }
    before: ClassVar = {
        "the end is committed": (fetch._Worker, "tell"),
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
            event = nursery.event({"account_id": bell.removeprefix(BROADCAST)})
            return broadcaster_app.handler(event, None)
        return app.handler(nursery.event({"query_id": bell}), None)


if __name__ == "__main__":
    nursery.serve(Fetching, socket.socket(fileno=int(sys.argv[1])))
