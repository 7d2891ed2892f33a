"""Vacancies as they are stored, many at once, with their age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ullgetthejob.platform.telemetry import logger
from ullgetthejob.vacancies import job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ullgetthejob.hh.models import Vacancy, VacancyDetail
    from ullgetthejob.platform.postgres import Connection

# Of the two readings of a vacancy, in full and in a list, the one in full.
SELECT_KEPT_VACANCIES = """
    SELECT external_id AS id, coalesce(detail, vacancy) AS content, detail IS NOT NULL AS in_full,
           closed_at IS NOT NULL OR archived AS is_closed,
           greatest(detail_fetched_at, fetched_at AT TIME ZONE 'UTC') AS read_at
    FROM jobs
    WHERE external_id = ANY(%(ids)s) AND (vacancy IS NOT NULL OR detail IS NOT NULL)
"""


@dataclass(frozen=True)
class KeptVacancy:
    """A stored vacancy: *detail* if it was read in full. *read_at*: when hh.ru showed it last."""

    vacancy: Vacancy
    detail: VacancyDetail | None
    is_closed: bool
    read_at: datetime

    @property
    def job(self) -> job.Job:
        """Return the vacancy in the shape of the BFF."""
        if self.detail is not None:
            return job.from_detail(self.detail)
        return job.from_vacancy(self.vacancy)

    def is_read_since(self, since: datetime) -> bool:
        """Return whether hh.ru has shown it after *since*."""
        return self.read_at > since


def read(vacancy_ids: Iterable[str], *, connection: Connection) -> dict[str, KeptVacancy]:
    """Return what is stored of the vacancies, by id; those that are not stored, or cannot be read,
    are left out."""
    from ullgetthejob.hh.models import Vacancy, VacancyDetail

    found: dict[str, KeptVacancy] = {}
    rows = connection.execute(SELECT_KEPT_VACANCIES, {"ids": list(vacancy_ids)}).fetchall()
    for row in rows:
        try:
            vacancy = (VacancyDetail if row["in_full"] else Vacancy).model_validate(row["content"])
        except ValidationError:
            logger.warning("a stored vacancy cannot be read")
            continue
        found[row["id"]] = KeptVacancy(
            vacancy=vacancy,
            detail=vacancy if isinstance(vacancy, VacancyDetail) else None,
            is_closed=row["is_closed"],
            read_at=row["read_at"] or datetime.min.replace(tzinfo=UTC),
        )
    return found
