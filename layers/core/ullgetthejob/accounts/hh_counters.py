"""hh.ru's counters of a person (``GET /me``): all that is left to know of an account's negotiations
where hh.ru does not let Core read them.

They count what is new at hh.ru, not applications: an application made by hand is known by the
person's word alone there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.hh.models import MeCounters
    from ullgetthejob.platform.postgres import Connection

SELECT_COUNTERS = """
    SELECT hh_counters AS counters, hh_counters_at AS at FROM accounts
    WHERE id = %(account_id)s AND hh_counters IS NOT NULL
"""
UPDATE_COUNTERS = """
    UPDATE accounts SET hh_counters = %(counters)s::jsonb, hh_counters_at = %(now)s
    WHERE id = %(account_id)s
    RETURNING (SELECT old.hh_counters FROM accounts old WHERE old.id = accounts.id) AS before
"""


class Counters(Model):
    """hh.ru's counters of a person, as they were read *at* that time."""

    unread_negotiations: int | None = Field(description="negotiations with news from an employer")
    new_resume_views: int | None
    resumes_count: int | None
    at: AwareDatetime


def read(account_id: UUID | None, *, connection: Connection) -> Counters | None:
    """Return the counters as they were last read; ``None`` if they never were."""
    row = connection.execute(SELECT_COUNTERS, {"account_id": account_id}).fetchone()
    return None if row is None else Counters(**{**row["counters"], "at": row["at"]})


def store(account_id: UUID, counters: MeCounters, *, connection: Connection, now: datetime) -> bool:
    """Store the counters that hh.ru gave at *now*; return whether they have changed."""
    stored = counters.model_dump()
    values = {"account_id": account_id, "counters": json.dumps(stored), "now": now}
    row = connection.execute(UPDATE_COUNTERS, values).fetchone()
    return row is not None and row["before"] != stored
