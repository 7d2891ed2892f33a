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

# One statement: what changed is updated, what is new inserted. jobs has two unique keys that hold
# the same id (the original's), so ON CONFLICT must watch both: only DO NOTHING does. Rows are
# locked and inserted in the order of ids, updates before inserts: overlapping searches cannot
# deadlock.
STORE_SEEN = """
WITH seen AS MATERIALIZED (
    SELECT *, decode(hex, 'hex') AS hash
    FROM jsonb_to_recordset(%(seen)s::jsonb) AS seen (
        id text, title text, company text, salary text, area text, url text, description text,
        has_test boolean, employer_id text, published_at timestamptz, archived boolean,
        vacancy jsonb, hex text
    )
), changed AS (
    SELECT kept.external_id
    FROM jobs AS kept JOIN seen ON kept.external_id = seen.id
    WHERE kept.vacancy_hash IS DISTINCT FROM seen.hash
    ORDER BY kept.external_id
    FOR UPDATE OF kept
), updated AS (
    UPDATE jobs AS kept SET
        title = seen.title,
        company = seen.company,
        salary = seen.salary,
        area = seen.area,
        url = seen.url,
        description = CASE WHEN kept.detail IS NULL THEN seen.description ELSE kept.description END,
        search_query = %(search_query)s,
        fetched_at = %(now)s,
        has_test = seen.has_test,
        employer_id = seen.employer_id,
        published_at = seen.published_at,
        archived = seen.archived,
        vacancy = seen.vacancy,
        vacancy_hash = seen.hash,
        updated_at = %(now)s
    FROM seen JOIN changed ON changed.external_id = seen.id
    WHERE kept.external_id = seen.id
    RETURNING kept.external_id
), inserted AS (
    INSERT INTO jobs (
        external_id, hh_vacancy_id, title, company, salary, area, url, description, source,
        search_query, fetched_at, has_test, employer_id, published_at, archived,
        vacancy, vacancy_hash, inserted_at, updated_at
    )
    SELECT
        id, id, title, company, salary, area, url, description, 'hh.ru',
        %(search_query)s, %(now)s, has_test, employer_id, published_at, archived,
        vacancy, hash, %(now)s, %(now)s
    FROM seen
    ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING external_id
)
SELECT (SELECT count(*) FROM updated) AS changed, (SELECT count(*) FROM inserted) AS new
"""

UPDATE_DETAIL = """
UPDATE jobs SET
    title = %(title)s,
    company = %(company)s,
    salary = %(salary)s,
    area = %(area)s,
    url = %(url)s,
    description = %(description)s,
    has_test = %(has_test)s,
    test_required = %(test_required)s,
    employer_id = %(employer_id)s,
    skills = %(skills)s,
    published_at = %(published_at)s,
    archived = %(archived)s,
    detail = %(detail)s::jsonb,
    detail_hash = decode(%(hash)s, 'hex'),
    detail_fetched_at = %(moment)s,
    updated_at = CASE
        WHEN detail_hash IS DISTINCT FROM decode(%(hash)s, 'hex') THEN %(now)s ELSE updated_at
    END
WHERE external_id = %(id)s
"""

INSERT_DETAIL = """
INSERT INTO jobs (
    external_id, hh_vacancy_id, title, company, salary, area, url, description, source, fetched_at,
    has_test, test_required, employer_id, skills, published_at, archived,
    detail, detail_hash, detail_fetched_at, inserted_at, updated_at
) VALUES (
    %(id)s, %(id)s, %(title)s, %(company)s, %(salary)s, %(area)s, %(url)s, %(description)s, 'hh.ru',
    %(now)s, %(has_test)s, %(test_required)s, %(employer_id)s, %(skills)s, %(published_at)s,
    %(archived)s, %(detail)s::jsonb, decode(%(hash)s, 'hex'), %(moment)s, %(now)s, %(now)s
)
ON CONFLICT DO NOTHING
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
    written = connection.execute(STORE_SEEN, values).fetchone()
    return (written["new"], written["changed"]) if written else (0, 0)


def store_detail(detail: VacancyDetail, *, connection: Connection, now: datetime) -> None:
    """Store a vacancy in full."""
    shown = job.from_detail(detail)
    text, digest = _hashed(detail)
    values = {
        **_columns(shown),
        "test_required": shown.test_required,
        "skills": [skill[:WIDTH] for skill in shown.skills],
        "detail": text,
        "hash": digest,
        "now": _utc(now),
        "moment": now,
    }
    # The last one is for a row that somebody else inserted between the first two.
    for statement in (UPDATE_DETAIL, INSERT_DETAIL, UPDATE_DETAIL):
        if connection.execute(statement, values).rowcount:
            return


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
    return {**_columns(job.from_vacancy(vacancy)), "vacancy": json.loads(text), "hex": digest}


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
