"""The gates that an application passes before it is sent, as a pure function of what is known.

:mod:`.gates` gathers the facts by the functions that decide for real, in acceptance and in
preparation; nothing here asks the database or hh.ru. A gate whose facts are not known is
``unknown``: what it would say is seen when the application is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import access, method_status
from ullgetthejob.applications.obstacles import LETTER_REQUIRED
from ullgetthejob.applications.transitions import REASON_BY_ACCESS_CODE
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ullgetthejob.accounts.access import Access
    from ullgetthejob.applications.obstacles import Obstacle
    from ullgetthejob.applications.resume_selection import ResumeChoice
    from ullgetthejob.filters import models

Name = Literal[
    "access", "method", "duplicate", "filters", "vacancy", "fit", "letter", "resume", "limits"
]
Result = Literal["pass", "stop", "wait", "person", "unknown"]
Would = Literal["apply_now", "wait", "review", "handoff", "refuse", "needs_person"]

# Why a person looks at an application before it is sent: as in reviews/examination.py, which
# imports much more than a campaign's dry run needs.
ASKED_FOR = "review_asked_for"
FINDINGS = "letter_findings"
# Which gate decides if several do not pass: acceptance looks for an earlier application, then the
# submitter looks at vacancy and filters, the fit if it can read the resume, whether it may apply at
# all, its access, resume and letter. A limit only delays, so it comes last: what waits for it is
# refused all the same then.
PRECEDENCE: tuple[Name, ...] = (
    "duplicate", "filters", "vacancy", "fit", "method", "access", "resume", "letter", "limits",
)  # fmt: skip

TEXTS: dict[str, str] = {
    "already_applied": "you have applied to this vacancy; nothing is sent a second time",
    "duplicate": "there is an application to this vacancy already: look at that one",
    "vacancy_not_found": "hh.ru has no such vacancy; choose another",
    "vacancy_archived": "the vacancy takes no applications any more; choose another",
    "test_required": "the employer wants a test, which only you can do: apply on hh.ru",
    "external_site": "the employer takes applications on a site of its own: apply there",
    LETTER_REQUIRED: "the employer wants a letter: write one",
    "filters_unreadable": "a filter cannot be compared with this vacancy: look at it yourself",
    "repost": "this is another posting of a job that you applied to: say whether to apply again",
    "filtered_repost": "you skip other postings of a job that you applied to",
    "filtered_fit": "the resume fits less than your minimum: lower it, or send another resume",
    "resume_not_available": "hh.ru does not show this resume as published: publish it, or choose "
    "another",
    "missing_resume_id": "there is no published resume: publish one on hh.ru",
    FINDINGS: "the check found something in the letter: look at it before it is sent",
    ASKED_FOR: "you wanted to see it before it is sent",
    "letter_empty": "the letter template makes no text here: change it",
    "template_not_found": "there is no such letter template: choose another",
    "template_invalid": "the letter template does not work: look at its text",
    "template_value_missing": "the letter template needs something that this vacancy or resume "
    "does not have: change the template",
    "quota": "the limits allow it later; it is sent by itself then",
}
UNKNOWN_TEXTS: dict[Name, str] = {
    "access": "this is seen when it is sent",
    "method": "this is seen when it is sent",
    "duplicate": "connect hh.ru first: earlier applications are not known",
    "filters": "the vacancy is not known enough; your filters decide when it is sent",
    "vacancy": "hh.ru was not asked about the vacancy; it is read when the application is sent",
    "fit": "the resume was not read; the fit is computed when the application is sent",
    "letter": "the letter is made and checked when the application is sent",
    "resume": "the resumes are not known at the moment; one is chosen when it is sent",
    "limits": "the limits cannot be read at the moment; they hold all the same",
}


class Gate(Model):
    """What one gate says. ``stop``: it is not sent. ``wait``: later, by itself, at *until*.
    ``person``: the person does something. ``unknown``: seen only when it is sent."""

    name: Name
    result: Result
    reason: str | None = Field(description="a reason of applications; null: it passes, or unknown")
    text: str = Field(description="what it means, and what to do")
    until: AwareDatetime | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a request to apply, before it is accepted.

    *is_closed*: hh.ru does not let Core apply. *duplicate*: why there is an earlier application.
    *held*: what the filters do, unless *filters_unknown*. *obstacle*: what the vacancy shows,
    unless *vacancy_unknown*. *hindrance*: of both, the one that decides. *choice*: the resume, else
    *resume_problem* or unknown. *fit*: the score, with *min_fit* the least. *letter_reason*: why
    the letter is not sent unseen. *send_at*: when the limits allow it, ``None``: now.
    """

    access: Access
    now: datetime
    is_closed: bool = False
    duplicate: str | None = None
    earlier_unknown: bool = False
    held: models.Held | None = None
    filters_unknown: bool = False
    obstacle: Obstacle | None = None
    vacancy_unknown: bool = False
    hindrance: Obstacle | None = None
    choice: ResumeChoice | None = None
    resume_problem: str | None = None
    fit: int | None = None
    min_fit: int | None = None
    letter_reason: str | None = None
    letter_unknown: bool = False
    send_at: datetime | None = None
    limits_unknown: bool = False


@dataclass(frozen=True)
class Judged:
    """The gates in the order in which people read them, what comes of the application, and the
    gate that decides (``None``: all pass, or are unknown)."""

    gates: tuple[Gate, ...]
    would: Would
    decisive: Gate | None


