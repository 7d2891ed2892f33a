"""The states of an application, and which may follow which.

queued         waits for the submitter
preparing      the submitter looks at the vacancy, chooses the resume
waiting_quota  no token, or 200 in 24 hours: goes on at ``due_at``
submitting     an attempt is on record, the call is out
uncertain      the call's answer was lost: hh.ru's negotiations will tell
submitted      hh.ru has it
needs_person   the person has to do something first; ``reason`` says what
handoff        the last step is the person's: the letter and the link are ready
refused        it cannot be done; ``reason`` says why
cancelled, expired
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
    "refused",
    "cancelled",
    "expired",
]
# Nothing is out at hh.ru yet.
WAITING: tuple[State, ...] = ("queued", "preparing", "waiting_quota")
_NEEDS_PERSON: tuple[State, ...] = ("needs_person", "handoff")
_FINAL: tuple[State, ...] = ("refused", "cancelled", "expired")
# Nor will be before somebody does something: another letter may still go out instead.
UNSENT: tuple[State, ...] = (*WAITING, *_NEEDS_PERSON)
# From where a state may be reached. "submitting" only from "preparing": whatever else goes wrong,
# two workers never make the same call.
ALLOWED_SOURCES: dict[State, tuple[State, ...]] = {
    "queued": (*WAITING, "submitting", "uncertain", *_NEEDS_PERSON, *_FINAL),
    "preparing": WAITING,
    "waiting_quota": (*WAITING, "submitting"),
    "submitting": ("preparing",),
    "uncertain": ("submitting", "uncertain"),
    "submitted": ("submitting", "uncertain", *_NEEDS_PERSON),
    "needs_person": (*WAITING, "submitting"),
    "handoff": (*WAITING, "submitting", "uncertain"),
    "refused": (*WAITING, "submitting"),
    "cancelled": (*WAITING, *_NEEDS_PERSON),
    "expired": (*WAITING, *_NEEDS_PERSON),
}
# Nothing was created at hh.ru, as far as hh.ru itself says: trying (again) is safe.
RETRYABLE: tuple[State, ...] = (*_NEEDS_PERSON, *_FINAL)


def is_final(state: State) -> bool:
    """Whether nothing more comes of an application, unless its person wants it again."""
    return state == "submitted" or state in _FINAL
