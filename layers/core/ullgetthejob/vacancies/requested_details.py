"""Vacancies that were requested and not read yet, since hh.ru had no time for them: the fetch
worker reads them in the background.

The message has their ids. Unlike other wake-ups it is the only record of the request, and may be
lost: then the vacancies are read when they are next requested, or applied to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import HHError, HHVacancyNotFound
from ullgetthejob.platform import queues, settings
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ullgetthejob.platform.context import Context

QUEUE = settings.FETCH_QUEUE_URL
MAX_PER_MESSAGE = 100
MAX_ATTEMPTS = 10
RETRY_AFTER_S = 60
SELECT_UNREAD = """
    SELECT id FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS wanted (id, position)
    WHERE NOT EXISTS (SELECT FROM jobs WHERE external_id = wanted.id AND detail IS NOT NULL)
    ORDER BY position
"""


def request(vacancy_ids: Sequence[str], *, attempt: int = 1, after_s: int = 0) -> None:
    """Request that the vacancies are read, in messages of :data:`MAX_PER_MESSAGE`."""
    for start in range(0, len(vacancy_ids), MAX_PER_MESSAGE):
        ids = ",".join(vacancy_ids[start : start + MAX_PER_MESSAGE])
        queues.notify(QUEUE, {"vacancy_ids": ids, "attempt": str(attempt)}, after_s=after_s)


def read_requested(payload: dict[str, str], context: Context) -> None:
    """Read the vacancies of a message that are not stored in full; those for which hh.ru has no
    time are requested again, at most :data:`MAX_ATTEMPTS` times."""
    ids = [vacancy_id for vacancy_id in payload["vacancy_ids"].split(",") if vacancy_id.isdecimal()]
    rows = context.connection.execute(SELECT_UNREAD, {"ids": ids}).fetchall()
    unread = [row["id"] for row in rows]
    for position, vacancy_id in enumerate(unread):
        try:
            _read(vacancy_id, context)
        except HHError as error:
            logger.info("details are left for later", error_type=type(error).__name__)
            attempt = int(payload.get("attempt", "1"))
            if attempt < MAX_ATTEMPTS:
                request(unread[position:], attempt=attempt + 1, after_s=RETRY_AFTER_S)
            return


def _read(vacancy_id: str, context: Context) -> None:
    """Read one vacancy and store it; nothing is stored of one that hh.ru does not have."""
    try:
        detail = method_access.call_as_service(
            "detail", lambda: context.hh.vacancy(vacancy_id), context
        )
    except HHVacancyNotFound:
        store.close(vacancy_id, connection=context.connection, now=context.now())
        return
    store.store_detail(detail, connection=context.connection, now=context.now())
    count("DetailsRead")
