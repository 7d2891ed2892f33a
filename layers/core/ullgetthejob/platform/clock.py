"""The single clock of domain time.

Domain code takes ``now`` as a parameter, or reads the clock of its :class:`.context.Context`, where
the composition root puts :func:`now`. SQL never asks Postgres for the time. In the cloud this is
the system's clock and nothing can set it: the only way to replace it is :func:`install`, which only
local runs and tests call, in their own process.

The age of a socket, which of two processes posts to it, and whether a process is alive are not
domain time: in a local run days of domain time may pass in seconds. For these, and nothing else,
use :func:`real_ms`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _system_time() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system_time


def now() -> datetime:
    """Return the current domain time, timezone-aware, in UTC."""
    return _source()


def real_ms() -> int:
    """Return the machine's own time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def real_seconds() -> float:
    """Return the machine's own time, in seconds since 1970."""
    return time.time()


def install(source: Callable[[], datetime] | None) -> None:
    """Replace the source of time in this process; ``None`` restores the system's clock."""
    global _source
    _source = source or _system_time
