"""Matches: the vacancies of a saved search that were announced to its account, and those that a
rule of the account kept from being announced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from ullgetthejob.platform import paging

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

# Also those that another search of the account had found first, and of a search that was deleted
# and saved again: what is decided about a vacancy is decided for the account.
ANNOUNCED = "notified.seq IS NOT NULL"
FILTERED = "notified.filtered_by IS NOT NULL AND notified.seq IS NULL"
SELECT_MATCHES = """
    SELECT notified.vacancy_id AS id, notified.vacancy_id, job.title, job.company, job.salary,
           job.area, job.url, job.published_at, job.has_test, notified.at, notified.filtered_by
    FROM account_vacancies AS notified
    JOIN search_matches AS match
        ON match.query_id = %(query_id)s AND match.vacancy_id = notified.vacancy_id
    JOIN jobs AS job ON job.external_id = notified.vacancy_id
    WHERE notified.account_id = %(account_id)s AND {which}
        AND (%(after_vacancy_id)s::text IS NULL
            OR (notified.at, notified.vacancy_id) < (%(after_at)s, %(after_vacancy_id)s))
    ORDER BY notified.at DESC, notified.vacancy_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
SELECT_MATCHES_ANNOUNCED = SELECT_MATCHES.format(which=ANNOUNCED)
SELECT_MATCHES_FILTERED = SELECT_MATCHES.format(which=FILTERED)
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
    announced, in place of those that were announced."""

    filtered: bool = False


class Match(BaseModel):
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


class Matches(paging.Page):
    """A page of vacancies."""

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


def count_filtered(
    account_id: UUID | None, query_ids: list[UUID], *, connection: Connection
) -> dict[UUID, int]:
    """Return how many vacancies of each search the account's rules kept from being announced; no
    entry where none."""
    values = {"account_id": account_id, "query_ids": query_ids}
    rows = connection.execute(COUNT_MATCHES_FILTERED, values).fetchall()
    return {row["query_id"]: row["number"] for row in rows}
