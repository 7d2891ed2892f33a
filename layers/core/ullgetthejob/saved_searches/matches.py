"""Matches: the vacancies of a saved search that were announced to its account, and those that a
rule of the account kept from being announced.

They are listed by time, or by fit (:mod:`ullgetthejob.fit`). A fit is computed when it is asked
for, of the latest :data:`MAX_SCORED` matches: it depends on the resume and the weights of that
moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from ullgetthejob.filters.store import parse_vacancies
from ullgetthejob.fit.scoring import score_best
from ullgetthejob.platform import paging
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Self
    from uuid import UUID

    from ullgetthejob.fit.models import Weights
    from ullgetthejob.fit.profile import Profile
    from ullgetthejob.platform.postgres import Connection

MAX_SCORED = 500  # about a second of a function's processor, with five resumes

# Also those that another search of the account had found first, and of a search that was deleted
# and saved again: what is decided about a vacancy is decided for the account.
ANNOUNCED = "notified.seq IS NOT NULL"
FILTERED = "notified.filtered_by IS NOT NULL AND notified.seq IS NULL"
SELECT_MATCHES = """
    SELECT notified.vacancy_id AS id, notified.vacancy_id, job.title, job.company, job.salary,
           job.area, job.url, job.published_at, job.has_test, notified.at,
           notified.filtered_by{more}
    FROM account_vacancies AS notified
    JOIN search_matches AS match
        ON match.query_id = %(query_id)s AND match.vacancy_id = notified.vacancy_id
    JOIN jobs AS job ON job.external_id = notified.vacancy_id
    WHERE notified.account_id = %(account_id)s AND {which}
        AND (%(after_vacancy_id)s::text IS NULL
            OR (notified.at, notified.vacancy_id) < (%(after_at)s, %(after_vacancy_id)s))
    ORDER BY notified.at DESC, notified.vacancy_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
TO_SCORE = ", coalesce(job.detail, job.vacancy) AS vacancy, job.detail IS NOT NULL AS in_full"
SELECT_MATCHES_ANNOUNCED = SELECT_MATCHES.format(which=ANNOUNCED, more="")
SELECT_MATCHES_FILTERED = SELECT_MATCHES.format(which=FILTERED, more="")
SELECT_MATCHES_TO_SCORE = SELECT_MATCHES.format(which=ANNOUNCED, more=TO_SCORE)
SELECT_FILTERED_TO_SCORE = SELECT_MATCHES.format(which=FILTERED, more=TO_SCORE)
COUNT_MATCHES = """
    SELECT match.query_id, count(*) AS number
    FROM account_vacancies AS notified
    JOIN search_matches AS match
        ON match.query_id = ANY(%(query_ids)s) AND match.vacancy_id = notified.vacancy_id
    WHERE notified.account_id = %(account_id)s AND {which}
    GROUP BY match.query_id
"""
KEYSET = paging.Keyset(tuple[AwareDatetime, str], "at", "vacancy_id")
COUNT_MATCHES_ANNOUNCED = COUNT_MATCHES.format(which=ANNOUNCED)
COUNT_MATCHES_FILTERED = COUNT_MATCHES.format(which=FILTERED)


class MatchQuery(paging.PageQuery):
    """A page of vacancies, the latest found first. *filtered*: those that a rule kept from being
    announced, in place of those that were announced. *sort* ``fit``: those that fit the person's
    resume best first; *min_fit*: only those that fit as well; *resume_id*: by default the published
    resume that fits each best."""

    filtered: bool = False
    sort: Literal["time", "fit"] = "time"
    min_fit: Annotated[int | None, Field(ge=0, le=100)] = None
    resume_id: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F]{1,64}$")] = None

    @model_validator(mode="after")
    def _check_cursor(self) -> Self:
        if self.cursor is not None and self.asks_for_fit:
            raise ValueError("cursor: not together with a fit; its pages have numbers")
        return self

    @property
    def asks_for_fit(self) -> bool:
        """Return whether the answer needs the fit of each vacancy."""
        return self.sort == "fit" or self.min_fit is not None or self.resume_id is not None


