"""hh.ru's daily limit: 200 applications per sliding 24 hours, counted back from each attempt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

# hh.ru: 200 applications per sliding 24 h, counted back from the attempt.
DAY_LIMIT = 200
# hh.ru counts from when a call arrived, by its own clock: here, attempts leave the window a little
# later.
DAY = timedelta(hours=24, minutes=2)
SELECT_COUNTED_ATTEMPTS = """
    SELECT a.at FROM application_attempts a LEFT JOIN application_outcomes o ON o.attempt_id = a.id
    WHERE a.account_id = %(account_id)s AND a.at > %(since)s AND coalesce(o.counts, true)
    ORDER BY a.at DESC
"""


def list_counted(account_id: UUID, *, connection: Connection, now: datetime) -> list[datetime]:
    """Return when the applications of hh.ru's last 24 hours were sent, the latest first."""
    values = {"account_id": account_id, "since": now - DAY}
    return [row["at"] for row in connection.execute(SELECT_COUNTED_ATTEMPTS, values).fetchall()]


def next_slot_in_24h(account_id: UUID, *, connection: Connection, now: datetime) -> datetime:
    """Return when hh.ru's 24 hours have room for another application: *now*, or later."""
    return next_slot(list_counted(account_id, connection=connection, now=now), now=now)


def next_slot(latest: Sequence[datetime], *, now: datetime) -> datetime:
    """Return the same by :func:`list_counted`."""
    return now if len(latest) < DAY_LIMIT else latest[DAY_LIMIT - 1] + DAY
