"""Applying to a vacancy: what hh.ru checks, in the order in which it is told.

INFERRED is the order itself: first what the call says, then the vacancy, the resume, what stands
between the two, the letter, and last the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.sandbox.dictionaries import geography
from local.sandbox.errors import ApiError
from local.sandbox.negotiations import conduct
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
class Wish:
    """Somebody wants to apply. *refusal* names the answer that was ordered for it, if one was.

    *visible_abroad*: the applicant consents to be seen in the vacancy's country.
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
    """Raises 403 for a letter or message that says nothing or too much."""
    if not text.strip():
        raise refuse(empty)
    if len(text) > LONGEST_LETTER:
        raise refuse("too_long_message")


def _resume(sandbox: Sandbox, person: Person, resume_id: str, now: float) -> Resume:
    """The resume to apply with. Raises 400 for another's, an unpublished one, one not visible."""
    resume = sandbox.store.resumes.find(resume_id)
    own = resume is not None and resume.person_id == person.id
    if resume is None or not own or resume.visible_from > now or resume.published_at is None:
        raise refuse("resume_not_found")
    return resume


def conflicts(resume: Resume, vacancy: Vacancy) -> bool:
    """Whether a resume that only chosen employers see would be shown to one without a name."""
    access = (resume.body.get("access") or {}).get("type") or {}
    return vacancy.kind == "anonymous" and access.get("id") in ("whitelist", "no_one")


def _check(sandbox: Sandbox, person: Person, wish: Wish, resume: Resume, vacancy: Vacancy) -> None:
    """What stands between this resume and this vacancy."""
    if sandbox.store.negotiations.has_applied(person.id, vacancy.id):
        raise refuse("already_applied")
    if vacancy.has_test and vacancy.test_required and wish.by == "api":
        raise refuse("test_required")  # on the site a person passes it
    if conflicts(resume, vacancy):
        raise refuse("resume_visibility_conflict")
    area = (resume.body.get("area") or {}).get("id")
    home = geography.country(area) if area else None
    if home == BELARUS != geography.country(vacancy.area_id) and not wish.visible_abroad:
        raise refuse("country_visibility")
    if wish.letter is not None:
        check_text(wish.letter)
    elif vacancy.response_letter_required:
        raise refuse("letter_required")


def apply(sandbox: Sandbox, person: Person, wish: Wish, now: float) -> int:
    """Apply. Returns the number of the negotiation; raises what hh.ru refuses with.

    Raises also :class:`Redirected`. Nothing here waits, so no two applications overlap.
    """
    absent = [name for name in ("vacancy_id", "resume_id") if not getattr(wish, name)]
    if absent:
        raise missing(*absent)
    if wish.refusal is not None:
        raise refuse(wish.refusal)
    found = vacancy_routes.existing(sandbox, wish.vacancy_id or "")
    if found is None:
        raise refuse("vacancy_not_found")
    vacancy, archived = found
    if vacancy.refusal is not None:
        raise refuse(vacancy.refusal)
    resume = _resume(sandbox, person, wish.resume_id or "", now)
    if archived:
        raise refuse("invalid_vacancy")
    if vacancy.kind == "direct":
        raise Redirected(
            vacancy.response_url
            or f"https://hh.ru/applicant/vacancy_response?vacancyId={vacancy.id}"
        )
    _check(sandbox, person, wish, resume, vacancy)
    accepted = sandbox.store.negotiations.accepted_since(person.id, now - DAY_S)
    if accepted >= sandbox.applications_per_day:
        raise refuse("limit_exceeded")
    return _accept(sandbox, person, wish, resume, vacancy, now)


def _accept(
    sandbox: Sandbox, person: Person, wish: Wish, resume: Resume, vacancy: Vacancy, now: float
) -> int:
    if (resume.body.get("access") or {}).get("type") == {"id": "no_one"}:
        # hh.ru: to apply with a resume that nobody sees is to show it to that employer.
        shown = resume.body | {"access": {"type": {"id": "whitelist"}}}
        sandbox.store.resumes.edit(resume.id, shown, now)
    deeds = conduct.plan(sandbox.settings.seed, person.id, vacancy.id, now)
    return sandbox.store.negotiations.accept(
        attempt(sandbox, person, wish, now, status=201, outcome=ACCEPTED),
        deeds if sandbox.employers_act else (),
    )


def attempt(
    sandbox: Sandbox, person: Person | None, wish: Wish, now: float, *, status: int, outcome: str
) -> Attempt:
    """What the log says of a wish and its answer."""
    found = vacancy_routes.existing(sandbox, wish.vacancy_id or "")
    resume = sandbox.store.resumes.find(wish.resume_id or "")
    vacancy = found[0] if found else None
    return Attempt(
        at=now,
        by=wish.by,
        person_id=person.id if person else None,
        vacancy_id=wish.vacancy_id,
        resume_id=wish.resume_id,
        letter=wish.letter,
        status=status,
        outcome=outcome,
        vacancy_name=vacancy.name if vacancy else None,
        employer_id=vacancy.employer.id if vacancy else None,
        employer_name=vacancy.employer.name if vacancy else None,
        resume_title=resume.body.get("title") if resume else None,
    )


def submit(sandbox: Sandbox, person: Person, wish: Wish) -> int | str:
    """Apply by hand, the log hears of it. Returns the negotiation's number or what stopped it."""
    now = sandbox.now()
    try:
        return apply(sandbox, person, wish, now)
    except ApiError as refusal:
        return refused(sandbox, person, wish, now, refusal)
    except Redirected:
        return redirected(sandbox, person, wish, now)


def refused(
    sandbox: Sandbox, person: Person | None, wish: Wish, now: float, refusal: ApiError
) -> str:
    """Let the log know of a wish that hh.ru refused. Returns the outcome."""
    outcome = refusal.errors[0].get("value", refusal.errors[0]["type"])
    noted = attempt(sandbox, person, wish, now, status=refusal.status, outcome=outcome)
    sandbox.store.negotiations.refuse(noted)
    return outcome


def redirected(sandbox: Sandbox, person: Person, wish: Wish, now: float) -> str:
    """Let the log know of a wish that ended at an employer's site. Returns the outcome."""
    noted = attempt(sandbox, person, wish, now, status=303, outcome=REDIRECTED)
    sandbox.store.negotiations.refuse(noted)
    return REDIRECTED
