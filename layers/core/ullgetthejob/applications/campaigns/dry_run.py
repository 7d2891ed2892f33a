"""What would come of a campaign's items: gate by gate, by what is kept alone.

hh.ru is not asked for each of hundreds of vacancies: what is not kept is ``unknown``, and seen when
the application is sent. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from pydantic import AwareDatetime, Field, ValidationError

from ullgetthejob.accounts import kept_resumes
from ullgetthejob.applications import applying
from ullgetthejob.applications.application import COLUMNS, Application
from ullgetthejob.applications.campaigns import item_intake, send_schedule
from ullgetthejob.applications.campaigns.store import find, find_or_new
from ullgetthejob.applications.gate_decisions import ASKED_FOR, Facts, Gate, Would, judge
from ullgetthejob.applications.obstacles import Draft, Obstacle, find_hindrance, find_obstacle
from ullgetthejob.applications.resume_selection import ResumeNotFound, select_resume
from ullgetthejob.filters import decisions, evaluation, models
from ullgetthejob.letters import store as letter_templates
from ullgetthejob.platform.errors import Invalid, NeedsPerson
from ullgetthejob.platform.models import Model
from ullgetthejob.vacancies import kept_vacancies

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ullgetthejob.accounts.kept_resumes import KeptResumes
    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.models import AddBody, StartBody
    from ullgetthejob.applications.campaigns.store import Campaign
    from ullgetthejob.applications.submission import SubmitBody
    from ullgetthejob.platform.context import Context
    from ullgetthejob.vacancies.kept_vacancies import KeptVacancy

MAX_ITEMS = 500
SENT: tuple[Would, ...] = ("apply_now", "wait")
SELECT_APPLICATIONS_OF_VACANCIES = f"""
    SELECT {COLUMNS} FROM application_ledger
    WHERE account_id = %(account_id)s AND vacancy_id = ANY(%(ids)s)
"""  # noqa: S608
SELECT_VACANCIES_OF_CAMPAIGN = """
    SELECT job_external_id FROM application_queue
    WHERE workflow_id = %(workflow_id)s AND job_external_id = ANY(%(ids)s)
"""


class CampaignRow(Model):
    """What would come of one item. *gates*: those that do not pass. *would* is by what is known;
    *is_certain*: nothing is unknown."""

    job_id: str
    would: Would
    reason: str | None
    is_certain: bool
    title: str | None
    company: str | None
    gates: list[Gate]
    send_at: AwareDatetime | None = Field(
        description="by both limits and what else waits; null: it would not be sent by itself"
    )


class CampaignDryRun(Model):
    """What would come of a campaign. *rows*: of at most 500 items, in the order in which they would
    be sent. *counts*: how many by what would come of them."""

    success: Literal[True] = True
    dry_run: Literal[True] = True
    workflow_id: UUID | None = Field(description="null: of a new campaign")
    rows: list[CampaignRow]
    counts: dict[Would, int]
    uncertain: int = Field(description="rows with a gate that is unknown: hh.ru was not asked")
    left: int = Field(description="pending items beyond the first 500")
    estimated_completion: AwareDatetime | None


@dataclass(frozen=True)
class _Item:
    """An item: the request that is made of it, or why none can be made. *is_known*: the campaign
    has the vacancy already."""

    vacancy_id: str
    body: SubmitBody | None
    reason: str | None = None
    is_known: bool = False


@dataclass(frozen=True)
class _Known:
    """What is read once for all items: by vacancy, except the resumes and whether hh.ru lets Core
    apply (by whether a resume is named)."""

    vacancies: dict[str, KeptVacancy]
    earlier: dict[str, Application]
    templates: set[UUID]
    findings: dict[str, list[models.Finding]] | None  # None: the rules cannot be read
    has_rules: bool
    resumes: KeptResumes | None
    is_closed: dict[bool, bool]


def of_jobs(body: AddBody, person: Person, context: Context) -> CampaignDryRun:
    """Return what would come of vacancies that are added to a campaign, once it runs. Raises
    :class:`NotFound`, and :class:`NeedsPerson` for a user who never connected hh.ru."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find_or_new(
        body.workflow_id or uuid4(), person=person, connection=connection, now=now
    )
    values = {
        "workflow_id": campaign.workflow_id,
        "ids": [job.job_external_id for job in body.jobs],
    }
    rows = connection.execute(SELECT_VACANCIES_OF_CAMPAIGN, values).fetchall()
    known = {row["job_external_id"] for row in rows}
    items = []
    for job in sorted(body.jobs, key=lambda job: job.priority):
        own = job.model_copy(update={"repost": job.repost or body.repost})
        row = {
            "job_external_id": job.job_external_id,
            "payload": own.model_dump(mode="json", exclude_none=True),
            "cover_letter": None,
        }
        items.append(_to_item(row, is_known=job.job_external_id in known))
        known.add(job.job_external_id)
    return _estimate(items, 0, campaign, person, context, workflow_id=body.workflow_id)