def judge(facts: Facts) -> Judged:
    """Return what each gate says, and what would come of the application."""
    judged: Sequence[tuple[Gate, Would | None]] = [
        _judge_access(facts),
        _judge_method(facts),
        _judge_duplicate(facts),
        _judge_filters(facts),
        _judge_vacancy(facts),
        _judge_fit(facts),
        _judge_letter(facts),
        _judge_resume(facts),
        _judge_limits(facts),
    ]
    gates = tuple(gate for gate, _ in judged)
    by_name = {gate.name: (gate, would) for gate, would in judged}
    for name in PRECEDENCE:
        gate, would = by_name[name]
        if would is not None:
            return Judged(gates, would, gate)
    return Judged(gates, "apply_now", None)


def _judge_access(facts: Facts) -> tuple[Gate, Would | None]:
    try:
        access.require(facts.access, now=facts.now)
    except NeedsPerson as error:
        reason = REASON_BY_ACCESS_CODE.get(error.code, error.code)
        return _gate("access", "person", reason, text=error.message), "needs_person"
    return _pass("access", "hh.ru works for this account")


def _judge_method(facts: Facts) -> tuple[Gate, Would | None]:
    if not facts.is_closed:
        return _pass("method", "hh.ru lets Core apply, as far as it is known")
    text = method_status.MESSAGES["apply"]
    return _gate("method", "person", method_status.CLOSED_CODE, text=text), "handoff"


def _judge_duplicate(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.earlier_unknown:
        return _unknown("duplicate")
    if facts.duplicate is None:
        return _pass("duplicate", "there is no application to this vacancy yet")
    return _gate("duplicate", "stop", facts.duplicate), "refuse"


def _judge_filters(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.held is None:
        if facts.filters_unknown:
            return _unknown("filters")
        return _pass("filters", "your filters keep this vacancy")
    reason = facts.held.reason
    rule = reason.removeprefix("filtered_").replace("_", " ")
    text = TEXTS.get(reason) or f"your rule about {rule} drops this vacancy; change it, then retry"
    result: Result = "stop" if facts.held.state == "refused" else "person"
    decides = facts.hindrance is not None and facts.hindrance.reason == reason
    would: Would = "refuse" if result == "stop" else "needs_person"
    return _gate("filters", result, reason, text=text), would if decides else None


def _judge_vacancy(facts: Facts) -> tuple[Gate, Would | None]:
    obstacle = facts.obstacle
    if obstacle is None:
        if facts.vacancy_unknown:
            return _unknown("vacancy")
        return _pass("vacancy", "the vacancy takes applications")
    if obstacle.reason == LETTER_REQUIRED and facts.is_closed:
        return _pass("vacancy", "the vacancy takes applications; it wants a letter")
    wanted: dict[str, tuple[Result, Would]] = {
        "refused": ("stop", "refuse"),
        "handoff": ("person", "handoff"),
        "needs_person": ("person", "needs_person"),
    }
    result, would = wanted[obstacle.state]
    text = (
        method_status.MESSAGES["detail"]
        if obstacle.reason == method_status.CLOSED_CODE
        else TEXTS[obstacle.reason]
    )
    gate = _gate("vacancy", result, obstacle.reason, text=text)
    return gate, would if facts.hindrance == obstacle else None


def _judge_fit(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.min_fit is None:
        shown = "" if facts.fit is None else f"; the resume fits {facts.fit} of 100"
        return _pass("fit", f"no minimum is wanted{shown}")
    if facts.fit is None:
        return _unknown("fit")
    if facts.fit >= facts.min_fit:
        return _pass("fit", f"the resume fits {facts.fit} of 100, at least {facts.min_fit}")
    text = f"{TEXTS['filtered_fit']} ({facts.fit} of 100, at least {facts.min_fit} is wanted)"
    return _gate("fit", "stop", "filtered_fit", text=text), "refuse"


def _judge_letter(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.letter_reason is not None:
        return _gate("letter", "person", facts.letter_reason), "review"
    if facts.letter_unknown:
        return _unknown("letter")
    return _pass("letter", "nothing keeps the letter from being sent")


def _judge_resume(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.resume_problem is not None:
        return _gate("resume", "person", facts.resume_problem), "needs_person"
    if facts.choice is None:
        return _unknown("resume")
    return _pass("resume", f"the resume is chosen ({facts.choice.reason.replace('_', ' ')})")


def _judge_limits(facts: Facts) -> tuple[Gate, Would | None]:
    if facts.is_closed:
        return _pass("limits", "no limit delays what you send yourself")
    if facts.limits_unknown:
        return _unknown("limits")
    if facts.send_at is None:
        return _pass("limits", "both limits allow it now")
    gate = _gate("limits", "wait", "quota")
    return gate.model_copy(update={"until": facts.send_at}), "wait"


def _gate(name: Name, result: Result, reason: str, *, text: str | None = None) -> Gate:
    return Gate(name=name, result=result, reason=reason, text=text or TEXTS[reason])


def _pass(name: Name, text: str) -> tuple[Gate, None]:
    return Gate(name=name, result="pass", reason=None, text=text), None


def _unknown(name: Name) -> tuple[Gate, None]:
    return Gate(name=name, result="unknown", reason=None, text=UNKNOWN_TEXTS[name]), None
