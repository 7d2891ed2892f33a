"""The states of an application, and which may follow which.

queued         waits for the submitter
preparing      the submitter reads the vacancy and chooses the resume
waiting_quota  no token, or 200 in 24 hours: goes on at ``due_at``
submitting     an attempt is recorded, and its call may be under way
uncertain      the call's answer was lost: hh.ru's negotiations are read for it
submitted      hh.ru has it
needs_person   the person has to do something first; ``reason`` says what
handoff        the last step is the person's: the letter and the link are ready
review         waits for the person's yes to what is ready to be sent
refused        it cannot be sent; ``reason`` says why
cancelled      by its person, or with its campaign
expired        it waited too long
"""

from __future__ import annotations

from typing import Literal

State = Literal[
    "queued",
    "preparing",
    "waiting_quota",
    "submitting",
    "uncertain",
    "submitted",
    "needs_person",
    "handoff",
    "review",
    "refused",
    "cancelled",
    "expired",
]
# Whether the person looks before an application is sent: never, if the check of its letter found
# something, or always.
ReviewPolicy = Literal["never", "findings", "always"]
# Nothing was sent to hh.ru yet.
WAITING: tuple[State, ...] = ("queued", "preparing", "waiting_quota")
NEEDS_PERSON: tuple[State, ...] = ("needs_person", "handoff", "review")
FINAL: tuple[State, ...] = ("refused", "cancelled", "expired")
# Nothing was sent, or will be before the person acts: the letter may still be replaced. One that
# waits for a yes is edited there, and checked again.
REPLACEABLE: tuple[State, ...] = (*WAITING, "needs_person", "handoff")
# The states from which each state may be reached. "submitting" only from "preparing": whatever else
# goes wrong, two workers never make the same call.
ALLOWED_SOURCES: dict[State, tuple[State, ...]] = {
    "queued": (*WAITING, "submitting", "uncertain", *NEEDS_PERSON, *FINAL),
    "preparing": WAITING,
    "waiting_quota": (*WAITING, "submitting"),
    "submitting": ("preparing",),
    "uncertain": ("submitting", "uncertain"),
    "submitted": ("submitting", "uncertain", *NEEDS_PERSON),
    "needs_person": (*WAITING, "submitting"),
    "handoff": (*WAITING, "submitting", "uncertain"),
    "review": WAITING,
    "refused": (*WAITING, "submitting"),
    "cancelled": (*WAITING, *NEEDS_PERSON),
    "expired": (*WAITING, *NEEDS_PERSON),
}
# Nothing was created at hh.ru, as far as hh.ru itself says: a retry is safe. What waits for a yes
# is approved, not retried.
RETRYABLE: tuple[State, ...] = ("needs_person", "handoff", *FINAL)
# Only a person moves these on.
HELD: tuple[State, ...] = (*NEEDS_PERSON, *FINAL)


def is_final(state: State) -> bool:
    """Return whether an application in *state* makes no further transition unless its person
    retries it."""
    return state == "submitted" or state in FINAL
