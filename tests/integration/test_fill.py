"""``make db-fill``: synthetic rows beside which a running cloud stays at rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from benchmarks import fill
from benchmarks.growth_data import APPLICATIONS, TABLES, Size
from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade

if TYPE_CHECKING:
    from pathlib import Path

# The columns by which a sweep, a fetcher or a publisher finds work.
DUE = (
    "SELECT FROM application_ledger WHERE due_at <= %(soon)s OR expires_at <= %(soon)s",
    "SELECT FROM accounts WHERE negotiations_due_at <= %(soon)s OR last_event_seq > broadcast_seq",
    "SELECT FROM search_queries WHERE due_at <= %(soon)s",
    "SELECT FROM saved_searches WHERE next_run_at <= %(soon)s OR run_id IS NOT NULL",
    "SELECT FROM fetch_runs WHERE state = 'running'",
    "SELECT FROM public_feed WHERE state = 'waiting'",
    "SELECT FROM application_queue WHERE status = 'pending'",
    "SELECT FROM applications WHERE status IS DISTINCT FROM projected_status",
    "SELECT FROM jobs WHERE detail IS NULL AND closed_at IS NULL",
)
NOT_TABLES = {"wide_query", "wide_matches", "wide_last_match"}


def test_filled_database_has_rows_of_every_kind_and_nothing_due(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # Postgres's own user must be able to enter it
    soon = {"soon": datetime.now(UTC) + timedelta(days=28)}
    with EmbeddedPostgres(tmp_path / "postgres", durable=False, ends_with_us=True) as postgres:
        upgrade(postgres.url)
        fill.fill(tmp_path, Size(10, 1_000))
        connection: psycopg.Connection[dict[str, Any]]
        with psycopg.connect(postgres.url, row_factory=dict_row) as connection:

            def count(table: str) -> int:
                row = connection.execute(f"SELECT count(*) AS rows FROM {table}").fetchone()
                assert row is not None
                return int(row["rows"])

            assert [table for table in TABLES.keys() - NOT_TABLES if not count(table)] == []
            assert (count("accounts"), count("jobs")) == (10, 1_000)
            assert count("application_ledger") == 10 * APPLICATIONS
            for statement in DUE:
                assert connection.execute(statement, soon).rowcount == 0, statement
        with pytest.raises(fill.FilledAlready, match="make db-reset"):
            fill.fill(tmp_path, Size(10, 1_000))
