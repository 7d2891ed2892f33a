"""The decision trail of one application: every gate that was asked, its answer, and every step.

The ledger stores each transition with its reason, and each call to hh.ru with its outcome; the
answer of a gate follows from them: an application that passed a gate has left the states that the
gate leads to, and one that did not has the gate's reason.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from local.dashboard.page import PATH, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from local.dashboard.system import System

SELECT_APPLICATION = """
    SELECT l.id, l.account_id, l.vacancy_id, l.state, l.reason, l.due_at, l.expires_at,
           l.resume_id IS NOT NULL AS has_resume, l.resume_reason, l.negotiation_id, l.by_hand,
           l.submitted_at, l.created_at, l.updated_at, l.workflow_id, l.hh_state, l.hh_viewed,
           l.hh_updated_at, l.failed_calls, a.access_state, a.access_until,
           f.rules IS NOT NULL AS has_filters, to_jsonb(l) ->> 'trace_id' AS trace_id
    FROM application_ledger l JOIN accounts a ON a.id = l.account_id
    LEFT JOIN application_filters f ON f.account_id = l.account_id
    WHERE l.id = %(id)s AND l.account_id = %(account_id)s
"""
SELECT_HISTORY = """
    SELECT at, state, reason FROM application_history WHERE ledger_id = %(id)s ORDER BY at, id
"""
SELECT_ATTEMPTS = """
    SELECT t.at, t.number, o.at AS answered_at, o.outcome, o.counts
    FROM application_attempts t LEFT JOIN application_outcomes o ON o.attempt_id = t.id
    WHERE t.ledger_id = %(id)s ORDER BY t.number
"""
# The application itself, whose text is the letter, is left out: a letter is on the page of its
# employer alone.
SELECT_MESSAGES = """
    SELECT author, text, state, reason, hh_state, created_at FROM application_messages
    WHERE ledger_id = %(id)s AND hh_state IS DISTINCT FROM 'response'
    ORDER BY created_at DESC, number DESC LIMIT 100
"""
Answer = Literal["passed", "stopped", "waited", "not asked"]


@dataclass(frozen=True)
class Gate:
    """A question that is asked before an application is sent. *stops*: the reasons by which it is
    stopped or deferred; *passed_in*: states that are only reached past it."""

    name: str
    stops: tuple[str, ...]
    passed_in: tuple[str, ...]


_SENT = ("submitting", "uncertain", "submitted")
_VACANCY = ("vacancy_not_found", "vacancy_archived")
_FORM = ("test_required", "external_site", "letter_required")
# In the order in which the submitter asks them.
GATES = (
    Gate("Waiting time (not expired)", ("waited_too_long",), ("preparing", *_SENT)),
    Gate("Token bucket and 200 in 24 hours", ("quota", "limit_exceeded"), ("preparing", *_SENT)),
    Gate("Vacancy exists and is open", _VACANCY, _SENT),
    Gate("The person's own filters", ("filter", "repost"), _SENT),
    Gate("No test, external site or missing letter", _FORM, _SENT),
    Gate("Access to hh.ru", ("reauth_required", "captcha"), _SENT),
    Gate("A resume that hh.ru shows", ("resume", "missing_resume"), _SENT),
)


@dataclass(frozen=True)
class Asked:
    """A gate and its answer; *reason* and *at*: of the transition that tells it."""

    gate: str
    answer: Answer
    reason: str
    at: datetime | None


def answer_gates(history: list[dict[str, Any]]) -> list[Asked]:
    """Return the answer of each gate, of the transitions in *history*, the oldest first."""
    return [_answer(gate, history) for gate in GATES]


def _answer(gate: Gate, history: list[dict[str, Any]]) -> Asked:
    stopped = [step for step in history if _stops(gate, step["reason"])]
    passed = [step for step in history if step["state"] in gate.passed_in]
    if stopped and (not passed or passed[-1]["at"] < stopped[-1]["at"]):
        step = stopped[-1]
        waits = step["state"] in ("queued", "waiting_quota")
        return Asked(gate.name, "waited" if waits else "stopped", step["reason"], step["at"])
    if passed:
        reason = f"after waiting: {stopped[-1]['reason']}" if stopped else ""
        return Asked(gate.name, "passed", reason, passed[0]["at"])
    return Asked(gate.name, "not asked", "", None)


def _stops(gate: Gate, reason: str | None) -> bool:
    return any((reason or "").startswith(stop) for stop in gate.stops)


def steps(
    history: Iterable[Mapping[str, Any]],
    attempts: Iterable[Mapping[str, Any]],
    application: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return transitions, calls to hh.ru, and the employer's last step, in the order of time."""
    found = [
        {"at": step["at"], "kind": "transition", "what": step["state"], "reason": step["reason"]}
        for step in history
    ]
    for attempt in attempts:
        number = attempt["number"]
        found.append(
            {"at": attempt["at"], "kind": "call", "what": f"call {number} to hh.ru", "reason": None}
        )
        if attempt["answered_at"] is not None:
            counts = "counts towards 200" if attempt["counts"] else "does not count"
            what, reason = f"hh.ru: {attempt['outcome']}", counts
            found.append(
                {"at": attempt["answered_at"], "kind": "answer", "what": what, "reason": reason}
            )
    if application["hh_updated_at"] is not None:
        what = f"employer: {application['hh_state']}"
        reason = "viewed" if application["hh_viewed"] else "not viewed yet"
        at = application["hh_updated_at"]
        found.append({"at": at, "kind": "employer", "what": what, "reason": reason})
    return sorted(found, key=lambda step: step["at"])


async def read(system: System, account_id: UUID, application_id: UUID) -> dict[str, Any]:
    """Return the values of the application's page. Raises :class:`NotFound`."""
    values = {"id": application_id, "account_id": account_id}
    found = await system.select_each(
        {
            "application": (SELECT_APPLICATION, values),
            "history": (SELECT_HISTORY, {"id": application_id}),
            "attempts": (SELECT_ATTEMPTS, {"id": application_id}),
            "messages": (SELECT_MESSAGES, {"id": application_id}),
        }
    )
    if not found["application"]:
        raise NotFound("The person has no application with this id.")
    application = found["application"][0]
    trace_ids = _trace_ids(system, str(application_id), application["trace_id"])
    return {
        "application": application,
        "messages": list(reversed(found["messages"])),
        # A press of the button has one key: pressed twice, it is one reply.
        "reply_key": secrets.token_urlsafe(12),
        "gates": answer_gates(found["history"]),
        "steps": steps(found["history"], found["attempts"], application),
        "trails": [(trace_id, f"{PATH}/requests/{trace_id}") for trace_id in trace_ids],
    }


def _trace_ids(system: System, application_id: str, stored: str | None) -> list[str]:
    """Return the trails whose lines name the application, that of its row first."""
    named = [
        line.trace_id
        for line in system.trail.lines
        if line.trace_id and application_id in line.data.values()
    ]
    return list(dict.fromkeys([*([stored] if stored else []), *named]))
