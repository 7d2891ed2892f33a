"""The table ``jobs``: the vacancies that hh.ru answered, stored for all users.

The columns of the original backend hold what the BFF reads; ``vacancy`` and ``detail`` hold the
whole models. A hash of each shows whether anything changed: the hashes are compared first, so that
an unchanged vacancy costs its hash in one small query. A search never overwrites what a detail
brought (description, skills).

A vacancy is closed (``closed_at``, ``archived``) when hh.ru no longer has it, or calls it archived;
a later answer that has it opens it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ullgetthejob.hh.models import Vacancy, VacancyDetail
from ullgetthejob.platform import postgres
from ullgetthejob.platform.telemetry import logger
from ullgetthejob.vacancies import job, reposts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ullgetthejob.platform.postgres import Connection

# What a vacancy may have otherwise without having changed.
PASSING: dict[str, Any] = {"snippet": True, "employer": {"rating"}}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
WIDTH = 255  # of the original backend's varchar columns
JSON: dict[type[Vacancy], TypeAdapter[Any]] = {
    model: TypeAdapter(model) for model in (Vacancy, VacancyDetail)
}

# The ids of vacancies that are unknown or have changed. A subquery that returns one value is looked
# up by its key; a join may read all jobs.
SELECT_JOBS_TO_STORE = """
SELECT ARRAY(
    SELECT id
    FROM unnest(%(ids)s::text[], %(hashes)s::text[], %(archived)s::boolean[])
        AS seen (id, hex, archived)
    WHERE (
        SELECT kept.vacancy_hash = decode(seen.hex, 'hex') AND kept.archived = seen.archived
        FROM jobs AS kept WHERE kept.external_id = seen.id
    ) IS NOT TRUE
) AS ids
"""

# One statement updates changed vacancies and inserts new ones. jobs has two unique keys that hold
# the same id (the original backend's), so ON CONFLICT must watch both: only DO NOTHING does. Rows
# are locked and inserted in the order of ids, updates before inserts: overlapping searches cannot
# deadlock. The hash of a row that an earlier release stored includes the snippet: the row is
# written again, but counts as changed (is_other) only if more than the snippet differs.
UPSERT_JOBS = """
WITH seen AS MATERIALIZED (
    SELECT *, decode(hex, 'hex') AS hash
    FROM jsonb_to_recordset(%(seen)s::jsonb) AS seen (
        id text, title text, company text, salary text, area text, url text, description text,
        has_test boolean, employer_id text, published_at timestamptz, archived boolean,
        vacancy text, hex text, repost_key text
    )
), changed AS (
    SELECT kept.external_id,
        kept.archived <> seen.archived
        OR kept.vacancy - 'snippet' IS DISTINCT FROM seen.vacancy::jsonb - 'snippet' AS is_other
    FROM jobs AS kept JOIN seen ON kept.external_id = seen.id
    WHERE kept.vacancy_hash IS DISTINCT FROM seen.hash OR kept.archived <> seen.archived
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
        closed_at = CASE WHEN seen.archived THEN coalesce(kept.closed_at, %(moment)s) END,
        vacancy = seen.vacancy::jsonb,
        vacancy_hash = seen.hash,
        repost_key = decode(seen.repost_key, 'hex'),
        updated_at = %(now)s
    FROM seen JOIN changed ON changed.external_id = seen.id
    WHERE kept.external_id = seen.id
    RETURNING kept.external_id, changed.is_other
), inserted AS (
    INSERT INTO jobs (
        external_id, hh_vacancy_id, title, company, salary, area, url, description, source,
        search_query, fetched_at, has_test, employer_id, published_at, archived, closed_at,
        vacancy, vacancy_hash, repost_key, inserted_at, updated_at
    )
    SELECT
        id, id, title, company, salary, area, url, description, 'hh.ru',
        %(search_query)s, %(now)s, has_test, employer_id, published_at, archived,
        CASE WHEN archived THEN %(moment)s::timestamptz END,
        vacancy::jsonb, hash, decode(repost_key, 'hex'), %(now)s, %(now)s
    FROM seen
    ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING external_id
)
SELECT ARRAY(SELECT external_id::text FROM updated WHERE is_other) AS changed,
       ARRAY(SELECT external_id::text FROM inserted) AS new,
       ARRAY(
           SELECT decode(repost_key, 'hex') FROM seen JOIN inserted ON external_id = id
           WHERE EXISTS (
               SELECT FROM jobs AS kept WHERE kept.repost_key = decode(seen.repost_key, 'hex')
           )
       ) AS known_keys
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
    closed_at = CASE WHEN %(archived)s THEN coalesce(closed_at, %(moment)s) END,
    detail = %(detail)s::jsonb,
    detail_hash = decode(%(hash)s, 'hex'),
    detail_fetched_at = %(moment)s,
    looked_at = CASE WHEN NOT %(releases_claim)s THEN looked_at END,
    updated_at = CASE
        WHEN detail_hash IS DISTINCT FROM decode(%(hash)s, 'hex') THEN %(now)s ELSE updated_at
    END
