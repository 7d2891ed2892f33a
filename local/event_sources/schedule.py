"""The schedule expressions of EventBridge that template.yaml uses: ``rate(5 minutes)``.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_UNITS = {"minute": "minutes", "hour": "hours", "day": "days"}


@dataclass(frozen=True)
class Rate:
    """A firing every *period*, counted from the previous one, not from the wall clock."""

    period: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the next time after *moment*, the last one."""
        return moment + self.period

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last time after *after* and not after *until*, or ``None``."""
        periods = (until - after) // self.period
        return after + periods * self.period if periods > 0 else None


def parse(expression: str) -> Rate:
    """Return the rate that *expression* describes. Raises ``ValueError`` with what is wrong."""
    match = re.fullmatch(r"rate\(([1-9]\d{0,5}) +(minute|hour|day)s?\)", expression.strip())
    if match is None:
        raise ValueError(
            f"{expression!r} does not run locally: only rate(n minutes), rate(n hours) and"
            " rate(n days) do"
        )
    return Rate(timedelta(**{_UNITS[match[2]]: int(match[1])}))
