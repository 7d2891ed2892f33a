"""What would come of an application, before it is requested: gate by gate, and nothing is spent.

The facts come from the functions that decide in acceptance and in preparation. Kept vacancies and
resumes serve where they serve there; else hh.ru is read, and what it answers is kept, as after any
reading. There is no application, token, event or audit record of a submission afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import hh_calls, method_status, people, resumes
from ullgetthejob.applications import acceptance, idempotency
from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.applications.gate_decisions import Facts, Gate, Would, judge
from ullgetthejob.applications.obstacles import (
    Draft,
    Obstacle,
    find_hindrance,
    find_obstacle,
    page_of,
)
from ullgetthejob.applications.recent_vacancy import find_recent_vacancy
from ullgetthejob.applications.resume_choice import choose_resume
from ullgetthejob.applications.resume_selection import ResumeNotFound
from ullgetthejob.applications.reviews import examination
from ullgetthejob.filters import decisions, evaluation, models
from ullgetthejob.fit import store as fit_store
from ullgetthejob.fit.models import Fit
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError, HHForbidden, HHVacancyNotFound
from ullgetthejob.letters import store as letter_store
from ullgetthejob.letters.checking import Finding
from ullgetthejob.platform.errors import NeedsPerson, NotFound, Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.application import Application
    from ullgetthejob.applications.submission import SubmitBody
    from ullgetthejob.hh.methods import Method
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context


class DryRun(Model):
    """What would come of an application. *would*: if nothing changes; a limit only delays.
    *is_certain*: no gate is unknown."""

    success: Literal[True] = True
    dry_run: Literal[True] = True
    would: Would
    reason: str | None = Field(description="of the gate that decides; null: apply_now")
    is_certain: bool
    job_id: str
    title: str | None
    company: str | None
    application_id: UUID | None = Field(description="of the earlier application, if there is one")
    gates: list[Gate]
    cover_letter: str | None = Field(description="as it would be sent")
    letter_findings: list[Finding]
    hh_resume_id: str | None
    resume_reason: str | None
    fit: Fit | None
    send_at: AwareDatetime | None = Field(description="null: it would not be sent by itself")
    link: str | None = Field(description="where the person does what is left to do")


@dataclass(frozen=True)
class _Gathered:
    """The facts, and what an answer shows beside them."""

    facts: Facts
    earlier: Application | None = None
    vacancy: VacancyDetail | None = None
    letter: str | None = None
    findings: tuple[Finding, ...] = ()
    fit: Fit | None = None


def evaluate(body: SubmitBody, person: Person, context: Context) -> list[Gate]:
    """Return what each gate says about the request. Raises as :func:`dry_run`."""
    return list(judge(_gather(body, person, context.with_fixed_time()).facts).gates)


def dry_run(body: SubmitBody, person: Person, context: Context) -> DryRun:
    """Return what would come of the request. Raises :class:`Invalid` and :class:`Conflict`, as the
    request itself does; a person who never connected hh.ru is told so by the gates."""
    context = context.with_fixed_time()
    gathered = _gather(body, person, context)
    facts, vacancy = gathered.facts, gathered.vacancy
    judged = judge(facts)
    is_sent = judged.would in ("apply_now", "wait")
    return DryRun(
        would=judged.would,
        reason=judged.decisive.reason if judged.decisive else None,
        is_certain=all(gate.result != "unknown" for gate in judged.gates),
        job_id=body.job_external_id,
        title=vacancy.name if vacancy else None,
        company=vacancy.employer.name if vacancy else None,
        application_id=gathered.earlier.id if gathered.earlier else None,
        gates=list(judged.gates),
        cover_letter=gathered.letter,
        letter_findings=list(gathered.findings),
        hh_resume_id=facts.choice.resume_id if facts.choice else None,
        resume_reason=facts.choice.reason if facts.choice else None,
        fit=gathered.fit,
        send_at=(facts.send_at or facts.now) if is_sent else None,
        link=_link(gathered, judged.decisive, body.job_external_id),
    )


def _link(gathered: _Gathered, decisive: Gate | None, vacancy_id: str) -> str | None:
    """Return where the person does what is left to do, if something is."""
    facts, vacancy = gathered.facts, gathered.vacancy
    if decisive is None or decisive.result != "person" or decisive.name == "letter":
        return None
    if decisive.name == "access":
        return facts.access.captcha_url
    if decisive.name == "resume":
        return vacancy_url(vacancy_id)
    if decisive.name in ("filters", "vacancy") and facts.hindrance is not None:
        return facts.hindrance.link
    return page_of(vacancy, Draft(vacancy_id, None)) if vacancy else vacancy_url(vacancy_id)


def _gather(body: SubmitBody, person: Person, context: Context) -> _Gathered:
    """Return what is known of the request. Raises as :func:`dry_run`."""
    body.check()
    facts = Facts(access=person.access, now=context.now(), min_fit=body.min_fit)
    account_id = person.account_id
    if account_id is None:
        unknown = replace(
            facts,
            earlier_unknown=True,
            filters_unknown=True,
            vacancy_unknown=True,
            letter_unknown=True,
            limits_unknown=True,
        )
        return _Gathered(unknown, letter=body.letter)
    template = _read_template(body, account_id, context)
    key = body.idempotency_key or context.caller.idempotency_key
    earlier = idempotency.find_earlier(body, account_id, key=key, connection=context.connection)
    facts = replace(
        facts,
        is_closed=acceptance.is_applying_closed(body, person, context),
        duplicate=idempotency.reason_of_duplicate(earlier) if earlier else None,
    )
    facts = _gather_limits(facts, person, context)
    draft = _to_draft(body)
    facts, vacancy = _gather_vacancy(facts, draft, body, account_id, context)
    gathered = _Gathered(facts, earlier, vacancy, letter=body.letter)
    resume = None
    if vacancy is not None:
        facts, resume = _gather_resume(facts, vacancy, body, person, context)
        gathered = replace(gathered, facts=facts)
    return _gather_letter(gathered, resume, template, body, account_id, context)


def _to_draft(body: SubmitBody) -> Draft:
    return Draft(
        body.job_external_id, body.letter, body.letter_template_id, body.review, body.min_fit
    )


def _read_template(body: SubmitBody, account_id: UUID, context: Context) -> str | None:
    """Return the text of the template that makes the letter, if the request names one. Raises
    :class:`NotFound`."""
    if body.letter_template_id is None:
        return None
    row = letter_store.find(account_id, body.letter_template_id, connection=context.connection)
    return str(row["text"])


def _gather_limits(facts: Facts, person: Person, context: Context) -> Facts:
    try:
        send_at = acceptance.estimate_send_time(person, context)
    except Unavailable:
        return replace(facts, limits_unknown=True)
    return replace(facts, send_at=send_at)


def _gather_vacancy(
    facts: Facts, draft: Draft, body: SubmitBody, account_id: UUID, context: Context
) -> tuple[Facts, VacancyDetail | None]:
    """Return the facts with what vacancy and filters do, and the vacancy if it can be read."""
    connection, now = context.connection, context.now()
    advised = decisions.advise(account_id, draft.vacancy_id, connection=connection, now=now)
    obstacle, held = None, advised
    vacancy = find_recent_vacancy(draft, account_id, connection=connection, now=now)
    try:
        vacancy = vacancy or _read_vacancy(draft.vacancy_id, context)
    except HHVacancyNotFound:
        obstacle = Obstacle("refused", "vacancy_not_found")
    except HHForbidden:
        obstacle = Obstacle("handoff", method_status.CLOSED_CODE, vacancy_url(draft.vacancy_id))
        held = advised or decisions.hold_repost(
            account_id, draft.vacancy_id, repost=body.repost, connection=connection
        )
    except (HHError, Unavailable):
        return replace(
            facts,
            held=advised,
            filters_unknown=advised is None,
            hindrance=_to_obstacle(advised),
            vacancy_unknown=True,
        ), None
    if vacancy is None:
        decisive = obstacle if obstacle and obstacle.state == "refused" else None
        hindrance = decisive or _to_obstacle(held) or obstacle
        return replace(facts, held=held, obstacle=obstacle, hindrance=hindrance), None
    is_unknown = False
    if held is None:
        held, is_unknown = _apply_filters(vacancy, body, account_id, context)
    hindrance = _to_obstacle(advised) or find_hindrance(
        draft, vacancy, apply_filters=lambda: held, needs_letter=not facts.is_closed
    )
    found = replace(
        facts,
        held=held,
        filters_unknown=is_unknown,
        obstacle=find_obstacle(draft, vacancy),
        hindrance=hindrance,
    )
    return found, vacancy


def _to_obstacle(held: models.Held | None) -> Obstacle | None:
    return Obstacle(held.state, held.reason) if held else None


def _read_vacancy(vacancy_id: str, context: Context) -> VacancyDetail:
    """Return the vacancy as hh.ru has it now, and store it. Raises hh.ru's errors."""
    vacancy = method_access.call_as_service(
        "detail", lambda: context.hh.vacancy(vacancy_id), context
    )
    store.store_detail(vacancy, connection=context.connection, now=context.now())
    return vacancy