class Match(Model):
    """A vacancy that a search found. *at*: when that was decided for the account."""

    id: str
    title: str
    company: str | None
    salary: str | None
    area: str | None
    url: str | None
    published_at: AwareDatetime | None
    has_test: bool
    at: AwareDatetime
    filtered_by: str | None = Field(
        description="the rule of /api/filters that dropped it, as it was then"
    )
    fit: int | None = Field(
        default=None, description="0 to 100, if it was asked for and the vacancy can be read"
    )
    resume_id: str | None = Field(default=None, description="the resume that fits best")


class Matches(paging.Page):
    """A page of vacancies. With a fit, *found* is the number of those that were scored (the latest
    500 at most) and fit as well as *min_fit*."""

    success: Literal[True] = True
    items: list[Match]
    found: int | None = Field(description=paging.FOUND)


def list_matches(search: dict[str, Any], query: MatchQuery, *, connection: Connection) -> Matches:
    """Return a page of the vacancies of *search*, a row of ``saved_searches``."""
    own = {"account_id": search["account_id"], "query_id": search["query_id"]}
    select = SELECT_MATCHES_FILTERED if query.filtered else SELECT_MATCHES_ANNOUNCED
    counting = COUNT_MATCHES_FILTERED if query.filtered else COUNT_MATCHES_ANNOUNCED
    found = connection.execute(select, {**own, **KEYSET.values(query)}).fetchall()
    rows, next_cursor = KEYSET.split(found, query)
    number = None
    if query.cursor is None:
        counted = connection.execute(
            counting, {**own, "query_ids": [search["query_id"]]}
        ).fetchone()
        number = counted["number"] if counted else 0
    return Matches(
        items=[Match(**row) for row in rows],
        found=number,
        page=query.page,
        per_page=query.per_page,
        next_cursor=next_cursor,
    )


def list_matches_by_fit(
    search: dict[str, Any],
    query: MatchQuery,
    profiles: Mapping[str, Profile],
    weights: Weights,
    *,
    connection: Connection,
    now: datetime,
) -> Matches:
    """Return a page of the vacancies of *search* with their fits; of the latest :data:`MAX_SCORED`.
    *profiles*: the person's resumes, by id. A vacancy that cannot be read has no fit: it is last,
    and no *min_fit* finds it."""
    values = {
        "account_id": search["account_id"],
        "query_id": search["query_id"],
        **KEYSET.values(MatchQuery()),
        "limit": MAX_SCORED,
    }
    select = SELECT_FILTERED_TO_SCORE if query.filtered else SELECT_MATCHES_TO_SCORE
    found: list[Match] = []
    for row in connection.execute(select, values).fetchall():
        stored = {"vacancy": row.pop("vacancy"), "in_full": row.pop("in_full")}
        match = Match(**row)
        for vacancy in parse_vacancies([stored] if stored["vacancy"] else []):
            match.resume_id, fit = score_best(profiles, vacancy, weights, now=now)
            match.fit = fit.score
        if query.min_fit is None or (match.fit is not None and match.fit >= query.min_fit):
            found.append(match)
    if query.sort == "fit":
        found.sort(key=lambda match: -1 if match.fit is None else match.fit, reverse=True)
    first = query.page * query.per_page
    return Matches(
        items=found[first : first + query.per_page],
        found=len(found),
        page=query.page,
        per_page=query.per_page,
        next_cursor=None,
    )


def count_filtered(
    account_id: UUID | None, query_ids: list[UUID], *, connection: Connection
) -> dict[UUID, int]:
    """Return how many vacancies of each search the account's rules kept from being announced; no
    entry where none."""
    values = {"account_id": account_id, "query_ids": query_ids}
    rows = connection.execute(COUNT_MATCHES_FILTERED, values).fetchall()
    return {row["query_id"]: row["number"] for row in rows}
