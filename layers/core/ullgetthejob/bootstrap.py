"""The composition root: opens the contexts in which the functions work.

Only the functions' ``app.py`` and tests import it. There are two openers, since a function that
never calls hh.ru has neither the settings nor the permissions for it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ullgetthejob.hh import environment
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ullgetthejob.platform.authentication import Caller


@contextmanager
def open_context(caller: Caller) -> Iterator[Context]:
    """Open a context without hh.ru, with the session of Postgres. Raises as
    :func:`postgres.session` does."""
    with postgres.session() as connection:
        yield Context(connection, clock.now, caller)


@contextmanager
def open_context_with_hh(caller: Caller, *, background: bool = False) -> Iterator[Context]:
    """Open a context with the client of hh.ru; one for *background* work gives way to interactive
    calls. Raises as :func:`open_context` does."""
    client = partial(environment.client, background=True) if background else environment.client
    with postgres.session() as connection:
        yield Context(connection, clock.now, caller, client)