def _apply_filters(
    vacancy: VacancyDetail, body: SubmitBody, account_id: UUID, context: Context
) -> tuple[models.Held | None, bool]:
    """Return what the filters do, and whether that is unknown: preparation reads the employers of
    vacancies that were applied to by hand, which are not read here."""
    try:
        findings = decisions.preview(
            account_id,
            vacancy,
            repost=body.repost,
            connection=context.connection,
            now=context.now(),
        )
    except NeedsPerson:
        return models.Held("needs_person", models.UNREADABLE), False
    held = evaluation.to_held(findings)
    if held is not None and held.reason == models.UNREADABLE:
        certain = [finding for finding in findings if finding.because != "made_by_hand"]
        if not any(finding.verdict == "unknown" for finding in certain):
            return None, True
    return held, False


def _gather_resume(
    facts: Facts, vacancy: VacancyDetail, body: SubmitBody, person: Person, context: Context
) -> tuple[Facts, dict[str, Any] | None]:
    """Return the facts with the resume to send, and that resume in full if it can be read. Where
    one is to be created, hh.ru says only then whether it takes it."""
    if body.new_resume is not None:
        return facts, None

    def call(method: Method, request: Callable[[Any], Any]) -> Any:
        return hh_calls.call_as_account(person, method, request, context)

    try:
        choice = choose_resume(
            person.account, vacancy, wanted=body.resume_id, call=call, context=context
        )
    except ResumeNotFound as error:
        return replace(facts, resume_problem=error.reason), None
    except NeedsPerson:  # hh.ru has denied it just now: see what follows for the account
        current = people.find_by_account(person.account, user_id=person.user_id)
        is_closed = acceptance.is_applying_closed(body, person, context)
        return replace(facts, access=current.access, is_closed=is_closed), None
    except (HHError, Unavailable):
        return facts, None
    return replace(facts, choice=choice), _read_in_full(choice.resume_id, person, context)


