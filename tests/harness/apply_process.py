"""The functions ``applier`` and ``reviews`` in processes that may be killed
(:mod:`.worker_process`). Wake-ups are ids of accounts; ``review <event>`` is a request for
``reviews``."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from functions.applier import app
from functions.reviews import app as reviews_app
from tests.harness import worker_process
from ullgetthejob.applications import attempts, ledger, resume_creation
from ullgetthejob.applications.conversations import store
from ullgetthejob.applications.reviews import store as review_store
from ullgetthejob.filters import commands as filter_commands
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import leases, queues, settings
from ullgetthejob.rate_limits import token_bucket

if TYPE_CHECKING:
    from collections.abc import Callable

REVIEW = "review "
# The steps of a new application, in order.
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
# The steps of settling an application whose answer was lost.
STEPS_OF_SETTLING = ("before hh.ru is read", "hh.ru is read", "the outcome is written")
# The steps of trying again one that never arrived.
STEPS_OF_TRYING_AGAIN = ("the outcome is written", "queued again")

# The steps until one that is reviewed may be sent: the submitter's, then those of the person's yes.
EXAMINED = "the review is written"
STEPS_OF_APPROVING = ("the yes is written", "the yes is committed")
# Those of a no with a rule, and of another letter, each in a transaction that is never committed.
STEPS_OF_REJECTING = ("the rule is written", "the no is written")
STEPS_OF_EDITING = ("the letter is written", "the findings are written")

# The steps of one for which a resume is created, before hh.ru shows it and after.
STEPS_OF_MAKING_A_RESUME = (
    "the resume's title is on record",
    "before the resume is asked for",
    "the resume is made",
    "the resume is recorded",
    "it waits for the resume",
)
STEPS_OF_PUBLISHING_IT = ("before it is published", "it is published", "the token is taken")
# The steps of a reply to an employer, and of looking for one whose answer was lost.
STEPS_OF_REPLYING = (
    "the reply's call is on record",
    "before the reply leaves",
    "the employer has the reply",
    "the reply's outcome is written",
)
STEPS_OF_FINDING_A_REPLY = (
    "before the conversation is read",
    "the conversation is read",
    "the conversation is stored",
)


def _is_row_with(**expected: str) -> Callable[[Any], bool]:
    return lambda row: all(getattr(row, name) == value for name, value in expected.items())


class Applier(worker_process.HhWorker):
    """A process with the functions ``applier`` and ``reviews``."""

    after: ClassVar = {
        "the lease is taken": (leases, "acquire", worker_process.always),
        "preparing": (ledger, "transition", _is_row_with(state="preparing")),
        "the token is taken": (token_bucket, "acquire", worker_process.always),
        "the attempt is on record": (attempts, "begin_attempt", worker_process.always),
        # in a transaction that is never committed
        "the outcome is written": (attempts, "close_attempts", worker_process.always),
        EXAMINED: (review_store, "record", worker_process.always),
        "the yes is written": (review_store, "approve", worker_process.always),
        "the rule is written": (filter_commands, "replace", worker_process.always),
        "the no is written": (ledger, "transition", _is_row_with(reason="rejected")),
        "the letter is written": (ledger, "replace_letter", worker_process.always),
        "the findings are written": (review_store, "replace_findings", worker_process.always),
        "queued again": (ledger, "transition", _is_row_with(reason="never_arrived")),
        "the resume's title is on record": (
            resume_creation._ResumeCreation,
            "_record_request",
            worker_process.always,
        ),
        "the resume is recorded": (
            resume_creation._ResumeCreation,
            "_record_created",
            worker_process.always,
        ),
        "it waits for the resume": (
            ledger,
            "transition",
            _is_row_with(reason="resume_not_visible"),
        ),
        "the reply's call is on record": (store, "begin_call", worker_process.always),
        # in a transaction that is never committed
        "the reply's outcome is written": (store, "change", worker_process.always),
        "the conversation is stored": (store, "store", worker_process.always),
    }
    before: ClassVar = {
        "the outcome is committed": (leases.Lease, "release"),
        "the yes is committed": (queues, "notify"),
    }
    calls: ClassVar = {
        "before the call leaves": ("POST", "/negotiations", "before"),
        "the call is out": ("POST", "/negotiations", "during"),
        "hh.ru has acted": ("POST", "/negotiations", "after"),
        "before hh.ru is read": ("GET", "/negotiations", "before"),
        "hh.ru is read": ("GET", "/negotiations", "after"),
        "before the reply leaves": ("POST", "/messages", "before"),
        "the employer has the reply": ("POST", "/messages", "after"),
        "before the conversation is read": ("GET", "/messages", "before"),
        "the conversation is read": ("GET", "/messages", "after"),
        "before the resume is asked for": ("POST", "/resumes", "before"),
        "the resume is made": ("POST", "/resumes", "after"),
        "before it is published": ("POST", "/publish", "before"),
        "it is published": ("POST", "/publish", "after"),
    }

    def pacer(self) -> Pacer:
        return Pacer(settings.PACER_TABLE(), calls_per_second=1000)

    def answer(self, wake_up: str) -> dict[str, Any]:
        if wake_up.startswith(REVIEW):
            reviews_app.handler(json.loads(wake_up.removeprefix(REVIEW)), None)
            return {"batchItemFailures": []}
        return app.handler(worker_process.event({"account_id": wake_up}), None)


if __name__ == "__main__":
    worker_process.serve(Applier, socket.socket(fileno=int(sys.argv[1])))
