"""The context of a piece of work: the connection, clock, caller and client that it is done with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller
    from ullgetthejob.platform.postgres import Connection


def _refuse_hh() -> HHClient:
    raise AssertionError("this work has no access to hh.ru")


@dataclass(frozen=True)
class Context:
    """What the work of one request or one wake-up is done with.

    *connection*: to Postgres. *clock*: the domain's, see :mod:`.clock`. *caller*: on whose behalf.
    *open_hh* returns the client of hh.ru, built at its first call; by default there is none.
    """

    connection: Connection
    clock: Callable[[], datetime]
    caller: Caller
    open_hh: Callable[[], HHClient] = _refuse_hh

    @property
    def hh(self) -> HHClient:
        """Return the client of hh.ru."""
        return self.open_hh()

    def now(self) -> datetime:
        """Return the current domain time."""
        return self.clock()

    def with_fixed_time(self, at: datetime | None = None) -> Context:
        """Return this context with its clock stopped at *at*, by default now, for an operation
        whose records all have one time."""
        now = at or self.clock()
        return replace(self, clock=lambda: now)