WHERE external_id = %(id)s
"""

INSERT_DETAIL = """
INSERT INTO jobs (
    external_id, hh_vacancy_id, title, company, salary, area, url, description, source, fetched_at,
    has_test, test_required, employer_id, skills, published_at, archived, closed_at,
    detail, detail_hash, detail_fetched_at, repost_key, inserted_at, updated_at
) VALUES (
    %(id)s, %(id)s, %(title)s, %(company)s, %(salary)s, %(area)s, %(url)s, %(description)s, 'hh.ru',
    %(now)s, %(has_test)s, %(test_required)s, %(employer_id)s, %(skills)s, %(published_at)s,
    %(archived)s, CASE WHEN %(archived)s THEN %(moment)s::timestamptz END,
    %(detail)s::jsonb, decode(%(hash)s, 'hex'), %(moment)s, %(repost_key)s, %(now)s, %(now)s
)
ON CONFLICT DO NOTHING
"""

SELECT_DETAIL_IS_OTHER = """
SELECT detail_hash IS DISTINCT FROM decode(%(hash)s, 'hex') AS is_other FROM jobs
WHERE external_id = %(id)s
"""

SELECT_RECENT_DETAIL = """
SELECT detail FROM jobs
WHERE external_id = %(id)s AND closed_at IS NULL AND detail IS NOT NULL
    AND detail_fetched_at > %(since)s AND detail_fetched_at <= %(now)s
"""

UPDATE_JOB_CLOSED = """
UPDATE jobs SET
    archived = true, closed_at = coalesce(closed_at, %(moment)s), updated_at = %(now)s
WHERE external_id = %(id)s
"""

SELECT_VACANCY_ID = "SELECT external_id FROM jobs WHERE id = %s"


@dataclass(frozen=True)
class Stored:
    """Ids, in the order in which they were seen, of vacancies that are *new* to the table, and of
    *changed* ones. *reposts*: by the ids of *new* that were linked, the ids of their originals."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    reposts: Mapping[str, str] = field(default_factory=dict)

    @property
    def originals(self) -> tuple[str, ...]:
        """Return the ids of *new* that are not reposts."""
        return tuple(vacancy_id for vacancy_id in self.new if vacancy_id not in self.reposts)


def store_vacancies(
    vacancies: Iterable[Vacancy], *, search_query: str, connection: Connection, now: datetime
) -> Stored:
    """Store what a search showed; return what was new or had changed.

    A small query that compares hashes, then, in one transaction, one statement for new and changed
    vacancies, and the links of new reposts.
    """
    distinct = {vacancy.id: vacancy for vacancy in vacancies}
    if not distinct:
        return Stored()
    digests = {vacancy_id: _hash(vacancy) for vacancy_id, vacancy in distinct.items()}
    shown = {
        "ids": _array(distinct),
        "hashes": _array(digests.values()),
        "archived": _array("ft"[vacancy.archived] for vacancy in distinct.values()),
    }
    row = connection.execute(SELECT_JOBS_TO_STORE, shown).fetchone()
    assert row is not None  # noqa: S101 - a SELECT of a value
    if not row["ids"]:
        return Stored()
    seen = [_vacancy_values(distinct[vacancy_id], digests[vacancy_id]) for vacancy_id in row["ids"]]
    values = {
        "seen": json.dumps(seen, ensure_ascii=False),
        "search_query": search_query[:WIDTH],
        "now": _utc(now),
        "moment": now,
    }
    with postgres.atomic(connection):  # a page of a run has a transaction already
        written = connection.execute(UPSERT_JOBS, values).fetchone()
        assert written is not None  # noqa: S101 - a SELECT of values
        new = [distinct[vacancy_id] for vacancy_id in _in_order(distinct, written["new"])]
        known_keys = {bytes(key) for key in written["known_keys"]}
        linked = reposts.link(new, known_keys=known_keys, connection=connection)
    return Stored(
        tuple(vacancy.id for vacancy in new),
        _in_order(distinct, written["changed"]),
        linked,
    )


