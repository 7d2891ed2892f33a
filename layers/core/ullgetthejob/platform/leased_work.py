"""Work that one worker at a time does, under a lease, within the time of an invocation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ullgetthejob.platform import leases

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


def run(
    name: str,
    work: Callable[[float], None],
    is_due: Callable[[], bool],
    clock: Callable[[], datetime],
    *,
    lease_s: int,
    budget_s: float,
) -> bool:
    """Do *work* under the lease *name*, and again while more *is_due* and the time of *budget_s*
    is not used up; return whether work is left for another wake-up.

    *work* gets its deadline (of :func:`time.monotonic`), after which it begins nothing. A wake-up
    that comes while another worker holds the lease may be dropped: that worker looks whether
    anything is due again after it has released the lease. Raises what *work* raises, and
    :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    deadline = time.monotonic() + budget_s
    while True:
        lease = leases.acquire(name, seconds=lease_s, now=clock())
        if lease is None:
            return False
        try:
            work(deadline)
        finally:
            lease.release()
        if not is_due():
            return False
        if time.monotonic() >= deadline:
            return True