def of_campaign(body: StartBody, person: Person, context: Context) -> CampaignDryRun:
    """Return what would come of the pending items of a campaign. Raises :class:`NotFound`, and
    :class:`NeedsPerson` for a user who never connected hh.ru."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    campaign = find(body.workflow_id, person=person, connection=connection, now=now)
    values = {"workflow_id": campaign.workflow_id, "most": MAX_ITEMS}
    rows = connection.execute(item_intake.SELECT_PENDING_ITEMS, values).fetchall()
    counted = connection.execute(item_intake.COUNT_PENDING_ITEMS, values).fetchone() or {}
    items = [_to_item(row) for row in rows]
    left = counted.get("items", 0) - len(rows)
    return _estimate(items, left, campaign, person, context, workflow_id=campaign.workflow_id)


def _to_item(row: dict[str, Any], *, is_known: bool = False) -> _Item:
    """Return the item of *row*, with the reason for which intake fails it."""
    vacancy_id = row["job_external_id"]
    try:
        body = item_intake.to_body(row)
        body.check()
    except ValidationError:
        return _Item(vacancy_id, None, "bad_arguments")
    except Invalid as error:
        return _Item(vacancy_id, None, error.code)
    return _Item(vacancy_id, body, is_known=is_known)


def _estimate(
    items: list[_Item],
    left: int,
    campaign: Campaign,
    person: Person,
    context: Context,
    *,
    workflow_id: UUID | None,
) -> CampaignDryRun:
    connection, now = context.connection, context.now()
    known = _read(items, person.account, context)
    items = [_require_template(item, known.templates) for item in items]
    facts = [_gather(item, known, person, now) if item.body else None for item in items]
    # Only what would be sent takes a slot of the limits.
    sent = [own is not None and judge(own).would in SENT for own in facts]
    send_times = iter(
        send_schedule.forecast_items(campaign, sum(sent), connection=connection, now=now)
    )
    rows = []
    for item, own, is_sent in zip(items, facts, sent, strict=True):
        send_at = next(send_times) if is_sent else None
        if own is not None and send_at is not None and send_at > now:
            own = replace(own, send_at=send_at)
        rows.append(_to_row(item, own, known.vacancies.get(item.vacancy_id), send_at))
    counts = Counter(row.would for row in rows)
    last = [row.send_at for row in rows if row.send_at is not None]
    return CampaignDryRun(
        workflow_id=workflow_id,
        rows=rows,
        counts=dict(counts),
        uncertain=sum(not row.is_certain for row in rows),
        left=left,
        estimated_completion=max(last, default=None),
    )


def _read(items: list[_Item], account_id: UUID, context: Context) -> _Known:
    connection, now = context.connection, context.now()
    ids = list(dict.fromkeys(item.vacancy_id for item in items))
    vacancies = kept_vacancies.read(ids, connection=connection)
    values = {"account_id": account_id, "ids": ids}
    rows = connection.execute(SELECT_APPLICATIONS_OF_VACANCIES, values).fetchall()
    reposts = {item.vacancy_id: item.body.repost for item in items if item.body is not None}
    try:
        findings = decisions.preview_in_order(
            account_id,
            [(vacancies[own].vacancy, reposts.get(own)) for own in ids if own in vacancies],
            connection=connection,
            now=now,
        )
    except NeedsPerson:
        findings = None
    return _Known(
        vacancies=vacancies,
        earlier={row["vacancy_id"]: Application(**row) for row in rows},
        templates={
            row["id"] for row in letter_templates.list_all(account_id, connection=connection)
        },
        findings=findings,
        has_rules=decisions.has_rules(account_id, connection=connection),
        resumes=kept_resumes.read(account_id, connection=connection, now=now),
        is_closed={
            is_named: applying.is_closed(
                account_id,
                wanted_resume_id="named" if is_named else None,
                connection=connection,
                now=now,
            )
            for is_named in (False, True)
        },
    )


def _require_template(item: _Item, templates: set[UUID]) -> _Item:
    """Return the item, with the reason for which intake fails it if its template does not exist."""
    wanted = item.body.letter_template_id if item.body else None
    if wanted is None or wanted in templates:
        return item
    return _Item(item.vacancy_id, None, letter_templates.not_found().code)


def _gather(item: _Item, known: _Known, person: Person, now: datetime) -> Facts:
    """Return what is known of an item's request."""
    body = item.body
    assert body is not None  # noqa: S101 - an item without one has its reason
    draft = Draft(item.vacancy_id, body.letter, body.letter_template_id)
    earlier, kept = known.earlier.get(item.vacancy_id), known.vacancies.get(item.vacancy_id)
    duplicate = item_intake.reason_of_duplicate(earlier) if earlier else None
    facts = Facts(
        access=person.access,
        now=now,
        is_closed=known.is_closed[body.resume_id is not None],
        duplicate="duplicate" if item.is_known else duplicate,
        min_fit=body.min_fit,
        letter_reason=ASKED_FOR if body.review == "always" else None,
        letter_unknown=body.letter_template_id is not None
        or (body.review == "findings" and body.letter is not None),
    )
    facts = _gather_filters(facts, item.vacancy_id, known)
    facts = _gather_vacancy(facts, draft, kept)
    return _gather_resume(facts, kept, body, known)


