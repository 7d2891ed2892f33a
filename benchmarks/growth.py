"""How the time of each statement grows with the tables: 100 to 1,000 accounts (``--full``: 10,000).

``make bench-growth``. An embedded Postgres of its own is filled with synthetic rows
(:mod:`benchmarks.growth_data`), and every statement of the package runs on it
(:mod:`benchmarks.growth_statements`); then the same database is extended to the next size. What is
due at present is the same in every size, so the time of a statement must not grow.

A time is the least of several runs at two moments, each in a transaction that is rolled back, as
its caller waits for it: planning and a round trip included. Times below :data:`FLOOR_MS` count as
that, since they are the round trip and its noise. At each size the plan is explained, too, with the
rows that each scan read.

Ends with 1 if a time grew by more than :data:`TARGET`, or if a scan read more than
:data:`MOST_ROWS` rows: each statement has a bound of its own below that. ``--only`` measures the
statements with this in their names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from benchmarks import growth_data, growth_statements, services
from benchmarks.growth_data import Size
from local.postgres import server
from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.growth_statements import Statement

    Connection = psycopg.Connection[dict[str, Any]]

SIZES = [Size(100, 10_000), Size(1_000, 100_000)]
FULL_SIZES = [*SIZES, Size(10_000, 1_000_000)]
TARGET = 1.5  # from the first size to the last
FLOOR_MS = 1.0
MOST_ROWS = 10_000
RUNS = 15
RUNS_BUDGET_S = 1.0  # for a statement that takes long, fewer runs
PASSES = 2  # over all statements, since other work of the machine disturbs all runs of a moment
SELECT_SIZES = """
    SELECT relname AS table, reltuples::bigint AS rows,
           pg_table_size(oid) AS bytes, pg_indexes_size(oid) AS index_bytes
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > 0
    ORDER BY pg_total_relation_size(oid) DESC
"""
SELECT_UNUSED_INDEXES = """
    SELECT indexrelname AS index, pg_relation_size(s.indexrelid) AS bytes
    FROM pg_stat_user_indexes AS s JOIN pg_index AS i USING (indexrelid)
    WHERE idx_scan = 0 AND NOT i.indisunique ORDER BY indexrelname
"""


@dataclass
class Measured:
    """What was measured of one statement, a value for each size."""

    name: str
    milliseconds: list[float] = field(default_factory=list)
    read_whole: set[str] = field(default_factory=set)

    @property
    def growth(self) -> float:
        """Return the growth from the first size to the last."""
        first, last = (max(ms, FLOOR_MS) for ms in (self.milliseconds[0], self.milliseconds[-1]))
        return last / first

    @property
    def fails(self) -> bool:
        """Return whether the statement grows, or reads a table whole."""
        return self.growth > TARGET or bool(self.read_whole)


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="10,000 accounts and a million jobs")
    parser.add_argument("--only", default="", help="a part of the names of statements")
    options = parser.parse_args()
    sizes = FULL_SIZES if options.full else SIZES
    chosen = [s for s in growth_statements.measured() if options.only in s.name]
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with EmbeddedPostgres(folder / "postgres", durable=False, ends_with_us=True) as postgres:
            upgrade(postgres.url)
            # A superuser's, whose statements have no foreign keys to check while rows are made.
            url = postgres._url(server.SUPERUSER, server.DATABASE)
            with psycopg.connect(
                url, autocommit=True, prepare_threshold=None, row_factory=dict_row
            ) as connection:
                figures = measure(connection, sizes, chosen)
                print_tables(connection, sizes[-1])
    sys.exit(0 if report(figures, sizes) else 1)


def measure(
    connection: Connection, sizes: Sequence[Size], chosen: Sequence[Statement]
) -> list[Measured]:
    """Fill the database to each size and measure the statements there."""
    figures = [Measured(statement.name) for statement in chosen]
    before = Size(0, 0)
    for size in sizes:
        began = time.monotonic()
        growth_data.fill(connection, before, size, partial(_tell, f"{size}: "))
        _tell(f"{size}: filled in {time.monotonic() - began:.0f} s\n")
        before = size
        rows = connection.execute(SELECT_SIZES).fetchall()
        large = {row["table"] for row in rows if row["rows"] > MOST_ROWS}
        for statement, measured in zip(chosen, figures, strict=True):
            measured.read_whole |= read_whole(connection, statement, large)
            measured.milliseconds.append(float("inf"))
        for _ in range(PASSES):
            for statement, measured in zip(chosen, figures, strict=True):
                _tell(f"{size}: {statement.name}")
                took = time_of(connection, statement)
                measured.milliseconds[-1] = min(took, measured.milliseconds[-1])
        _tell("")
    return figures


def time_of(connection: Connection, statement: Statement) -> float:
    """Return the milliseconds of a statement."""
    values = statement.values()
    least, ends = float("inf"), time.perf_counter() + RUNS_BUDGET_S
    for _ in range(RUNS):
        with connection.transaction(force_rollback=True):
            began = time.perf_counter()
            connection.execute(statement.text, values)
            least = min(least, (time.perf_counter() - began) * 1000)
        if time.perf_counter() > ends:
            break
    return least


def read_whole(connection: Connection, statement: Statement, large: set[str]) -> set[str]:
    """Return the scans of a statement that read more than :data:`MOST_ROWS` rows of a table that is
    *large*; a smaller one may be read by several loops."""
    with connection.transaction(force_rollback=True):
        row = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}", statement.values()
        ).fetchone()
    assert row is not None
    plan = row["QUERY PLAN"][0]["Plan"]
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


def print_tables(connection: Connection, size: Size) -> None:
    """Print the bytes of a row of each table, and the indexes that no statement used."""
    print(f"{size}; tables:")
    for row in connection.execute(SELECT_SIZES).fetchall():
        bytes_a_row, index_bytes = row["bytes"] / row["rows"], row["index_bytes"] / row["rows"]
        print(
            f"  {row['table']:22} {row['rows']:>10,} rows  {bytes_a_row:6,.0f} bytes a row"
            f" + {index_bytes:4,.0f} of indexes"
        )
    unused = [row["index"] for row in connection.execute(SELECT_UNUSED_INDEXES).fetchall()]
    print(f"Indexes that no statement used: {', '.join(unused) or 'none'}")


def report(figures: Sequence[Measured], sizes: Sequence[Size]) -> bool:
    """Print the table of statements; return whether all meet the targets."""
    print(f"ms at {' / '.join(map(str, sizes))}, and growth (times below {FLOOR_MS} ms count so):")
    for measured in figures:
        times = "  ".join(f"{ms:8.2f}" for ms in measured.milliseconds)
        failed = "  FAILED" if measured.fails else ""
        print(f"  {measured.name:75} {times}  x {measured.growth:4.2f}{failed}")
        for scan in sorted(measured.read_whole):
            print(f"    reads {scan}")
    slower = sum(measured.growth > TARGET for measured in figures)
    whole = sum(bool(measured.read_whole) for measured in figures)
    print(
        f"{len(figures)} statements; {slower} grow by more than {TARGET}, {whole} read more than "
        f"{MOST_ROWS:,} rows: {'MISSED' if slower or whole else 'met'}"
    )
    return not slower and not whole


def _tell(*progress: str) -> None:
    print("\r\033[K", *progress, sep="", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
