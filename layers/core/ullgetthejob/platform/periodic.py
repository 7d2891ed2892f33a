"""Periodic work: steps that are tried each minute, none of which keeps another from its own.

What wakes those that wait comes first; what tidies up comes last. A step that fails is logged with
its cause and counted, the others run all the same, and the invocation fails in the end, so that the
alarm on the function's errors says so. The next minute tries everything again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.platform import postgres
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]
    Step = Callable[[Connection], int]

Row = TypeVar("Row")


class StepsFailed(Exception):
    """Some of the steps failed: *names*. The others were done."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def run(
    steps: Mapping[str, Step],
    *,
    session: Callable[[], AbstractContextManager[Connection]] = postgres.session,
) -> dict[str, int]:
    """Run every step, in order, each in a *session* of its own: how much each had to do.

    Raises :class:`StepsFailed` after the last one.
    """
    done: dict[str, int] = {}
    failed = []
    for name, step in steps.items():
        try:
            with session() as connection:
                done[name] = step(connection)
        except Exception as error:
            logger.error("a periodic step failed", step=name, **trace(error))
            count("PeriodicStepFailed")
            failed.append(name)
    logger.info("periodic steps done", steps=done)
    if failed:
        raise StepsFailed(failed)
    return done


def for_each(rows: Iterable[Row], act: Callable[[Row], int]) -> int:
    """Do *act* for every row: what it comes to in all. One that fails keeps no other from its own;
    a database that does not answer ends it at once.

    Raises :class:`StepsFailed` after the last row.
    """
    done = failed = 0
    for row in rows:
        try:
            done += act(row)
        except Exception as error:
            if postgres.is_unavailable(error):
                raise
            logger.error("a row of a periodic step failed", **trace(error))
            failed += 1
    if failed:
        raise StepsFailed([f"{failed} rows"])
    return done
