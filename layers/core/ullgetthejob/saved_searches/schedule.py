"""The schedule of a saved search: its next run. Pure functions of their arguments.

A run begins no later than one interval after the last: the rule that starts runs fires once a
minute, so the run is due a minute sooner, and sooner still by a random part of up to a tenth of the
interval, so that searches created together spread out. Outside of the working hours
(:mod:`ullgetthejob.platform.working_hours`) it waits for them to open.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from ullgetthejob.platform.working_hours import WorkingHours, opening

TICK = timedelta(minutes=1)  # between two runs of the fetcher
JITTER = 0.1
MIN_WAIT = timedelta(seconds=120)


def next_run(
    after: datetime,
    interval_s: int,
    working_hours: WorkingHours | None,
    zone: str,
    seed: object,
) -> datetime:
    """Return when a search runs that last ran at *after*, in UTC. *seed*: the search's id; equal
    arguments give equal results."""
    sooner = timedelta(seconds=interval_s * JITTER * _jitter(seed, after)) + TICK
    wait = max(timedelta(seconds=interval_s) - sooner, MIN_WAIT)
    return opening(working_hours, zone, after.astimezone(UTC) + wait)


def _jitter(seed: object, moment: datetime) -> float:
    """Return a number from 0 up to 1, the same for equal arguments."""
    digest = sha256(f"{seed} {moment.astimezone(UTC).isoformat()}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32
