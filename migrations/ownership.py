"""Ownership: which tables and columns these migrations created, and which existed before.

The database is shared: the original application (Ecto) or the BFF may have created a table long
ago. A migration keeps what exists, and a downgrade leaves it in place; what a migration creates
carries a comment, and only that is dropped. The comment survives dump and restore.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from alembic import context, op
from sqlalchemy import text

from migrations.upgrade import MigrationRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MADE = "made by ullgetthejob-core"
logger = logging.getLogger("migrations")


class Column(NamedTuple):
    """A column as in the catalog: ``default`` is SQL, ``type`` the text of ``format_type``."""

    table: str
    name: str
    type: str
    not_null: bool
    default: str | None


def existing_tables(tables: Collection[str]) -> list[str]:
    """Return those of *tables* that exist."""
    query = text(
        "SELECT name FROM unnest(CAST(:tables AS text[])) name WHERE to_regclass(name) IS NOT NULL"
    )
    return list(op.get_bind().scalars(query, {"tables": list(tables)}))


def mark_table(table: str) -> None:
    """Mark *table* as created by a migration."""
    op.execute(f"COMMENT ON TABLE {table} IS '{MADE}'")


def is_marked_table(table: str) -> bool:
    """Return whether a migration created *table*."""
    query = text("SELECT obj_description(to_regclass(:table), 'pg_class')")
    return bool(op.get_bind().scalar(query, {"table": table}) == MADE)


def add_column(table: str, name: str, definition: str) -> None:
    """Add a column and mark it as created by a migration; an existing column is left unchanged."""
    if name not in {column.name for column in columns([table])}:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")
        op.execute(f"COMMENT ON COLUMN {table}.{name} IS '{MADE}'")


def drop_column(table: str, name: str) -> None:
    """Drop a column that :func:`add_column` created; keep any other."""
    if column_comment(table, name) == MADE:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def column_comment(table: str, name: str) -> str | None:
    """Return the comment on a column, or ``None``."""
    query = text(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = to_regclass(:table) AND attname = :name"
    )
    comment = op.get_bind().scalar(query, {"table": table, "name": name})
    return None if comment is None else str(comment)


def refuse_to_lose(rows: str, what: str) -> None:
    """Raise :class:`MigrationRefused` if *rows* (a ``FROM`` clause with ``WHERE``) has any, unless
    the downgrade was called with ``drop_data``."""
    count = op.get_bind().scalar(text(f"SELECT count(*) FROM {rows}"))  # noqa: S608 - our own text
    if count and not context.config.attributes["drop_data"]:
        raise MigrationRefused(
            f"the downgrade would lose {what} ({count} rows of: {rows}). Nothing was changed. "
            "To lose them anyway: make db-rollback DROP_DATA=1"
        )


def columns(tables: Collection[str], schema: str | None = None) -> list[Column]:
    """Return the columns of *tables*, in their order, in the schema of an unqualified name.

    *schema* names another schema, such as ``pg_temp_3``.
    """
    query = text(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
        "       pg_get_expr(d.adbin, d.adrelid) "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        "WHERE c.relname = ANY(CAST(:tables AS text[])) AND a.attnum > 0 AND NOT a.attisdropped "
        "AND c.oid = to_regclass(coalesce(CAST(:schema AS text) || '.', '') || c.relname) "
        "ORDER BY c.relname, a.attnum"
    )
    values = {"tables": list(tables), "schema": schema}
    return [Column(*row) for row in op.get_bind().execute(query, values)]


def adopt(tables: Mapping[str, str], old_types: Collection[tuple[str, str, str]]) -> list[str]:
    """Adopt those of *tables* (name to ``CREATE TABLE``) that exist; return their names.

    Add missing columns. Raise :class:`MigrationRefused` for a column of another type, except for
    the (table, column, type) in *old_types*. Log other differences and leave them.
    """
    adopted = existing_tables(tables)
    if not adopted:
        return []
    present = {(column.table, column.name): column for column in columns(adopted)}
    conflicts = []
    for wanted in _describe(tables):
        if wanted.table not in adopted:
            continue
        name = f"{wanted.table}.{wanted.name}"
        actual = present.get((wanted.table, wanted.name))
        if actual is None:
            default = f" DEFAULT {wanted.default}" if wanted.default else ""
            not_null = " NOT NULL" if wanted.not_null else ""
            add_column(wanted.table, wanted.name, f"{wanted.type}{default}{not_null}")
            logger.warning("added %s, which was missing", name)
        elif actual.type != wanted.type and (*actual[:2], actual.type) not in old_types:
            conflicts.append(f"{name} is {actual.type}, not {wanted.type}")
        elif actual != wanted:
            logger.warning("%s differs and is left unchanged: %s, not %s", name, actual, wanted)
    if conflicts:
        raise MigrationRefused(
            "tables of these names exist but are not the original's: " + "; ".join(conflicts)
        )
    logger.warning("adopted existing tables: %s", ", ".join(adopted))
    return adopted


def _describe(tables: Mapping[str, str]) -> list[Column]:
    """Return the columns that the ``CREATE TABLE`` statements declare: create temporary tables,
    read them from the catalog and drop them."""
    connection = op.get_bind()
    path = connection.scalar(text("SHOW search_path"))
    connection.execute(text("SET LOCAL search_path TO pg_temp"))
    for statement in tables.values():
        op.execute(statement)
    schema = connection.scalar(text("SELECT pg_my_temp_schema()::regnamespace::text"))
    described = columns(tables, schema)
    op.execute("DROP TABLE " + ", ".join(tables))
    connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})
    return described
