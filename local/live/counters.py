"""A line for each function that has done something since it was last shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 60
SHOWN = ("invocations", "errors", "timeouts", "throttles", "cold_starts")

Status = dict[str, dict[str, Any]]


async def show(status: Callable[[], Status], tell: Callable[[str], None]) -> None:
    """Until cancelled; *status* is :meth:`LambdaService.status`."""
    before: Status = {}
    while True:
        await asyncio.sleep(EVERY_S)
        now = status()
        for line in lines(before, now):
            tell(line)
        before = now


def lines(before: Status, now: Status) -> list[str]:
    """What has changed, as a table; nothing where nothing has."""
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