def _read_in_full(resume_id: str, person: Person, context: Context) -> dict[str, Any] | None:
    try:
        [resume] = resumes.read_in_full(person, context, resume_id=resume_id)
    except (HHError, NotFound, NeedsPerson, Unavailable):
        return None
    return resume


def _gather_letter(
    gathered: _Gathered,
    resume: dict[str, Any] | None,
    template: str | None,
    body: SubmitBody,
    account_id: UUID,
    context: Context,
) -> _Gathered:
    """Return the same with the letter as it would be sent, what the check finds in it, and the fit
    of the resume. Without resume and vacancy, only a letter that needs neither is known."""
    facts, vacancy = gathered.facts, gathered.vacancy
    if resume is None or vacancy is None:
        is_unknown = body.review != "never" or template is not None
        return replace(gathered, facts=replace(facts, letter_unknown=is_unknown))
    weights = fit_store.read_weights(account_id, connection=context.connection).weights
    draft = _to_draft(body)
    examined = examination.examine(draft, template, resume, vacancy, weights, now=facts.now)
    reason = examination.find_reason(draft, examined, was_shown=False)
    return replace(
        gathered,
        facts=replace(facts, fit=examined.fit.score, letter_reason=reason),
        letter=examined.letter,
        findings=tuple(examined.findings),
        fit=examined.fit,
    )
