"""Search vacancies on hh.ru, and show one in full.

Both call hh.ru (within its rate), store the vacancies that it answers, and return jobs.

When more people search at once than hh.ru's rate allows, their searches are queued, first come
first served, for as long as leaves time for the call before the BFF's page gives up (30 s). A
search that would have to wait longer is refused at once with 429 and a Retry-After. Not with 503:
the BFF retries that by itself, and its page would no longer wait for the answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from ullgetthejob.hh import dictionaries, method_access
from ullgetthejob.hh.errors import HHBusy, HHVacancyNotFound
from ullgetthejob.platform.errors import TooManyRequests
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count
from ullgetthejob.vacancies import job, shared_answers, store

if TYPE_CHECKING:
    from datetime import datetime

    from ullgetthejob.hh.models import SearchPage
    from ullgetthejob.hh.pacer import Pacer
    from ullgetthejob.hh.search_parameters import SearchParameters
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

# The longest wait for a call, or for an equal search's answer. The call comes after: the function
# has 28 s, the BFF's page 30.
PATIENCE_S = 17.0


class SearchAnswer(Model):
    """One page of jobs. *found* counts all that match; *pages* ends at hh.ru's depth of 2,000."""

    jobs: list[job.Job]
    found: int = Field(ge=0)
    page: int = Field(ge=0)
    pages: int = Field(ge=0)
    per_page: int
    age_seconds: int = Field(
        default=0, ge=0, description="age of an answer shared with an earlier equal search"
    )


class JobAnswer(Model):
    """One job in full."""

    success: bool = True
    job: job.Job


def search(
    parameters: SearchParameters,
    queue: Pacer,
    context: Context,
    *,
    patience_s: float | None = None,
) -> SearchAnswer:
    """Return one page of a search; of equal searches at one moment, only one calls hh.ru. *queue*:
    the pacer in which searches wait. *patience_s*: how long it may wait, by default
    :data:`PATIENCE_S`.

    Raises :class:`Invalid` for codes that hh.ru does not know, :class:`TooManyRequests` when no
    slot comes in time, and the errors of :mod:`ullgetthejob.hh.errors`.
    """
    deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    connection = context.connection
    dictionaries.check(parameters, client=context.hh, connection=connection, now=context.now())
    count("Searches")
    with shared_answers.get_or_claim(parameters, context, deadline=deadline) as shared:
        if isinstance(shared, shared_answers.SharedAnswer):
            count("SearchesShared")
            age = max(0, int((context.now() - shared.answered_at).total_seconds()))
            return SearchAnswer.model_validate({**shared.content, "age_seconds": age})
        with shared.kept_alive():
            page = _call(parameters, queue, context, deadline=deadline)
        answer = _store(page, parameters, connection=connection, now=context.now())
        shared.store(answer.model_dump_json(), now=context.now())
    return answer


def _call(
    parameters: SearchParameters, queue: Pacer, context: Context, *, deadline: float
) -> SearchPage:
    """Call hh.ru when this search is first in the queue, and retry while the pacer has no slot.

    Raises :class:`TooManyRequests`; hh.ru's own refusal is raised as it is.
    """
    try:
        queue.wait(at_most_s=deadline - time.monotonic())
        while True:
            try:
                return method_access.call_as_service(
                    "search", lambda: context.hh.search(parameters), context
                )
            except HHBusy as busy:
                if not busy.is_pause or time.monotonic() + busy.retry_after_s > deadline:
                    raise
                time.sleep(busy.retry_after_s)
    except HHBusy as busy:
        if not busy.is_pause:
            raise
        count("SearchesTurnedAway")
        raise TooManyRequests(
            "there are more searches at the moment than hh.ru's rate limit allows",
            retry_after_s=busy.retry_after_s,
        ) from busy


def _store(
    page: SearchPage, parameters: SearchParameters, *, connection: Connection, now: datetime
) -> SearchAnswer:
    stored = store.store_vacancies(
        page.items, search_query=parameters.text, connection=connection, now=now
    )
    count("VacanciesSeen", len(page.items))
    count("VacanciesNew", len(stored.new))
    count("VacanciesChanged", len(stored.changed))
    return SearchAnswer(
        jobs=[
            job.from_vacancy(vacancy)
            for vacancy in page.items
            if not parameters.excludes(vacancy.employer.id)
        ],
        found=page.found,
        page=page.page,
        pages=page.pages,
        per_page=page.per_page,
    )


def read(job_id: str, context: Context) -> JobAnswer:
    """Return one job in full. *job_id*: hh.ru's vacancy id, or the uuid of a stored row.

    Raises :class:`HHVacancyNotFound` when neither Core nor hh.ru has it.
    """
    connection, now = context.connection, context.now()
    vacancy_id: str | None = job_id
    if store.UUID.fullmatch(job_id):
        vacancy_id = store.vacancy_id_of(job_id, connection=connection)
    if vacancy_id is None:
        raise HHVacancyNotFound("there is no such job")
    detail = method_access.call_as_service(
        "detail", lambda: context.hh.vacancy(vacancy_id), context
    )
    store.store_detail(detail, connection=connection, now=now)
    count("VacanciesRead")
    return JobAnswer(job=job.from_detail(detail))
