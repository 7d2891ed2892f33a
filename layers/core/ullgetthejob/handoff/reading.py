"""What the handoff page shows: the applications that wait for their person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import kept_resumes
from ullgetthejob.applications import application_states
from ullgetthejob.applications.application import vacancy_url

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

PER_PAGE = 10
STATES = list(application_states.NEEDS_PERSON)

# The newest first: a vacancy is answered sooner than it is forgotten.
SELECT_WAITING_FOR_PERSON = """
    SELECT l.id, l.vacancy_id, l.reason, l.letter, l.link, l.resume_id, j.title,
           j.company AS employer, j.area AS city, j.archived,
           coalesce(j.detail, j.vacancy) -> 'salary' AS salary
    FROM (
        SELECT * FROM application_ledger
        WHERE account_id = %(account_id)s AND state = ANY(%(states)s)
        ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
    ) AS l LEFT JOIN jobs j ON j.external_id = l.vacancy_id
    ORDER BY l.created_at DESC, l.id DESC
"""
COUNT_WAITING_FOR_PERSON = """
    SELECT count(*) FILTER (WHERE state = ANY(%(states)s)) AS left,
           count(*) FILTER (WHERE state = 'review') AS review
    FROM application_ledger
    WHERE account_id = %(account_id)s AND state = ANY(%(states)s || ARRAY['review'])
"""


@dataclass(frozen=True)
class Item:
    """An application that waits for its person. *salary*: as
    :class:`ullgetthejob.hh.models.Salary` has it, if it is known; *resume*: the title of the resume
    to send, if it is known."""

    id: UUID
    vacancy_id: str
    reason: str | None
    letter: str | None
    link: str
    title: str | None
    employer: str | None
    city: str | None
    salary: dict[str, Any] | None
    resume: str | None
    is_archived: bool

    @property
    def is_at_hh(self) -> bool:
        """Return whether the link leads to hh.ru itself."""
        host = self.link.partition("://")[2].partition("/")[0].lower()
        return host == "hh.ru" or host.endswith(".hh.ru")


@dataclass(frozen=True)
class Waiting:
    """A page of what waits for the person: *left* in all, and *review*: applications that wait for
    the person's yes."""

    items: list[Item]
    left: int
    review: int
    page: int

    @property
    def pages(self) -> int:
        """Return the number of pages, at least one."""
        return max(1, -(-self.left // PER_PAGE))


def read(account_id: UUID, page: int, *, connection: Connection, now: datetime) -> Waiting:
    """Return the page number *page* (from 1) of what waits, or the last one if there are fewer."""
    values: dict[str, Any] = {"account_id": account_id, "states": STATES}
    counted = connection.execute(COUNT_WAITING_FOR_PERSON, values).fetchone() or {}
    counts = Waiting([], counted.get("left", 0), counted.get("review", 0), 1)
    page = min(max(page, 1), counts.pages)
    values |= {"limit": PER_PAGE, "offset": (page - 1) * PER_PAGE}
    rows = connection.execute(SELECT_WAITING_FOR_PERSON, values).fetchall()
    kept = kept_resumes.read(account_id, connection=connection, now=now)
    titles = {resume["id"]: resume["title"] for resume in kept.resumes} if kept else {}
    items = [_item(row, titles) for row in rows]
    return Waiting(items, counts.left, counts.review, page)


def _item(row: dict[str, Any], titles: dict[str, str]) -> Item:
    return Item(
        id=row["id"],
        vacancy_id=row["vacancy_id"],
        reason=row["reason"],
        letter=row["letter"],
        link=_safe_link(row["link"]) or vacancy_url(row["vacancy_id"]),
        title=row["title"],
        employer=row["employer"],
        city=row["city"],
        salary=row["salary"],
        resume=titles.get(row["resume_id"] or ""),
        is_archived=bool(row["archived"]),
    )


def _safe_link(link: str | None) -> str | None:
    """Return the link if it is an address of the web: an employer may have written it."""
    return link if link and link.lower().startswith(("https://", "http://")) else None
