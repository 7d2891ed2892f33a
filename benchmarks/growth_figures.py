"""What ``make bench-growth`` measures of a statement or an endpoint, and when it fails.

Two figures are compared between the first size and the last: milliseconds, and buffers (blocks of
tables and indexes, 8 KB each, that the server touched). Buffers do not depend on what else the
machine does; time shows what buffers do not, such as sorting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.growth_statements import Statement

    Connection = psycopg.Connection[dict[str, Any]]

TARGET = 1.5  # from the first size to the last, of the time
FLOOR_MS = 1.0  # below it are planning, a round trip, and their noise
# An index gains a level when its table grows a hundredfold, so that a probe of two or three buffers
# takes one more; and at the first size a scan's own bound may exceed what there is to scan.
TARGET_BUFFERS = 2.0
FLOOR_BUFFERS = 200
MOST_ROWS = 10_000


@dataclass(frozen=True)
class Figure:
    """Milliseconds and buffers of one execution at one size."""

    milliseconds: float
    buffers: float

    def least(self, other: Figure) -> Figure:
        """Return the lesser of each: what disturbed one measurement is not in the other."""
        return Figure(min(self.milliseconds, other.milliseconds), min(self.buffers, other.buffers))


NOT_MEASURED = Figure(float("inf"), float("inf"))


class UnexpectedAnswer(Exception):
    """An endpoint did not answer as expected."""


@dataclass
class Measured:
    """A statement or an endpoint. *run* executes it several times, and returns the figure and the
    scans that read more than :data:`MOST_ROWS` rows. *figures*: one for each size. *failures*:
    answers that were not expected."""

    name: str
    run: Callable[[], tuple[Figure, set[str]]]
    figures: list[Figure] = field(default_factory=list)
    read_whole: set[str] = field(default_factory=set)
    failures: set[str] = field(default_factory=set)

    def begin_size(self) -> None:
        """Begin with the next size."""
        self.figures.append(NOT_MEASURED)

    def measure(self) -> None:
        """Measure at the present size, again if it was measured before."""
        try:
            figure, read_whole = self.run()
        except UnexpectedAnswer as unexpected:
            self.failures.add(str(unexpected))
            return
        except psycopg.Error as refused:  # such as a value that a new column does not take
            self.failures.add(f"{type(refused).__name__}: {str(refused).partition('DETAIL')[0]}")
            return
        self.figures[-1] = self.figures[-1].least(figure)
        self.read_whole |= read_whole

    @property
    def growth_ms(self) -> float:
        """Return the growth of the time from the first size to the last."""
        return _growth([figure.milliseconds for figure in self.figures], FLOOR_MS)

    @property
    def growth_buffers(self) -> float:
        """Return the growth of the buffers from the first size to the last."""
        return _growth([figure.buffers for figure in self.figures], FLOOR_BUFFERS)

    @property
    def grows(self) -> bool:
        """Return whether the time grows by more than :data:`TARGET`, or the buffers by more than
        :data:`TARGET_BUFFERS`."""
        if self.failures:
            return False  # without figures
        return self.growth_ms > TARGET or self.growth_buffers > TARGET_BUFFERS

    @property
    def fails(self) -> bool:
        """Return whether it grows, reads a table whole, or was not answered as expected."""
        return self.grows or bool(self.read_whole) or bool(self.failures)


def _growth(values: Sequence[float], floor: float) -> float:
    first, last = max(values[0], floor), max(values[-1], floor)
    return last / first


def explain(
    connection: Connection, statement: Statement, *, runs: int, large: set[str]
) -> tuple[Figure, set[str]]:
    """Execute a statement *runs* times, each in a transaction that is rolled back; return the
    median of the server's own time, planning included, with the least buffers, and the scans that
    read more than :data:`MOST_ROWS` rows of a table that is *large*."""
    values = statement.values()
    took, buffers, read_whole = [], float("inf"), set()
    for _ in range(runs):
        with connection.transaction(force_rollback=True):
            statement.prepare(connection)
            row = connection.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement.text}", values
            ).fetchone()
        assert row is not None
        [explained] = row["QUERY PLAN"]
        plan = explained["Plan"]
        took.append(explained["Planning Time"] + explained["Execution Time"])
        touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        buffers = min(buffers, touched)
        read_whole = scans_read_whole(plan, large)
    return Figure(median(took), buffers), read_whole


def scans_read_whole(plan: dict[str, Any], large: set[str]) -> set[str]:
    """Return the scans of a plan that read more than :data:`MOST_ROWS` rows of a *large* table; a
    smaller one may be read by several loops."""
    return {
        f"{kind} of {table}: {rows:,.0f} rows"
        for kind, table, rows in scans(plan)
        if rows > MOST_ROWS and table in large
    }


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield each scan of a table in a plan: its kind, the table, and the rows that it read."""
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        rows += plan.get("Rows Removed by Index Recheck", 0)
        yield plan["Node Type"], plan["Relation Name"], rows * plan["Actual Loops"]
    for inner in plan.get("Plans", []):
        yield from scans(inner)
