"""The work of one of the parallel processes. Imports only modules that a function imports."""

from __future__ import annotations

import time
from datetime import datetime

from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import leases, settings


def acquire_lease(name: str, now: str) -> str | None:
    """Try to acquire the lease *name* for a minute; return the owner, ``None`` if it was held."""
    lease = leases.acquire(name, seconds=60, now=datetime.fromisoformat(now))
    return lease.owner if lease else None


def slots_at(moment_ms: int, count: int, calls_per_second: float) -> list[int]:
    """Return *count* slots (ms), reserved at the fixed moment *moment_ms*."""
    slots = []
    for _ in range(count):
        slept = [0.0]
        pacer = Pacer(
            settings.PACER_TABLE(),
            calls_per_second=calls_per_second,
            patience_ms=3_600_000,
            now_ms=lambda: moment_ms,
            sleep=slept.append,
        )
        pacer.wait()
        slots.append(moment_ms + round(slept[-1] * 1000))
    return slots


def slots_in_real_time(count: int, calls_per_second: float) -> list[int]:
    """Return the slots (ms) of *count* calls of one environment that sleeps until each of them."""
    moments: list[int] = []
    slept: list[float] = []

    def now_ms() -> int:
        moments.append(time.time_ns() // 1_000_000)
        return moments[-1]

    def sleep(seconds: float) -> None:
        slept[-1] = seconds
        time.sleep(seconds)

    pacer = Pacer(
        settings.PACER_TABLE(),
        calls_per_second=calls_per_second,
        patience_ms=60_000,
        now_ms=now_ms,
        sleep=sleep,
    )
    for _ in range(count):
        slept.append(0)
        pacer.wait()
    return [moment + round(wait * 1000) for moment, wait in zip(moments, slept, strict=True)]
