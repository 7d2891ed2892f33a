"""*Database*: statements by total time, sizes of tables and indexes, locks, connections.

Statements come from ``pg_stat_statements`` where the server has it, else from the trail's spans of
the functions. Texts of other sessions' statements are not shown: they may hold values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from local.dashboard.page import Page
from local.dashboard.tables import Column, table
from local.dashboard.trail import finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.dashboard.system import System
    from local.dashboard.trail import Line

SELECT_STATEMENTS = """
    SELECT query AS statement, calls, total_exec_time AS total_ms, mean_exec_time AS mean_ms, rows
    FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND query !~* 'password' -- constants are left out, but not of ALTER ROLE
    ORDER BY total_exec_time DESC LIMIT 500
"""
SELECT_TABLES = """
    SELECT s.relname AS name, pg_total_relation_size(s.relid) AS total,
           pg_table_size(s.relid) AS heap, pg_indexes_size(s.relid) AS indexes,
           s.n_live_tup AS rows, s.n_dead_tup AS dead, s.seq_scan AS scans,
           coalesce(s.idx_scan, 0) AS index_scans
    FROM pg_stat_user_tables s
"""
SELECT_INDEXES = """
    SELECT indexrelname AS name, relname AS table, pg_relation_size(indexrelid) AS size,
           idx_scan AS scans, idx_tup_read AS rows
    FROM pg_stat_user_indexes
"""
SELECT_LOCKS = """
    SELECT l.pid, coalesce(c.relname, l.locktype) AS object, l.mode, l.granted,
           extract(epoch FROM now() - a.query_start)::float AS age,
           array_to_string(pg_blocking_pids(l.pid), ', ') AS blocked_by
    FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.pid <> pg_backend_pid() AND l.locktype <> 'virtualxid'
"""
SELECT_CONNECTIONS = """
    SELECT pid, coalesce(application_name, '') AS application, coalesce(state, '–') AS state,
           coalesce(wait_event, '') AS waits_for,
           extract(epoch FROM now() - backend_start)::float AS age,
           extract(epoch FROM now() - xact_start)::float AS transaction
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SELECT_SUMMARY = """
    SELECT pg_database_size(current_database()) AS size,
           current_setting('server_version') AS version,
           current_setting('max_connections')::int AS max_connections,
           (SELECT version_num FROM alembic_version_core) AS revision,
           xact_commit AS commits, xact_rollback AS rollbacks, deadlocks,
           blks_hit::float / nullif(blks_hit + blks_read, 0) AS hit_share
    FROM pg_stat_database WHERE datname = current_database()
"""
STATEMENTS = (
    Column("statement", "Statement", "code"),
    Column("calls", "Calls", "int"),
    Column("total_ms", "Total", "ms"),
    Column("mean_ms", "Mean", "ms"),
    Column("rows", "Rows", "int"),
)
TABLES = (
    Column("name", "Table"),
    Column("rows", "Rows", "int"),
    Column("dead", "Dead", "int"),
    Column("total", "Size", "bytes"),
    Column("heap", "Table", "bytes"),
    Column("indexes", "Indexes", "bytes"),
    Column("scans", "Full scans", "int"),
    Column("index_scans", "Index scans", "int"),
)
INDEXES = (
    Column("name", "Index"),
    Column("table", "Table"),
    Column("size", "Size", "bytes"),
    Column("scans", "Scans", "int"),
    Column("rows", "Rows read", "int"),
)
LOCKS = (
    Column("pid", "Process", "int"),
    Column("object", "Object"),
    Column("mode", "Mode"),
    Column("granted", "Granted", "badge"),
    Column("blocked_by", "Blocked by"),
    Column("age", "Age", "age"),
)
CONNECTIONS = (
    Column("pid", "Process", "int"),
    Column("application", "Application"),
    Column("state", "State", "badge"),
    Column("waits_for", "Waits for"),
    Column("age", "Age", "age"),
    Column("transaction", "In transaction", "age"),
)


async def read(system: System, query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the values of the template. Raises ``psycopg.Error``."""
    found = await system.select_each(
        {
            "summary": (SELECT_SUMMARY, None),
            "tables": (SELECT_TABLES, None),
            "indexes": (SELECT_INDEXES, None),
            "locks": (SELECT_LOCKS, None),
            "connections": (SELECT_CONNECTIONS, None),
        }
    )
    statements = await _read_statements(system)
    from_server = statements is not None
    if statements is None:
        statements = count_spans(system.trail.spans)
    for lock in found["locks"]:
        lock["granted"] = "granted" if lock["granted"] else "waits"
    return {
        "summary": found["summary"][0],
        "from_server": from_server,
        "connections_count": len(found["connections"]),
        "tables": [
            table(
                "statements",
                "Statements",
                STATEMENTS,
                statements,
                query,
                sort="-total_ms",
                empty="No spans of SQL among the lines that were read.",
            ),
            table("tables", "Tables", TABLES, found["tables"], query, sort="-total"),
            table("indexes", "Indexes", INDEXES, found["indexes"], query, sort="-size"),
            table("locks", "Locks", LOCKS, found["locks"], query, sort="-age", empty="None."),
            table(
                "connections", "Connections", CONNECTIONS, found["connections"], query, sort="pid"
            ),
        ],
    }


async def _read_statements(system: System) -> list[dict[str, Any]] | None:
    """Return the statements that the server counts; ``None`` if it has no such extension, or has
    it without loading it, or an old one (before Postgres 13) with other columns."""
    try:
        return await system.select(SELECT_STATEMENTS)
    except (psycopg.ProgrammingError, errors.ObjectNotInPrerequisiteState):
        return None


def count_spans(spans: Iterable[Line]) -> list[dict[str, Any]]:
    """Return calls, time and rows of each statement of the trail's spans."""
    counted: dict[str, dict[str, Any]] = {}
    for line in spans:
        if line.data.get("kind") != "sql":
            continue
        statement = " ".join(str(line.data.get("operation", "")).split())
        row = counted.setdefault(
            statement, {"statement": statement, "calls": 0, "total_ms": 0.0, "rows": 0}
        )
        row["calls"] += 1
        row["total_ms"] += finite(line.data.get("ms")) or 0.0
        row["rows"] += int(finite(line.data.get("rows")) or 0)
    return [row | {"mean_ms": row["total_ms"] / row["calls"]} for row in counted.values()]


PAGE = Page("database", "Database", "database.html", read)
