"""Periodic work: steps that run each minute, independently of each other.

Steps that notify workers come first, always. Steps that tidy up begin with another one each minute,
and none begins once their time is used: so one that takes long delays no wake-up, and starves no
other. A step that fails is logged with its cause and counted, the others still run, and the
invocation fails in the end, so that the alarm on the function's errors fires. The next minute tries
everything again.

The statements of a step have the limit of the database role (README: 10 s), each step has a budget
for its rows (:func:`for_each`), and the connection of a failed step is not the next one's problem:
it is opened again.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ullgetthejob.platform import clock, invocation, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.telemetry import count, logger, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from ullgetthejob.platform.context import Context

    Step = Callable[[Context], int]

Row = TypeVar("Row")

TIDY_BUDGET_S = 25.0  # for beginning a step; the functions' timeout is 50 s
ROWS_BUDGET_S = 8.0


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
    *,
    tidy: Mapping[str, Step] | None = None,
) -> dict[str, int]:
    """Handle an invocation by an EventBridge rule: :func:`run` the steps, as Core itself."""
    caller = Caller("core", str(getattr(context, "aws_request_id", "-")))
    rule = next(iter(event.get("resources") or ["-"])).rpartition("/")[2]
    with invocation.measured(context, rule=rule) as current:
        current.result = done = run(steps, partial(open_context, caller), tidy=tidy)
    return done


def run(
    steps: Mapping[str, Step],
    open_context: Callable[[], AbstractContextManager[Context]],
    *,
    tidy: Mapping[str, Step] | None = None,
) -> dict[str, int]:
    """Run *steps*, in order, then those of *tidy* that begin in time, each in a context of its own;
    return the count that each returned.

    Raises :class:`StepsFailed` after the last one.
    """
    ends = time.monotonic() + TIDY_BUDGET_S
    done: dict[str, int] = {}
    failed = []
    for name, step in [*steps.items(), *_rotated(tidy or {})]:
        if tidy and name in tidy and time.monotonic() >= ends:
            logger.warning("a periodic step is left for the next minute", step=name)
            count("PeriodicStepPostponed")
            continue
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
    """Call *act* for every row, within :data:`ROWS_BUDGET_S`, and return the sum of the counts; the
    next minute finds the rest. A row that fails does not prevent the others; an unavailable
    database ends the loop at once.

    Raises :class:`StepsFailed` after the last row.
    """
    ends = time.monotonic() + ROWS_BUDGET_S
    done = failed = 0
    for row in rows:
        if time.monotonic() >= ends:
            break
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


def _rotated(steps: Mapping[str, Step]) -> list[tuple[str, Step]]:
    """Return the steps in their order, beginning with another one each minute."""
    items = list(steps.items())
    first = int(clock.real_seconds()) // 60 % len(items) if items else 0
    return items[first:] + items[:first]
