"""The vacancy of an application as hh.ru showed it a moment ago, where that is enough."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.applications.obstacles import find_obstacle
from ullgetthejob.filters import decisions
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.applications.obstacles import Requested
    from ullgetthejob.hh.models import VacancyDetail
    from ullgetthejob.platform.postgres import Connection

MAX_AGE = timedelta(minutes=10)  # of a vacancy that is not read again


def find_recent_vacancy(
    application: Requested, account_id: UUID, *, connection: Connection, now: datetime
) -> VacancyDetail | None:
    """Return the vacancy as hh.ru showed it at most :data:`MAX_AGE` ago, to any caller, if the
    application can be sent by that; ``None`` where hh.ru has to be asked.

    What has changed since, hh.ru says when the application is sent. It does not know the person's
    own rules: with rules, the vacancy is always read again.
    """
    vacancy = store.read_detail(
        application.vacancy_id, since=now - MAX_AGE, connection=connection, now=now
    )
    if vacancy is None or find_obstacle(application, vacancy) is not None:
        return None
    return None if decisions.has_rules(account_id, connection=connection) else vacancy