def _gather_filters(facts: Facts, vacancy_id: str, known: _Known) -> Facts:
    if known.findings is None:
        return replace(facts, held=models.Held("needs_person", models.UNREADABLE))
    kept, findings = known.vacancies.get(vacancy_id), known.findings.get(vacancy_id)
    if kept is None or findings is None:
        return replace(facts, filters_unknown=known.has_rules)
    held = evaluation.to_held(findings)
    if held is not None and held.reason == models.UNREADABLE and kept.detail is None:
        return replace(facts, filters_unknown=True)  # an excerpt may lack what a rule needs
    is_reread = kept.detail is None and known.has_rules and held is None
    return replace(facts, held=held, filters_unknown=is_reread)


def _gather_vacancy(facts: Facts, draft: Draft, kept: KeptVacancy | None) -> Facts:
    held = facts.held
    if kept is not None and kept.is_closed:
        obstacle: Obstacle | None = Obstacle("refused", "vacancy_archived")
        return replace(facts, obstacle=obstacle, hindrance=obstacle)
    if kept is None or kept.detail is None:
        hindrance = Obstacle(held.state, held.reason) if held else None
        return replace(facts, vacancy_unknown=True, hindrance=hindrance)
    hindrance = find_hindrance(
        draft, kept.detail, apply_filters=lambda: held, needs_letter=not facts.is_closed
    )
    return replace(facts, obstacle=find_obstacle(draft, kept.detail), hindrance=hindrance)


class _NotKept(Exception):
    """A resume would have to be read at hh.ru."""


def _gather_resume(
    facts: Facts, kept: KeptVacancy | None, body: SubmitBody, known: _Known
) -> Facts:
    """Return the facts with the resume, if the kept list and vacancy are enough to choose it."""
    detail = kept.detail if kept else None
    if detail is None or known.resumes is None or body.new_resume is not None:
        return facts
    by_id = {str(resume["id"]): resume for resume in known.resumes.resumes}

    def read(resume_id: str) -> dict[str, Any]:
        if by_id[resume_id].get("skill_set") is None:
            raise _NotKept
        return by_id[resume_id]

    try:
        choice = select_resume(known.resumes.resumes, detail, wanted=body.resume_id, read=read)
    except (_NotKept, ResumeNotFound):  # hh.ru is asked for others when it is sent
        return facts
    return replace(facts, choice=choice)


def _to_row(
    item: _Item, facts: Facts | None, kept: KeptVacancy | None, send_at: datetime | None
) -> CampaignRow:
    title = kept.vacancy.name if kept else None
    company = kept.vacancy.employer.name if kept else None
    if facts is None:
        return CampaignRow(
            job_id=item.vacancy_id,
            would="refuse",
            reason=item.reason,
            is_certain=True,
            title=title,
            company=company,
            gates=[],
            send_at=None,
        )
    judged = judge(facts)
    return CampaignRow(
        job_id=item.vacancy_id,
        would=judged.would,
        reason=judged.decisive.reason if judged.decisive else None,
        is_certain=_is_certain(judged.gates),
        title=title,
        company=company,
        gates=[gate for gate in judged.gates if gate.result != "pass"],
        send_at=send_at,
    )


def _is_certain(gates: Iterable[Gate]) -> bool:
    return all(gate.result != "unknown" for gate in gates)
