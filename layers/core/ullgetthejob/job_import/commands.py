"""Import: read what links lead to, and make campaign items of it if that is wanted.

hh.ru is asked for what is not kept, one call after another within its pace, for as long as leaves
time for an answer. What could not be read by then is not lost: it is read in the background
(:mod:`.requested_details`), and an application reads its vacancy itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ullgetthejob.applications.application import vacancy_url
from ullgetthejob.applications.campaigns import commands
from ullgetthejob.applications.campaigns.models import AddBody, CampaignJob
from ullgetthejob.hh.errors import HHError, HHVacancyNotFound
from ullgetthejob.job_import import links
from ullgetthejob.job_import.links import InvalidLink, SearchLink, VacancyLink
from ullgetthejob.job_import.models import (
    MAX_SHOWN,
    MAX_VACANCIES,
    ImportAnswer,
    ImportApply,
    ImportBody,
    ImportedLink,
    ImportedVacancy,
)
from ullgetthejob.letters import store as letter_store
from ullgetthejob.platform.errors import AppError
from ullgetthejob.platform.telemetry import count
from ullgetthejob.vacancies import kept_vacancies, requested_details
from ullgetthejob.vacancies.search import read, search

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.applications.campaigns.answers import AddedToCampaign
    from ullgetthejob.hh.pacer import Pacer
    from ullgetthejob.platform.context import Context
    from ullgetthejob.vacancies.job import Job

BUDGET_S = 14.0  # within which a call may be begun; the function has 28 s
SEARCH_PATIENCE_S = 5.0
MAX_SEARCHES = 5
MAX_AGE = timedelta(days=1)  # of a kept vacancy that is not read again


@dataclass
class _Import:
    """An import under way. *seen*: what is known of each vacancy of a link, by its id."""

    body: ImportBody
    queue: Pacer
    context: Context
    ends: float
    seen: dict[str, ImportedVacancy] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    can_call: bool = True
    searches: int = 0

    def may_call(self) -> bool:
        return self.can_call and time.monotonic() < self.ends


def import_links(body: ImportBody, queue: Pacer, person: Person, context: Context) -> ImportAnswer:
    """Return what came of each link; with ``apply``, the vacancies are items of a campaign
    afterwards. *queue*: the pacer in which searches wait.

    A wrong link fails alone. Raises :class:`NotFound` (campaign or template),
    :class:`NeedsPerson` with ``apply`` for a user who never connected hh.ru.
    """
    if body.apply is not None and body.apply.letter_template_id is not None:
        template_id = body.apply.letter_template_id
        letter_store.find(person.account, template_id, connection=context.connection)
    work = _Import(body, queue, context, time.monotonic() + BUDGET_S)
    parsed = [_parse(link) for link in body.links]
    ids = [found.vacancy_id for found in parsed if isinstance(found, VacancyLink)]
    _read_vacancies(work, dict.fromkeys(ids))
    answers: list[ImportedLink] = []
    taken: set[str] = set()
    for text, found in zip(body.links, parsed, strict=True):
        answer = _answer(work, text, found)
        more = {vacancy.job_id for vacancy in answer.vacancies}
        if len(taken | more) > MAX_VACANCIES:
            answer = _failed(
                text,
                answer.kind,
                "too_many_vacancies",
                f"an import has at most {MAX_VACANCIES} vacancies: send this link again by itself",
            )
            more = set()
        taken |= more
        answers.append(answer)
    later = [
        vacancy_id
        for vacancy_id, vacancy in work.seen.items()
        if vacancy_id in taken and vacancy.status == "later"
    ]
    requested_details.request(later)
    stored = sum(work.seen[vacancy_id].status == "stored" for vacancy_id in taken)
    count("VacanciesImported", stored)
    return ImportAnswer(
        links=answers,
        stored=stored,
        later=len(later),
        failed=sum(answer.error is not None for answer in answers),
        campaign=_add_to_campaign(work, answers, person) if body.apply else None,
    )


def _parse(link: str) -> VacancyLink | SearchLink | InvalidLink:
    try:
        return links.parse(link)
    except InvalidLink as error:
        return error


def _read_vacancies(work: _Import, vacancy_ids: Iterable[str]) -> None:
    """Learn what is kept of the vacancies, else what hh.ru says of them while there is time."""
    connection, now = work.context.connection, work.context.now()
    kept = kept_vacancies.read(vacancy_ids, connection=connection)
    for vacancy_id in vacancy_ids:
        own = kept.get(vacancy_id)
        if own is not None and own.is_read_since(now - MAX_AGE):
            work.seen[vacancy_id] = _to_vacancy(own.job, is_closed=own.is_closed)
            continue
        shown = _read_vacancy(work, vacancy_id) if work.may_call() else None
        if vacancy_id in work.missing:
            continue
        if shown is None and own is not None:
            shown = _to_vacancy(own.job, is_closed=own.is_closed)
        work.seen[vacancy_id] = shown or ImportedVacancy(
            status="later", job_id=vacancy_id, url=vacancy_url(vacancy_id)
        )


def _read_vacancy(work: _Import, vacancy_id: str) -> ImportedVacancy | None:
    """Return the vacancy as hh.ru has it now; ``None`` if hh.ru does not answer, after which it is
    not asked again for this import."""
    try:
        found = read(vacancy_id, work.context).job
    except HHVacancyNotFound:
        work.missing.add(vacancy_id)
        return None
    except (HHError, AppError):
        work.can_call = False
        return None
    return _to_vacancy(found, is_closed=found.archived)


def _to_vacancy(found: Job, *, is_closed: bool) -> ImportedVacancy:
    return ImportedVacancy(
        status="closed" if is_closed else "stored",
        job_id=found.id,
        title=found.title,
        company=found.company,
        salary=found.salary,
        area=found.area,
        url=found.url or vacancy_url(found.id),
        has_test=found.has_test,
        response_letter_required=found.response_letter_required,
    )


def _answer(
    work: _Import, text: str, found: VacancyLink | SearchLink | InvalidLink
) -> ImportedLink:
    if isinstance(found, InvalidLink):
        return _failed(text, None, found.reason, str(found))
    if isinstance(found, SearchLink):
        return _search(work, text, found)
    vacancy_id = found.vacancy_id
    if vacancy_id in work.missing:
        return _failed(text, "vacancy", "job_not_found", "hh.ru has no such vacancy")
    vacancy = work.seen[vacancy_id]
    answer = ImportedLink(link=_shorten(text), kind="vacancy", vacancies=[vacancy])
    if vacancy.status != "closed":
        return answer
    closed = {"error": "vacancy_archived", "message": "the vacancy takes no applications any more"}
    return answer.model_copy(update=closed)


def _search(work: _Import, text: str, found: SearchLink) -> ImportedLink:
    """Return the first vacancies of a search; they are stored as those of any search."""
    if work.searches >= MAX_SEARCHES or not work.may_call():
        return _failed(
            text, "search", "hh_busy", "hh.ru was not asked for this search now: send it again"
        )
    work.searches += 1
    changes = {"page": 0, "per_page": work.body.max_per_search}
    parameters = found.parameters.model_copy(update=changes)
    try:
        answered = search(parameters, work.queue, work.context, patience_s=SEARCH_PATIENCE_S)
    except AppError as error:
        return _failed(text, "search", error.code, error.message)
    vacancies = [_to_vacancy(own, is_closed=False) for own in answered.jobs if not own.archived]
    for vacancy in vacancies:
        known = work.seen.get(vacancy.job_id)
        if known is None or known.status == "later":
            work.seen[vacancy.job_id] = vacancy
    return ImportedLink(
        link=_shorten(text), kind="search", found=answered.found, vacancies=vacancies
    )


def _failed(text: str, kind: Any, error: str, message: str) -> ImportedLink:
    return ImportedLink(link=_shorten(text), kind=kind, error=error, message=message)


def _shorten(text: str) -> str:
    tidy = " ".join(text.split())
    return tidy if len(tidy) <= MAX_SHOWN else f"{tidy[: MAX_SHOWN - 1]}…"


def _add_to_campaign(
    work: _Import, answers: Iterable[ImportedLink], person: Person
) -> AddedToCampaign | None:
    """Make items of a campaign of the vacancies that take applications, each once."""
    wanted_apply, key = work.body.apply, work.context.caller.idempotency_key
    assert wanted_apply is not None  # noqa: S101 - the caller's condition
    ids = dict.fromkeys(
        vacancy.job_id for answer in answers if answer.error is None for vacancy in answer.vacancies
    )
    if not ids:
        return None
    workflow_id = wanted_apply.workflow_id
    if workflow_id is None and key is None:
        workflow_id = _campaign_id(work.body, wanted_apply, person)
    own = wanted_apply.model_dump(exclude={"workflow_id"}, exclude_none=True, mode="json")
    body = AddBody(
        workflow_id=workflow_id,
        jobs=[
            CampaignJob.model_validate({"job_external_id": vacancy_id, **own}) for vacancy_id in ids
        ],
    )
    return commands.add_jobs(body, person, work.context)


def _campaign_id(body: ImportBody, wanted_apply: ImportApply, person: Person) -> UUID:
    """Return the id of a new campaign: the same request again is for the same one."""
    content = "\n".join([*sorted(set(body.links)), wanted_apply.model_dump_json()])
    return uuid5(person.owner_id, f"import\n{content}")
