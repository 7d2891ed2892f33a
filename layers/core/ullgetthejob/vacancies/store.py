"""The table ``jobs``: what hh.ru showed us, kept for everybody.

The columns of the original hold what the BFF reads; ``vacancy`` and ``detail`` hold the models
whole. A hash of each tells whether anything changed, so that an unchanged vacancy is not written. A
search never overwrites what a detail brought (description, skills).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh.models import Vacancy, VacancyDetail
from ullgetthejob.vacancies import job

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

WIDTH = 255  # the original's varchar(255)

# In the order of ids, so that two searches that store the same vacancies cannot deadlock.
STORE_SEEN = """
INSERT INTO jobs AS kept (
    external_id, hh_vacancy_id, title, company, salary, area, url, description, source,
    search_query, fetched_at, has_test, employer_id, published_at, archived,
    vacancy, vacancy_hash, inserted_at, updated_at
)
SELECT
    seen.id, seen.id, seen.title, seen.company, seen.salary, seen.area, seen.url, seen.description,
    'hh.ru', %(search_query)s, %(now)s, seen.has_test, seen.employer_id, seen.published_at,
    seen.archived, seen.vacancy, decode(seen.hash, 'hex'), %(now)s, %(now)s
FROM jsonb_to_recordset(%(seen)s::jsonb) AS seen (
    id text, title text, company text, salary text, area text, url text, description text,
    has_test boolean, employer_id text, published_at timestamptz, archived boolean,
    vacancy jsonb, hash text
)
ORDER BY seen.id
ON CONFLICT (external_id) DO UPDATE SET
    title = excluded.title,
    company = excluded.company,
    salary = excluded.salary,
    area = excluded.area,
    url = excluded.url,
    description = CASE WHEN kept.detail IS NULL THEN excluded.description ELSE kept.description END,
    search_query = excluded.search_query,
    fetched_at = excluded.fetched_at,
    has_test = excluded.has_test,
    employer_id = excluded.employer_id,
    published_at = excluded.published_at,
    archived = excluded.archived,
    vacancy = excluded.vacancy,
    vacancy_hash = excluded.vacancy_hash,
    updated_at = excluded.updated_at
WHERE kept.vacancy_hash IS DISTINCT FROM excluded.vacancy_hash
RETURNING external_id, xmax = 0 AS is_new
"""

STORE_DETAIL = """
INSERT INTO jobs AS kept (
    external_id, hh_vacancy_id, title, company, salary, area, url, description, source, fetched_at,
    has_test, test_required, employer_id, skills, published_at, archived,
    detail, detail_hash, detail_fetched_at, inserted_at, updated_at
) VALUES (
    %(id)s, %(id)s, %(title)s, %(company)s, %(salary)s, %(area)s, %(url)s, %(description)s, 'hh.ru',
    %(now)s, %(has_test)s, %(test_required)s, %(employer_id)s, %(skills)s, %(published_at)s,
    %(archived)s, %(detail)s::jsonb, decode(%(hash)s, 'hex'), %(moment)s, %(now)s, %(now)s
)
ON CONFLICT (external_id) DO UPDATE SET
    title = excluded.title,
    company = excluded.company,
    salary = excluded.salary,
    area = excluded.area,
    url = excluded.url,
    description = excluded.description,
    has_test = excluded.has_test,
    test_required = excluded.test_required,
    employer_id = excluded.employer_id,
    skills = excluded.skills,
    published_at = excluded.published_at,
    archived = excluded.archived,
    detail = excluded.detail,
    detail_hash = excluded.detail_hash,
    detail_fetched_at = excluded.detail_fetched_at,
    updated_at = CASE
        WHEN kept.detail_hash IS DISTINCT FROM excluded.detail_hash THEN excluded.updated_at
        ELSE kept.updated_at
    END
"""

VACANCY_ID = "SELECT external_id FROM jobs WHERE id = %s"
VACANCIES = "SELECT vacancy FROM jobs WHERE external_id = ANY(%s) AND vacancy IS NOT NULL"
DETAIL = "SELECT detail FROM jobs WHERE external_id = %s AND detail IS NOT NULL"


def store_seen(
    vacancies: Iterable[Vacancy], *, search_query: str, connection: Connection, now: datetime
) -> tuple[int, int]:
    """Store what a search showed, in one statement: how many were new, how many had changed."""
    distinct = {vacancy.id: vacancy for vacancy in vacancies}
    if not distinct:
        return 0, 0
    seen = json.dumps([_seen(vacancy) for vacancy in distinct.values()], ensure_ascii=False)
    values = {"seen": seen, "search_query": search_query[:WIDTH], "now": _utc(now)}
    written = connection.execute(STORE_SEEN, values).fetchall()
    new = sum(row["is_new"] for row in written)
    return new, len(written) - new


def store_detail(detail: VacancyDetail, *, connection: Connection, now: datetime) -> None:
    """Store a vacancy in full."""
    shown = job.from_detail(detail)
    text, digest = _hashed(detail)
    connection.execute(
        STORE_DETAIL,
        {
            **_columns(shown),
            "test_required": shown.test_required,
            "skills": [skill[:WIDTH] for skill in shown.skills],
            "detail": text,
            "hash": digest,
            "now": _utc(now),
            "moment": now,
        },
    )


def vacancy_id_of(row_id: str, *, connection: Connection) -> str | None:
    """hh.ru's id of the row whose uuid is *row_id*."""
    row = connection.execute(VACANCY_ID, (row_id,)).fetchone()
    return row["external_id"] if row else None


def read_seen(ids: Sequence[str], *, connection: Connection) -> list[Vacancy]:
    """The vacancies of these ids as searches showed them last; unknown ids are left out."""
    rows = connection.execute(VACANCIES, (list(ids),)).fetchall()
    return [Vacancy.model_validate(row["vacancy"]) for row in rows]


def read_detail(vacancy_id: str, *, connection: Connection) -> VacancyDetail | None:
    """The vacancy in full as it was read last; ``None`` before that."""
    row = connection.execute(DETAIL, (vacancy_id,)).fetchone()
    return VacancyDetail.model_validate(row["detail"]) if row else None


def _seen(vacancy: Vacancy) -> dict[str, Any]:
    text, digest = _hashed(vacancy)
    return {**_columns(job.from_vacancy(vacancy)), "vacancy": json.loads(text), "hash": digest}


def _columns(shown: job.Job) -> dict[str, Any]:
    return {
        "id": shown.id,
        "title": shown.title[:WIDTH],
        "company": shown.company and shown.company[:WIDTH],
        "salary": shown.salary,
        "area": shown.area and shown.area[:WIDTH],
        "url": shown.url,
        "description": shown.description,
        "has_test": shown.has_test,
        "employer_id": shown.employer_id,
        "published_at": shown.published_at.isoformat(),
        "archived": shown.archived,
    }


def _utc(now: datetime) -> datetime:
    """For the original's columns, which are ``timestamp`` without a zone, in UTC by convention."""
    return now.astimezone(UTC).replace(tzinfo=None)


def _hashed(vacancy: Vacancy) -> tuple[str, str]:
    text = vacancy.model_dump_json(exclude_defaults=True)
    return text, hashlib.sha256(text.encode()).hexdigest()