def store_detail(
    detail: VacancyDetail,
    *,
    connection: Connection,
    now: datetime,
    releases_claim: bool = False,
) -> None:
    """Store a vacancy in full, and the repost links that change by its text. *releases_claim*:
    whether the row is no longer claimed by the backfill (:mod:`.detail_backfill`)."""
    values = {
        **_detail_values(detail),
        "detail": _dump(detail),
        "hash": _hash(detail),
        "now": _utc(now),
        "moment": now,
        "releases_claim": releases_claim,
    }
    changes = reposts.NO_CHANGES
    stored = connection.execute(SELECT_DETAIL_IS_OTHER, values).fetchone()
    if stored is not None and stored["is_other"]:
        changes = reposts.reevaluate_links(detail, connection=connection)
    if changes.originals:
        from ullgetthejob.vacancies import regrouping  # rare, and costs imports

        with connection.transaction():
            regrouping.regroup(changes, connection=connection, now=now)
            connection.execute(UPDATE_DETAIL, values)
        return
    if stored is not None and connection.execute(UPDATE_DETAIL, values).rowcount:
        return
    with connection.transaction():
        if connection.execute(INSERT_DETAIL, values).rowcount:
            key = reposts.key_of(detail)
            reposts.link([detail], known_keys={key} if key else set(), connection=connection)
            return
    # Another transaction has inserted it since the first UPDATE.
    connection.execute(UPDATE_DETAIL, values)


def read_detail(
    vacancy_id: str, *, since: datetime, connection: Connection, now: datetime
) -> VacancyDetail | None:
    """Return a vacancy in full as hh.ru showed it after *since*; ``None`` if it did not, or what is
    stored cannot be read."""
    values = {"id": vacancy_id, "since": since, "now": now}
    return parse_detail(connection.execute(SELECT_RECENT_DETAIL, values).fetchone())


def parse_detail(row: dict[str, Any] | None) -> VacancyDetail | None:
    """Return the vacancy of a row; ``None`` if there is none, or it cannot be read."""
    if row is None:
        return None
    try:
        return VacancyDetail.model_validate(row["detail"])
    except ValidationError:
        logger.warning("a stored vacancy cannot be read")
        return None


def close(vacancy_id: str, *, connection: Connection, now: datetime) -> None:
    """Mark the vacancy closed: hh.ru no longer has it."""
    values = {"id": vacancy_id, "now": _utc(now), "moment": now}
    connection.execute(UPDATE_JOB_CLOSED, values)


def vacancy_id_of(row_id: str, *, connection: Connection) -> str | None:
    """Return hh.ru's id of the row whose uuid is *row_id*; ``None`` if there is no such row."""
    row = connection.execute(SELECT_VACANCY_ID, (row_id,)).fetchone()
    return row["external_id"] if row else None


def _vacancy_values(vacancy: Vacancy, digest: str) -> dict[str, Any]:
    key = reposts.key_of(vacancy)
    return {
        **_columns(job.from_vacancy(vacancy)),
        "vacancy": _dump(vacancy),
        "hex": digest,
        "repost_key": key and key.hex(),
    }


def _detail_values(detail: VacancyDetail) -> dict[str, Any]:
    full_job = job.from_detail(detail)
    return {
        **_columns(full_job),
        "test_required": full_job.test_required,
        "skills": [skill[:WIDTH] for skill in full_job.skills],
        "repost_key": reposts.key_of(detail),
    }


def _array(values: Iterable[str]) -> str:
    """Return *values*, without quotes, commas or braces, as the text of a Postgres array: psycopg
    would look for these in each."""
    return f"{{{','.join(values)}}}"


def _in_order(distinct: Iterable[str], ids: Iterable[str]) -> tuple[str, ...]:
    """Return *ids* in the order of *distinct*."""
    wanted = set(ids)
    return tuple(vacancy_id for vacancy_id in distinct if vacancy_id in wanted)


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
    """Return *now* for the original backend's columns: ``timestamp`` without a zone, in UTC by
    convention."""
    return now.astimezone(UTC).replace(tzinfo=None)


def _dump(vacancy: Vacancy) -> str:
    """Return the vacancy as JSON. A field that the model gets later does not change it, as long as
    it has its default."""
    return JSON[type(vacancy)].dump_json(vacancy, exclude_defaults=True).decode()


def _hash(vacancy: Vacancy) -> str:
    """Return the hex hash of the vacancy's JSON without :data:`PASSING`: the snippet, which hh.ru
    cuts around the words of each search, and the employer's rating, which changes on its own."""
    model = JSON[type(vacancy)]
    lasting = model.dump_json(vacancy, exclude_defaults=True, exclude=PASSING)
    return hashlib.sha256(lasting).hexdigest()
