"""The checks of an application to a vacancy, in hh.ru's order, and the log of attempts.

INFERRED is the order itself: first the fields of the call, then the vacancy, the resume, the
conflicts between the two, the letter, and last the daily limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.sandbox.dictionaries import geography
from local.sandbox.errors import ApiError
from local.sandbox.negotiations import employer_behaviour
from local.sandbox.negotiations.negotiation_store import ACCEPTED, Attempt
from local.sandbox.negotiations.refusals import missing, refuse
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from local.sandbox.negotiations.negotiation import By
    from local.sandbox.people.people import Person
    from local.sandbox.resumes.resume_store import Resume
    from local.sandbox.state import Sandbox
    from local.sandbox.vacancies.vacancy import Vacancy

REDIRECTED = "redirected"
DAY_S = 86_400
LONGEST_LETTER = 10_000  # characters, as are those of messages
BELARUS = "16"


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """The fields of a call to apply. *refusal* names the refusal that a fault orders, if any.

    *visible_abroad*: the applicant consents to be visible in the vacancy's country.
    """

    vacancy_id: str | None
    resume_id: str | None
    letter: str | None
    by: By = "api"
    visible_abroad: bool = False
    refusal: str | None = None


class Redirected(Exception):
    """The employer takes applications on its own site only; the message is its address."""


def check_text(text: str, empty: str = "empty_message") -> None:
    """Raise 403 for a letter or message that is empty or too long."""
    if not text.strip():
        raise refuse(empty)
    if len(text) > LONGEST_LETTER:
        raise refuse("too_long_message")


def _find_resume(sandbox: Sandbox, person: Person, resume_id: str, now: float) -> Resume:
    """Return the resume to apply with.

    Raises 400 for another person's resume, an unpublished one, and one that is not visible yet.
    """
    resume = sandbox.store.resumes.find(resume_id)
    own = resume is not None and resume.person_id == person.id
    if resume is None or not own or resume.visible_from > now or resume.status != "published":
        raise refuse("resume_not_found")
    return resume


def _has_visibility_conflict(resume: Resume, vacancy: Vacancy) -> bool:
    """Return whether a resume for chosen employers only would be shown to an anonymous one."""
    access = (resume.body.get("access") or {}).get("type") or {}
    return vacancy.kind == "anonymous" and access.get("id") in ("whitelist", "no_one")


def _check_conflicts(
    sandbox: Sandbox, person: Person, request: ApplyRequest, resume: Resume, vacancy: Vacancy
) -> None:
    """Raise what this resume and this vacancy are refused with together."""
    if sandbox.store.negotiations.has_applied(person.id, vacancy.id):
        raise refuse("already_applied")
    if vacancy.has_test and vacancy.test_required and request.by == "api":
        raise refuse("test_required")  # on the site a person passes it
    if _has_visibility_conflict(resume, vacancy):
        raise refuse("resume_visibility_conflict")
    area = (resume.body.get("area") or {}).get("id")
    home = geography.country(area) if area else None
    if home == BELARUS != geography.country(vacancy.area_id) and not request.visible_abroad:
        raise refuse("country_visibility")
    if request.letter is not None:
        check_text(request.letter)
    elif vacancy.response_letter_required:
        raise refuse("letter_required")


def apply(sandbox: Sandbox, person: Person, request: ApplyRequest, now: float) -> int:
    """Apply and return the number of the negotiation.

    Nothing here awaits, so no two applications overlap. Raises :class:`ApiError` for every refusal
    of hh.ru, and :class:`Redirected`.
    """
    absent = [name for name in ("vacancy_id", "resume_id") if not getattr(request, name)]
    if absent:
        raise missing(*absent)
    if request.refusal is not None:
        raise refuse(request.refusal)
    found = vacancy_routes.existing(sandbox, request.vacancy_id or "")
    if found is None:
        raise refuse("vacancy_not_found")
    vacancy, archived = found
    if vacancy.refusal is not None:
        raise refuse(vacancy.refusal)
    resume = _find_resume(sandbox, person, request.resume_id or "", now)
    if archived:
        raise refuse("invalid_vacancy")
    if vacancy.kind == "direct":
        raise Redirected(
            vacancy.response_url
            or f"https://hh.ru/applicant/vacancy_response?vacancyId={vacancy.id}"
        )
    _check_conflicts(sandbox, person, request, resume, vacancy)
    accepted = sandbox.store.negotiations.accepted_since(person.id, now - DAY_S)
    if accepted >= sandbox.applications_per_day:
        raise refuse("limit_exceeded")
    return _accept(sandbox, person, request, resume, vacancy, now)


def _accept(
    sandbox: Sandbox,
    person: Person,
    request: ApplyRequest,
    resume: Resume,
    vacancy: Vacancy,
    now: float,
) -> int:
    if (resume.body.get("access") or {}).get("type") == {"id": "no_one"}:
        # hh.ru: applying with a resume that no employer sees shows it to that employer.
        shown = resume.body | {"access": {"type": {"id": "whitelist"}}}
        sandbox.store.resumes.edit(resume.id, shown, now)
    actions = employer_behaviour.plan(sandbox.settings.seed, person.id, vacancy.id, now)
    return sandbox.store.negotiations.accept(
        _attempt(sandbox, person, request, now, status=201, outcome=ACCEPTED),
        actions if sandbox.employers_act else (),
    )


def _attempt(
    sandbox: Sandbox,
    person: Person | None,
    request: ApplyRequest,
    now: float,
    *,
    status: int,
    outcome: str,
) -> Attempt:
    """Return the row of the log for a request and its outcome."""
    found = vacancy_routes.existing(sandbox, request.vacancy_id or "")
    resume = sandbox.store.resumes.find(request.resume_id or "")
    vacancy = found[0] if found else None
    return Attempt(
        at=now,
        by=request.by,
        person_id=person.id if person else None,
        vacancy_id=request.vacancy_id,
        resume_id=request.resume_id,
        letter=request.letter,
        status=status,
        outcome=outcome,
        vacancy_name=vacancy.name if vacancy else None,
        employer_id=vacancy.employer.id if vacancy else None,
        employer_name=vacancy.employer.name if vacancy else None,
        resume_title=resume.body.get("title") if resume else None,
    )


def apply_on_site(sandbox: Sandbox, person: Person, request: ApplyRequest) -> int | str:
    """Apply by hand and log the attempt.

    Returns the negotiation's number, or the outcome of a refusal or redirect.
    """
    now = sandbox.now()
    try:
        return apply(sandbox, person, request, now)
    except ApiError as refusal:
        return log_refusal(sandbox, person, request, now, refusal)
    except Redirected:
        return log_redirect(sandbox, person, request, now)


def log_refusal(
    sandbox: Sandbox, person: Person | None, request: ApplyRequest, now: float, refusal: ApiError
) -> str:
    """Log a request that hh.ru refused, and return the outcome."""
    outcome = refusal.errors[0].get("value", refusal.errors[0]["type"])
    attempt = _attempt(sandbox, person, request, now, status=refusal.status, outcome=outcome)
    sandbox.store.negotiations.refuse(attempt)
    return outcome


def log_redirect(sandbox: Sandbox, person: Person, request: ApplyRequest, now: float) -> str:
    """Log a request that was redirected to the employer's site, and return the outcome."""
    attempt = _attempt(sandbox, person, request, now, status=303, outcome=REDIRECTED)
    sandbox.store.negotiations.refuse(attempt)
    return REDIRECTED
