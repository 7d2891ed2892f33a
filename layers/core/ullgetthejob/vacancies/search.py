"""Search vacancies on hh.ru, and show one in full.

Both ask hh.ru (within its pace), keep what they saw, and answer with jobs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from ullgetthejob.hh import dictionaries
from ullgetthejob.hh.errors import HHVacancyNotFound
from ullgetthejob.platform.telemetry import count
from ullgetthejob.vacancies import job, shared_answers, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.hh.search_parameters import SearchParameters

    Connection = psycopg.Connection[dict[str, Any]]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class SearchAnswer(BaseModel):
    """One page of jobs. *found* counts all that match; *pages* ends at hh.ru's depth of 2,000."""

    jobs: list[job.Job]
    found: int = Field(ge=0)
    page: int = Field(ge=0)
    pages: int = Field(ge=0)
    per_page: int
    age_seconds: int = Field(
        default=0, ge=0, description="how old the answer is, which an equal search got before"
    )


class JobAnswer(BaseModel):
    """One job in full."""

    success: bool = True
    job: job.Job


def search(
    parameters: SearchParameters,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
) -> SearchAnswer:
    """Return one page of a search; of equal searches at one moment, hh.ru is asked by one.

    Raises :class:`Invalid` for codes that hh.ru does not know, and the errors of
    :mod:`ullgetthejob.hh.errors`.
    """
    dictionaries.check(parameters, client=hh, connection=connection, now=clock())
    count("Searches")
    with shared_answers.shared(parameters, connection=connection, clock=clock) as shared:
        if isinstance(shared, shared_answers.KeptAnswer):
            count("SearchesShared")
            age = max(0, int((clock() - shared.answered_at).total_seconds()))
            return SearchAnswer.model_validate({**shared.content, "age_seconds": age})
        answer = _ask(parameters, hh=hh, connection=connection, now=clock())
        shared.store(answer.model_dump_json(), now=clock())
    return answer


def _ask(
    parameters: SearchParameters, *, hh: HHClient, connection: Connection, now: datetime
) -> SearchAnswer:
    page = hh.search(parameters)
    stored = store.store_seen(
        page.items, search_query=parameters.text, connection=connection, now=now
    )
    count("VacanciesSeen", len(page.items))
    count("VacanciesNew", len(stored.new))
    count("VacanciesChanged", len(stored.changed))
    return SearchAnswer(
        jobs=[job.from_vacancy(vacancy) for vacancy in page.items],
        found=page.found,
        page=page.page,
        pages=page.pages,
        per_page=page.per_page,
    )


def read(job_id: str, *, hh: HHClient, connection: Connection, now: datetime) -> JobAnswer:
    """One job in full. *job_id*: hh.ru's vacancy id, or the uuid of a row of ours.

    Raises :class:`HHVacancyNotFound` when neither we nor hh.ru know it.
    """
    vacancy_id: str | None = job_id
    if UUID.fullmatch(job_id):
        vacancy_id = store.vacancy_id_of(job_id, connection=connection)
    if vacancy_id is None:
        raise HHVacancyNotFound("there is no such job")
    detail = hh.vacancy(vacancy_id)
    store.store_detail(detail, connection=connection, now=now)
    count("VacanciesRead")
    return JobAnswer(job=job.from_detail(detail))
