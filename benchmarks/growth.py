"""How statements and endpoints grow with the tables: 100 to 1,000 accounts (``--full``: 10,000).

``make bench-growth``. An embedded Postgres of its own is filled with synthetic rows
(:mod:`benchmarks.growth_data`); every statement of the package runs on it
(:mod:`benchmarks.growth_statements`), and the handler of every endpoint
(:mod:`benchmarks.growth_endpoints`); then the same database is extended to the next size. What is
due at present is the same in every size, so what a statement or an endpoint takes must not grow.

Printed are, at each size, the milliseconds and the buffers of one execution or one call
(:mod:`benchmarks.growth_figures`): of a statement the server's own time, of an endpoint the time of
its handler, both medians of several runs at two moments, of which the lesser counts, since other
work of the machine disturbs all runs of a moment. What seems to grow is measured again.

Ends with 1 if the time of one grew by more than :data:`TARGET` or its buffers by more than
:data:`TARGET_BUFFERS`, if a scan read more than :data:`MOST_ROWS`
rows (each statement has a bound of its own below that), or if an endpoint was not answered.
``--only`` measures those with this in their names.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from benchmarks import growth_data, growth_endpoints, growth_statements, progress, services
from benchmarks.growth_data import Size
from benchmarks.growth_endpoints import Endpoints
from benchmarks.growth_figures import (
    FLOOR_BUFFERS,
    FLOOR_MS,
    MOST_ROWS,
    TARGET,
    TARGET_BUFFERS,
    Measured,
    explain,
)
from local.postgres import server
from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Connection = psycopg.Connection[dict[str, Any]]

SIZES = [Size(100, 10_000), Size(1_000, 100_000)]
FULL_SIZES = [*SIZES, Size(10_000, 1_000_000)]
RUNS = 9
PASSES = 2
MORE_PASSES = 3  # of what seems to grow
# Of a database that nothing else uses, and that a crash may destroy.
FILL_SETTINGS = ("max_wal_size = '16GB'", "checkpoint_timeout = '1h'", "autovacuum = off")
SELECT_INDEXES = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
    FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = 'public'::regnamespace AND NOT indisunique
"""
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


def main() -> None:
    """Run the benchmark and print the results."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="10,000 accounts and a million jobs")
    parser.add_argument("--only", default="", help="a part of the names of statements")
    options = parser.parse_args()
    sizes = FULL_SIZES if options.full else SIZES
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        with EmbeddedPostgres(folder / "postgres", durable=False, ends_with_us=True) as postgres:
            upgrade(postgres.url)
            # A superuser's, whose statements have no foreign keys to check while rows are made.
            url = postgres._url(server.SUPERUSER, server.DATABASE)
            with (
                psycopg.connect(
                    url, autocommit=True, prepare_threshold=None, row_factory=dict_row
                ) as connection,
                services.running(folder / "data", DATABASE_URL=postgres.url) as environments,
                contextlib.closing(Endpoints(environments, connection)) as endpoints,
            ):
                measured = measure(connection, endpoints, sizes, options.only)
                print_tables(connection, sizes[-1])
    sys.exit(0 if report(measured, sizes) else 1)


def measure(
    connection: Connection, endpoints: Endpoints, sizes: Sequence[Size], only: str
) -> list[Measured]:
    """Fill the database to each size, and measure the statements and the endpoints there."""
    large: set[str] = set()
    subjects = [
        subject for subject in _subjects(connection, endpoints, large) if only in subject.name
    ]
    before = Size(0, 0)
    for size in sizes:
        began = time.monotonic()
        with _without_indexes(connection):
            growth_data.fill(connection, before, size, partial(_show_table, size))
        progress.clear()
        print(f"{size}: filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
        if before == Size(0, 0):
            endpoints.connect_person()
        before = size
        rows = connection.execute(SELECT_SIZES).fetchall()
        large.update(row["table"] for row in rows if row["rows"] > MOST_ROWS)
        for subject in subjects:
            subject.begin_size()
        for _ in range(PASSES):
            _measure_each(subjects, size, connection)
        for _ in range(MORE_PASSES if size == sizes[-1] else 0):
            _measure_each([subject for subject in subjects if subject.grows], size, connection)
    progress.clear()
    return subjects


@contextlib.contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Drop all indexes that nothing depends on, and create them again afterwards: an index is built
    at once many times as fast as row by row."""
    for settings in FILL_SETTINGS:
        connection.execute(f"ALTER SYSTEM SET {settings}")
    connection.execute("SELECT pg_reload_conf()")
    indexes = connection.execute(SELECT_INDEXES).fetchall()
    for index in indexes:
        connection.execute(f"DROP INDEX {index['name']}")
    yield
    connection.execute("SET maintenance_work_mem = '256MB'")
    for index in indexes:
        progress.show(f"index {index['name']}")
        connection.execute(index["definition"])


def _subjects(connection: Connection, endpoints: Endpoints, large: set[str]) -> Iterator[Measured]:
    """Yield the statements and the endpoints. *large*: the tables that none may read whole."""
    for statement in growth_statements.measured():
        run = partial(explain, connection, statement, runs=RUNS, large=large)
        yield Measured(statement.name, run)
    for sample in growth_endpoints.samples():
        yield Measured(f"endpoint {sample}", partial(endpoints.measure, sample))


def _measure_each(subjects: Sequence[Measured], size: Size, connection: Connection) -> None:
    for subject in subjects:
        progress.show(f"{size}: {subject.name}")
        subject.measure()
    connection.execute("VACUUM ANALYZE")  # what was rolled back is no part of the next pass


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


def report(measured: Sequence[Measured], sizes: Sequence[Size]) -> bool:
    """Print the table of what was measured; return whether all meets the target."""
    print(
        f"ms and buffers at {' / '.join(map(str, sizes))}, and the growth of each"
        f" (below {FLOOR_MS} ms or {FLOOR_BUFFERS} buffers counts so):"
    )
    for subject in measured:
        times = " ".join(f"{figure.milliseconds:8.2f}" for figure in subject.figures)
        buffers = " ".join(f"{figure.buffers:8,.0f}" for figure in subject.figures)
        failed = "  FAILED" if subject.fails else ""
        print(
            f"  {subject.name:75} {times} x {subject.growth_ms:4.2f}"
            f" {buffers} x {subject.growth_buffers:4.2f}{failed}"
        )
        for scan in sorted(subject.read_whole):
            print(f"    reads {scan}")
        for failure in sorted(subject.failures):
            print(f"    {failure}")
    grow = sum(subject.grows for subject in measured)
    whole = sum(bool(subject.read_whole) for subject in measured)
    unanswered = sum(bool(subject.failures) for subject in measured)
    met = not grow and not whole and not unanswered
    print(
        f"{len(measured)} statements and endpoints; {grow} grow by more than {TARGET} (time)"
        f" or {TARGET_BUFFERS} (buffers), {whole} read"
        f" more than {MOST_ROWS:,} rows, {unanswered} were not answered as expected:"
        f" {'met' if met else 'MISSED'}"
    )
    return met


def _show_table(size: Size, table: str) -> None:
    progress.show(f"{size}: {table}")


if __name__ == "__main__":
    main()
