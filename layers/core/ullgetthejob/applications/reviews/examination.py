"""The examination of an application before it is sent: its letter, its fit, and whether its person
looks first. Decisions only: nothing here reads or writes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ullgetthejob.applications.obstacles import LETTER_REQUIRED
from ullgetthejob.fit.profile import profile_of
from ullgetthejob.fit.scoring import score
from ullgetthejob.letters.checking import check
from ullgetthejob.letters.errors import TemplateInvalid, ValueMissing
from ullgetthejob.letters.placeholders import context_of
from ullgetthejob.letters.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ullgetthejob.applications.application import Application
    from ullgetthejob.fit.models import Fit, Weights
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.letters.checking import Finding

FILTERED_FIT = "filtered_fit"  # the reason of an application below its least fit
# Why a person looks: they want to, the check found something, the template made no letter, or the
# vacancy has changed since they looked.
ASKED_FOR = "review_asked_for"
FINDINGS = "letter_findings"
VACANCY_CHANGED = "vacancy_changed"
TEMPLATE_NOT_FOUND = "template_not_found"
LETTER_EMPTY = "letter_empty"


@dataclass(frozen=True)
class Examination:
    """What was found. *problem*: why the template made no letter, a code; ``None`` where it did, or
    none was wanted."""

    letter: str | None
    fit: Fit
    findings: list[Finding]
    problem: str | None = None


def examine(
    application: Application,
    template: str | None,
    resume: Mapping[str, Any],
    vacancy: VacancyDetail,
    weights: Weights,
    *,
    now: datetime,
    remakes: bool = False,
) -> Examination:
    """Return what an application is sent with. *template*: its text, ``None`` if it was deleted.
    *resume*: in hh.ru's shape, in full. A letter that exists, perhaps edited, is not made anew,
    unless it *remakes* one that its person has not seen."""
    letter, problem = None if remakes else application.letter, None
    if letter is None and application.letter_template_id is not None:
        letter, problem = make_letter(template, resume, vacancy)
    return Examination(
        letter=letter,
        fit=score(profile_of(resume), vacancy, weights, now=now),
        findings=check(letter, resume, vacancy) if letter else [],
        problem=problem,
    )


def make_letter(
    template: str | None, resume: Mapping[str, Any], vacancy: VacancyDetail
) -> tuple[str | None, str | None]:
    """Return the letter of a template, or ``None`` and the code of what prevents it."""
    if template is None:
        return None, TEMPLATE_NOT_FOUND
    try:
        letter = render(template, context_of(resume, vacancy))
    except (TemplateInvalid, ValueMissing) as error:
        return None, error.code
    return (letter, None) if letter else (None, LETTER_EMPTY)


def find_reason(application: Application, examined: Examination, *, was_shown: bool) -> str | None:
    """Return why the person looks before the application is sent; ``None`` if it may be sent.

    *was_shown*: the person has approved an earlier state of it. A letter with a placeholder left
    is never sent unseen, whatever the policy.
    """
    if examined.problem is not None:
        return examined.problem
    if was_shown:
        return VACANCY_CHANGED
    if application.review == "always":
        return ASKED_FOR
    rules = {finding.rule for finding in examined.findings}
    if application.review == "findings" and rules:
        return FINDINGS
    is_made = application.letter_template_id is not None
    return FINDINGS if is_made and "placeholder" in rules else None


def decide(
    application: Application, examined: Examination, vacancy: VacancyDetail, *, was_shown: bool
) -> tuple[Literal["refused", "review", "needs_person"] | None, str | None]:
    """Return the state of an application that is not sent now, and its reason; ``None`` for both
    where it may be sent. *was_shown*: as of :func:`find_reason`."""
    if is_below(application, examined.fit) and not was_shown:
        return "refused", FILTERED_FIT
    reason = find_reason(application, examined, was_shown=was_shown)
    if reason is not None:
        return "review", reason
    if vacancy.response_letter_required and not examined.letter:
        return "needs_person", LETTER_REQUIRED
    return None, None


def is_below(application: Application, fit: Fit) -> bool:
    """Return whether the fit is below the least one that the application is sent with."""
    return application.min_fit is not None and fit.score < application.min_fit


def hash_letter(letter: str | None) -> bytes:
    """Return the hash by which a yes is of this text; 32 bytes."""
    return hashlib.sha256((letter or "").encode()).digest()


def digest_offer(vacancy: VacancyDetail, resume_id: str) -> bytes:
    """Return a digest of what a person decides by: another title, employer, salary, area or text
    is another offer, another date or rating is not; the letter is of one resume."""
    salary = vacancy.salary
    facts = [
        vacancy.name,
        vacancy.employer.id or vacancy.employer.name,
        [salary.lower, salary.upper, salary.currency, salary.mode] if salary else None,
        vacancy.area.id,
        " ".join(vacancy.description.split()),
        resume_id,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).digest()
