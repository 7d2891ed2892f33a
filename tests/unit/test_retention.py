"""Retention without a database: which parts of a table a minute reads, and how batches end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ullgetthejob.platform import retention

DAY = datetime(2026, 11, 24, tzinfo=UTC)
MINUTES = [DAY + timedelta(minutes=number) for number in range(24 * 60)]
CONTEXT: Any = SimpleNamespace(connection=None, now=lambda: DAY)


@pytest.mark.parametrize("blocks", [65, 1_439, 1_440, 1_441, 10_000, 1_000_003])
def test_parts_of_a_day_are_the_whole_table(blocks: int) -> None:
    read: set[int] = set()
    for now in MINUTES:
        for low, high in retention.parts(blocks, now):
            assert 0 < high - low <= retention.PART_BLOCKS
            read.update(range(low, high))
    assert read >= set(range(blocks))


def test_parts_of_a_minute_are_a_share_of_the_table() -> None:
    read = sum(high - low for low, high in retention.parts(1_440 * 640, MINUTES[700]))
    assert read == 640


def test_table_that_shrinks_during_the_day_is_read_whole() -> None:
    """As autovacuum cuts off the empty end: the day begins at 14:00, most is gone by 20:00."""
    read: set[int] = set()
    for number in range(24 * 60):
        now = DAY + timedelta(hours=14, minutes=number)
        blocks = 100_000 if number < 6 * 60 else 40_000
        for low, high in retention.parts(blocks, now):
            read.update(range(low, high))
    assert read >= set(range(40_000))


@pytest.mark.parametrize("blocks", [0, 1, 64])
def test_small_table_is_read_whole_every_minute(blocks: int) -> None:
    assert {tuple(retention.parts(blocks, now)) for now in MINUTES} == {((0, 64),)}


def test_batches_are_repeated_until_one_is_not_full() -> None:
    batches = iter([500, 500, 3])
    step = retention.in_batches(lambda **_: next(batches), most=500)
    assert step(CONTEXT) == 1_003
    assert list(batches) == []


def test_batches_end_when_their_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_BUDGET_S", 0)
    assert retention.in_batches(lambda **_: 500, most=500)(CONTEXT) == 500
