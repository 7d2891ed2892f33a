"""Retention: old rows are deleted in bounded statements that keep up with what is written.

Where an index has the rows by age, batches are repeated until nothing is left, or the time of the
step is used (:func:`in_batches`). Where age alone does not decide, or an index would cost more
writes than it saves, the table is read in parts by the place of its rows on disk, each once
a day (:func:`read_in_parts`): what a minute reads grows with the table, and needs no index.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

STEP_BUDGET_S = 3.0
MINUTES_A_DAY = 1_440
PART_BLOCKS = 64  # 512 KB

SELECT_BLOCKS = """
    SELECT pg_relation_size(%(table)s::regclass) / current_setting('block_size')::bigint AS blocks
"""


def in_batches(delete: Callable[..., int], *, most: int) -> Callable[[Context], int]:
    """Return a step that calls *delete*, which deletes at most *most* rows, until nothing is left
    or its time is used; the step returns how many rows were deleted."""

    def step(context: Context) -> int:
        ends = time.monotonic() + STEP_BUDGET_S
        deleted = 0
        while True:
            batch = delete(connection=context.connection, now=context.now(), most=most)
            deleted += batch
            if batch < most or time.monotonic() >= ends:
                return deleted

    return step


def read_in_parts(
    table: str,
    delete: Callable[[dict[str, str]], int],
    *,
    connection: Connection,
    now: datetime,
) -> int:
    """Call *delete* for each part of *table* that this minute of the day is for, until the time of
    a step is used; return how many rows were deleted.

    *delete* takes ``low`` and ``high`` as the values of a statement with
    ``ctid >= %(low)s::tid AND ctid < %(high)s::tid``.
    """
    row = connection.execute(SELECT_BLOCKS, {"table": table}).fetchone()
    blocks = int(row["blocks"]) if row else 0
    ends = time.monotonic() + STEP_BUDGET_S
    deleted = 0
    for low, high in parts(blocks, now):
        deleted += delete({"low": f"({low},0)", "high": f"({high},0)"})
        if time.monotonic() >= ends:
            break
    return deleted


def parts(blocks: int, now: datetime) -> Iterator[tuple[int, int]]:
    """Yield the parts, from the first block to before the last, of a table with *blocks* that are
    read in the minute of *now*: each part has its own minute of the day, the first of a table that
    has no other each minute.

    A part's minute depends on its place alone: whatever autovacuum takes off the end of the table
    or inserts append in between, every part that exists is read once a day.
    """
    if blocks <= PART_BLOCKS:
        yield 0, PART_BLOCKS
        return
    minute = now.hour * 60 + now.minute
    for low in range(minute * PART_BLOCKS, blocks, MINUTES_A_DAY * PART_BLOCKS):
        yield low, min(low + PART_BLOCKS, blocks)
