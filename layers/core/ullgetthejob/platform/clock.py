"""The one clock of domain time.

Domain code takes ``now`` as a parameter; whoever starts a piece of work reads it here. SQL never
asks Postgres for the time. In the cloud this is the system's clock and nothing can set it: the only
way to replace it is :func:`install`, which only local runs and tests call, in their own process.
"""

from collections.abc import Callable
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _source()


def install(source: Callable[[], datetime] | None) -> None:
    """Replace the source of time in this process; ``None`` brings the system's clock back."""
    global _source
    _source = source or _system
