"""The one clock of domain time.

Domain code takes ``now`` as a parameter; whoever starts a piece of work reads it here. SQL never
asks Postgres for the time. In the cloud this is the system's clock and nothing can set it: the only
way to replace it is :func:`install`, which only local runs and tests call, in their own process.

How old a socket is, which of two processes posts to it, and whether a process lives, is no domain
time: days may pass there in seconds. For that, and nothing else, :func:`real_ms`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _source()


def real_ms() -> int:
    """The machine's own time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def install(source: Callable[[], datetime] | None) -> None:
    """Replace the source of time in this process; ``None`` brings the system's clock back."""
    global _source
    _source = source or _system
