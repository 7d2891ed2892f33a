"""Periodic work: steps that run each minute, independently of each other.

Steps that notify workers come first; cleanup comes last. A step that fails is logged with its cause
and counted, the others still run, and the invocation fails in the end, so that the alarm on the
function's errors fires. The next minute tries everything again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.platform import invocation, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from ullgetthejob.platform.context import Context

    Step = Callable[[Context], int]

Row = TypeVar("Row")


class StepsFailed(Exception):
    """The steps *names* failed; the others were done."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def handle(
    steps: Mapping[str, Step],
    event: dict[str, Any],
    context: Any,
    open_context: Callable[[Caller], AbstractContextManager[Context]],
) -> dict[str, int]:
    """Handle an invocation by an EventBridge rule: :func:`run` the *steps*, as Core itself."""
    caller = Caller("core", str(getattr(context, "aws_request_id", "-")))
    rule = next(iter(event.get("resources") or ["-"])).rpartition("/")[2]
    with invocation.measured(context, rule=rule) as current:
        current.result = done = run(steps, partial(open_context, caller))
    return done


def run(
    steps: Mapping[str, Step], open_context: Callable[[], AbstractContextManager[Context]]
) -> dict[str, int]:
    """Run every step, in order, each in a context of its own; return the count that each returned.

    Raises :class:`StepsFailed` after the last one.
    """
    done: dict[str, int] = {}
    failed = []
    for name, step in steps.items():
        try:
            with open_context() as context:
                done[name] = step(context)
        except Exception as error:
            logger.error("a periodic step failed", step=name, **trace(error))
            count("PeriodicStepFailed")
            failed.append(name)
    if failed:
        raise StepsFailed(failed)
    return done


def for_each(rows: Iterable[Row], act: Callable[[Row], int]) -> int:
    """Call *act* for every row and return the sum of the counts. A row that fails does not prevent
    the others; an unavailable database ends the loop at once.

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
