"""A table of the functions that were invoked since the last one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 60
SHOWN = ("invocations", "errors", "timeouts", "throttles", "cold_starts")

Status = dict[str, dict[str, Any]]


async def show(status: Callable[[], Status], report: Callable[[str], None]) -> None:
    """Report changes until cancelled; *status*: :meth:`LambdaService.status`."""
    before: Status = {}
    while True:
        await asyncio.sleep(INTERVAL_S)
        now = status()
        for line in lines(before, now):
            report(line)
        before = now


def lines(before: Status, now: Status) -> list[str]:
    """Return a table of the functions whose counters changed; empty if none has."""
    changed = [
        name
        for name, function in sorted(now.items())
        if function["invocations"] != before.get(name, {"invocations": 0})["invocations"]
    ]
    if not changed:
        return []
    width = max(len(name) for name in changed)
    head = " ".join(f"{name.replace('_', ' '):>11}" for name in SHOWN)
    return [
        f"{'':{width}} {head}",
        *(
            f"{name:{width}} " + " ".join(f"{now[name][column]:>11}" for column in SHOWN)
            for name in changed
        ),
    ]
