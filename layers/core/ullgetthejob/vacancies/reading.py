"""A vacancy in full: as it is stored, else from hh.ru."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHVacancyNotFound
from ullgetthejob.platform.telemetry import count
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.context import Context

SELECT_DETAIL = "SELECT detail FROM jobs WHERE external_id = %(id)s AND detail IS NOT NULL"


def read_detail(job_id: str, context: Context) -> VacancyDetail:
    """Return a vacancy in full. *job_id*: hh.ru's vacancy id, or the uuid of a stored row. What is
    stored in full is not asked for again, however old it is.

    Raises :class:`HHVacancyNotFound`, and hh.ru's other errors.
    """
    connection = context.connection
    vacancy_id: str | None = job_id
    if store.UUID.fullmatch(job_id):
        vacancy_id = store.vacancy_id_of(job_id, connection=connection)
    if vacancy_id is None:
        raise HHVacancyNotFound("there is no such job")
    stored = store.parse_detail(connection.execute(SELECT_DETAIL, {"id": vacancy_id}).fetchone())
    if stored is not None:
        return stored
    detail = method_access.call_as_service(
        "detail", lambda: context.hh.vacancy(vacancy_id), context
    )
    store.store_detail(detail, connection=connection, now=context.now())
    count("VacanciesRead")
    return detail
