"""What one process of a crowd does. Only what a function would import is imported here."""

from __future__ import annotations

import time
from datetime import datetime

from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import leases, settings


def take_lease(name: str, now: str) -> str | None:
    """Try to take the lease *name* for a minute; who owns it, if it was got."""
    lease = leases.acquire(name, seconds=60, now=datetime.fromisoformat(now))
    return lease.owner if lease else None


def slots_at(moment_ms: int, count: int, calls_per_second: float) -> list[int]:
    """*count* slots (ms), reserved while time stands still: how far ahead says which they are."""
    slots = []
    for _ in range(count):
        slept = [0.0]
        pacer = Pacer(
            settings.text("PACER_TABLE"),
            calls_per_second=calls_per_second,
            patience_ms=3_600_000,
            now_ms=lambda: moment_ms,
            sleep=slept.append,
        )
        pacer.wait()
        slots.append(moment_ms + round(slept[-1] * 1000))
    return slots


def slots_in_real_time(count: int, calls_per_second: float) -> list[int]:
    """The slots (ms) of *count* calls by one environment that sleeps until each of them."""
    asked: list[int] = []
    slept: list[float] = []

    def now_ms() -> int:
        asked.append(time.time_ns() // 1_000_000)
        return asked[-1]

    def sleep(seconds: float) -> None:
        slept[-1] = seconds
        time.sleep(seconds)

    pacer = Pacer(
        settings.text("PACER_TABLE"),
        calls_per_second=calls_per_second,
        patience_ms=60_000,
        now_ms=now_ms,
        sleep=sleep,
    )
    for _ in range(count):
        slept.append(0)
        pacer.wait()
    return [moment + round(wait * 1000) for moment, wait in zip(asked, slept, strict=True)]
