"""The functions ``notifier`` and ``telegram`` in processes that may be killed
(:mod:`.worker_process`). Wake-ups are ids of accounts; ``update <event>`` is a request for
``telegram``."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any, ClassVar

from functions.notifier import app
from functions.telegram import app as telegram_app
from tests.harness import worker_process
from ullgetthejob.notifications import channels, delivery, planner, telegram_updates
from ullgetthejob.platform import leases

UPDATE = "update "
# The steps of planning events, in order.
STEPS_OF_PLANNING = ("the lease is taken", "rows are written", "planned")
# The steps of sending a notification that is due.
CLAIMED, BEFORE_THE_CALL, RECEIVED = "claimed", "before the call", "the receiver has it"
STEPS_OF_SENDING = (
    CLAIMED,
    BEFORE_THE_CALL,
    RECEIVED,
    "the outcome is committed",
    "before the lease is released",
)
# The steps of an update of Telegram's.
STEPS_OF_AN_UPDATE = ("the update is claimed", "the update has had its effect")


class Notifier(worker_process.Worker):
    """A process with the functions ``notifier`` and ``telegram``."""

    after: ClassVar = {
        "the lease is taken": (leases, "acquire", worker_process.always),
        # in a transaction that is never committed
        "rows are written": (planner, "_plan_events", worker_process.always),
        "planned": (planner, "run", worker_process.always),
        RECEIVED: (channels, "send", worker_process.always),
        "the outcome is committed": (delivery._Attempt, "_end", worker_process.always),
        "the update is claimed": (telegram_updates, "_claim", worker_process.always),
    }
    before: ClassVar = {
        CLAIMED: (delivery._Attempt, "make"),
        BEFORE_THE_CALL: (channels, "send"),
        "the update has had its effect": (telegram_updates, "_finish"),
        "before the lease is released": (leases.Lease, "release"),
    }

    def answer(self, wake_up: str) -> dict[str, Any]:
        if wake_up.startswith(UPDATE):
            telegram_app.handler(json.loads(wake_up.removeprefix(UPDATE)), None)
            return {"batchItemFailures": []}
        return app.handler(worker_process.event({"account_id": wake_up}), None)


if __name__ == "__main__":
    worker_process.serve(Notifier, socket.socket(fileno=int(sys.argv[1])))
