"""Contexts in which tests call the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from ullgetthejob.hh.client import HHClient

CALLER = Caller("service", "a-request-of-a-test")
CORE = Caller("core", "a-wake-up-of-a-test")


def make_context(
    connection: psycopg.Connection[dict[str, Any]],
    clock: Callable[[], datetime],
    *,
    caller: Caller = CALLER,
    hh: HHClient | None = None,
) -> Context:
    """Return a context with these parts; without *hh* it has no access to hh.ru."""
    if hh is None:
        return Context(connection, clock, caller)
    return Context(connection, clock, caller, lambda: hh)
