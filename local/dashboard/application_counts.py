"""How many applications each account has in each state.

Counting reads the whole ledger, the largest table, while an open page is rendered again and again.
So the counts are kept until an application changes: each change writes a row of its history. A row
of a transaction that began earlier and committed later may be missed; therefore counts are also
read again after :data:`KEPT_S`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Select = Callable[[str, dict[str, Any]], Awaitable[list[dict[str, Any]]]]

KEPT_S = 10.0
SELECT_VERSION = """
    SELECT (SELECT max(id) FROM application_history) AS last_change,
           (SELECT count(*) FROM accounts) AS accounts
"""
COUNT_APPLICATIONS = """
    SELECT account_id, state, count(*) AS applications,
           count(*) FILTER (WHERE hh_state = 'invitation') AS invited
    FROM application_ledger WHERE %(id)s::uuid IS NULL OR account_id = %(id)s
    GROUP BY account_id, state ORDER BY state
"""


@dataclass
class ApplicationCounts:
    """The counts as they were read last."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    version: dict[str, Any] | None = None
    read_at: float = 0.0

    async def read(self, select: Select, version: dict[str, Any]) -> list[dict[str, Any]]:
        """Return ``applications`` and ``invited`` for each account and state, by state. *version*:
        the row of :data:`SELECT_VERSION` at present. *select* returns the rows of a statement with
        values, and raises ``psycopg.Error``, as this does."""
        if version != self.version or time.monotonic() - self.read_at > KEPT_S:
            self.rows = await select(COUNT_APPLICATIONS, {"id": None})
            self.version, self.read_at = version, time.monotonic()
        return self.rows
