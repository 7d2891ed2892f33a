"""Storage of a person's rules, and of what they are evaluated on: the account's applications and
stored vacancies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ullgetthejob.filters import models
from ullgetthejob.platform.errors import NeedsPerson
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import Vacancy
    from ullgetthejob.platform.postgres import Connection

WEEK = timedelta(days=7)

SELECT_FILTERS = (
    "SELECT rules, updated_at FROM application_filters WHERE account_id = %(account_id)s"
)
# Held until the end of the transaction: rules that were read are not replaced in between.
LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR NO KEY UPDATE"
UPSERT_FILTERS = """
    INSERT INTO application_filters (account_id, rules, updated_at)
    VALUES (%(account_id)s, %(rules)s::jsonb, %(now)s)
    ON CONFLICT (account_id) DO UPDATE
    SET rules = excluded.rules, updated_at = excluded.updated_at
"""
# Every application that hh.ru has or may have, made by hand or not. One that hh.ru refused as
# already applied was made by hand: it counts as of this week until the negotiations say when.
SELECT_ATTEMPTS_OF_WEEK = """
    SELECT DISTINCT l.vacancy_id, j.employer_id,
           j.employer_id IS NULL AND j.vacancy IS NULL AND j.detail IS NULL AS unknown
    FROM application_attempts a
    JOIN application_ledger l ON l.id = a.ledger_id
    LEFT JOIN LATERAL (
        SELECT counts, outcome FROM application_outcomes WHERE attempt_id = a.id LIMIT 1
    ) o ON true
    LEFT JOIN jobs j ON j.external_id = l.vacancy_id
    WHERE a.account_id = %(account_id)s AND a.at > %(since)s
      AND (coalesce(o.counts, true) OR o.outcome = 'already_applied' AND NOT EXISTS (
          SELECT FROM application_attempts b JOIN application_outcomes p ON p.attempt_id = b.id
          WHERE b.ledger_id = a.ledger_id AND p.counts
      ))
"""
# The job of each vacancy, and the account's latest application to another posting of it that hh.ru
# has or may have. What waits, or was left to the person, is none yet.
SELECT_POSTINGS = """
    SELECT job.external_id::text AS id, coalesce(job.repost_of, job.external_id)::text
               AS original_id,
           applied.application_id, applied.job_id, applied.submitted_at
    FROM jobs AS job LEFT JOIN LATERAL (
        SELECT ledger.id AS application_id, ledger.vacancy_id AS job_id, ledger.submitted_at
        FROM (
            SELECT coalesce(job.repost_of, job.external_id) AS id
            UNION ALL
            SELECT other.external_id FROM jobs AS other
            WHERE other.repost_of = coalesce(job.repost_of, job.external_id)
        ) AS posting
        JOIN application_ledger AS ledger
            ON ledger.account_id = %(account_id)s AND ledger.vacancy_id = posting.id
        WHERE posting.id <> job.external_id
            AND ledger.state IN ('submitting', 'uncertain', 'submitted')
        ORDER BY ledger.submitted_at DESC NULLS FIRST, ledger.id LIMIT 1
    ) AS applied ON true
    WHERE job.external_id = ANY(%(ids)s)
"""
SELECT_STORED_VACANCIES = """
    SELECT coalesce(detail, vacancy) AS vacancy, detail IS NOT NULL AS in_full FROM jobs
    WHERE external_id = ANY(%(ids)s) AND (vacancy IS NOT NULL OR detail IS NOT NULL)
"""
SELECT_NEWEST_VACANCIES = """
    SELECT coalesce(detail, vacancy) AS vacancy, detail IS NOT NULL AS in_full FROM jobs
    WHERE fetched_at IS NOT NULL AND NOT archived AND (vacancy IS NOT NULL OR detail IS NOT NULL)
    ORDER BY fetched_at DESC, external_id LIMIT %(most)s
"""


def read_filters(account_id: UUID | None, *, connection: Connection) -> models.FiltersAnswer:
    """Return the account's rules, empty ones if none are stored. Raises :class:`NeedsPerson`
    (``filters_unreadable``)."""
    row = connection.execute(SELECT_FILTERS, {"account_id": account_id}).fetchone()
    if row is None:
        return models.FiltersAnswer(rules=models.Rules(), updated_at=None)
    try:
        rules = models.Rules.model_validate(row["rules"])
    except ValidationError:
        logger.error("stored filters cannot be read", account_id=str(account_id))
        raise NeedsPerson(
            "the stored filters cannot be read: put them again", code=models.UNREADABLE
        ) from None
    return models.FiltersAnswer(rules=rules, updated_at=row["updated_at"])


def read_week(
    account_id: UUID | None, rules: models.Rules, *, connection: Connection, now: datetime
) -> models.Week:
    """Return the account's applications of the last seven days; empty where no rule needs them."""
    week = models.Week()
    if rules.max_per_employer_per_week is None or account_id is None:
        return week
    values = {"account_id": account_id, "since": now - WEEK}
    for row in connection.execute(SELECT_ATTEMPTS_OF_WEEK, values).fetchall():
        if row["unknown"]:
            week.unknown.add(row["vacancy_id"])
        elif row["employer_id"] is not None:
            week.made[row["employer_id"]] += 1
    return week


def read_postings(
    account_id: UUID | None, vacancy_ids: list[str], *, connection: Connection
) -> dict[str, models.Posting]:
    """Return the posting of each vacancy, by id, without those that are not stored."""
    values = {"account_id": account_id, "ids": vacancy_ids}
    rows = connection.execute(SELECT_POSTINGS, values).fetchall()
    return {row.pop("id"): models.Posting(**row) for row in rows}


def read_vacancies(vacancy_ids: Iterable[str], *, connection: Connection) -> list[Vacancy]:
    """Return what is stored of the vacancies, without those that cannot be read."""
    values = {"ids": list(vacancy_ids)}
    return list(parse_vacancies(connection.execute(SELECT_STORED_VACANCIES, values).fetchall()))


def parse_vacancies(rows: Iterable[dict[str, Any]]) -> Iterable[Vacancy]:
    """Yield the vacancies of *rows*, without those that cannot be read."""
    from ullgetthejob.hh.models import Vacancy, VacancyDetail

    for row in rows:
        try:
            yield (VacancyDetail if row["in_full"] else Vacancy).model_validate(row["vacancy"])
        except ValidationError:
            logger.warning("a stored vacancy cannot be read")
