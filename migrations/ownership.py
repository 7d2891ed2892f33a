"""Which tables and columns these migrations made, and which they found.

The database is shared: the original (Ecto) or the BFF may have made a table long ago. What a
migration finds it keeps, and a downgrade leaves it; what it makes carries a comment, and only that
is dropped. The comment survives dump and restore.
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
    """A column as the catalog tells it: ``default`` is SQL, ``type`` as ``format_type`` prints."""

    table: str
    name: str
    type: str
    not_null: bool
    default: str | None


def found(tables: Collection[str]) -> list[str]:
    """Those of *tables* that exist."""
    query = text(
        "SELECT name FROM unnest(CAST(:tables AS text[])) name WHERE to_regclass(name) IS NOT NULL"
    )
    return list(op.get_bind().scalars(query, {"tables": list(tables)}))


def mark_table(table: str) -> None:
    """Note that a migration made *table*."""
    op.execute(f"COMMENT ON TABLE {table} IS '{MADE}'")


def made_table(table: str) -> bool:
    """Whether a migration made *table*."""
    query = text("SELECT obj_description(to_regclass(:table), 'pg_class')")
    return bool(op.get_bind().scalar(query, {"table": table}) == MADE)


def add_column(table: str, name: str, definition: str) -> None:
    """Add a column and note that a migration made it; one that exists stays as it is."""
    if name not in {column.name for column in columns([table])}:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")
        op.execute(f"COMMENT ON COLUMN {table}.{name} IS '{MADE}'")


def drop_column(table: str, name: str) -> None:
    """Drop a column that :func:`add_column` made; any other stays."""
    if column_comment(table, name) == MADE:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def column_comment(table: str, name: str) -> str | None:
    """The comment on a column."""
    query = text(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = to_regclass(:table) AND attname = :name"
    )
    comment = op.get_bind().scalar(query, {"table": table, "name": name})
    return None if comment is None else str(comment)


def refuse_to_lose(rows: str, what: str) -> None:
    """Raise :class:`MigrationRefused` if *rows* (``FROM`` and ``WHERE``) has any, unless the caller
    of the downgrade said ``drop_data``."""
    count = op.get_bind().scalar(text(f"SELECT count(*) FROM {rows}"))  # noqa: S608 - our own text
    if count and not context.config.attributes["drop_data"]:
        raise MigrationRefused(
            f"the downgrade would lose {what} ({count} rows of: {rows}). Nothing was changed. "
            "If that is what you want, say so: make db-rollback DROP_DATA=1"
        )


def columns(tables: Collection[str], schema: str | None = None) -> list[Column]:
    """The columns of *tables*, in their order; by default of those that an unqualified name means.

    *schema* names another, such as ``pg_temp_3``.
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
    """Take over those of *tables* (name to ``CREATE TABLE``) that exist; return their names.

    Columns that are missing are added. A column of another type raises :class:`MigrationRefused`,
    except the (table, column, type) in *old_types*. Other differences are logged and stay.
    """
    adopted = found(tables)
    if not adopted:
        return []
    present = {(column.table, column.name): column for column in columns(adopted)}
    conflicts = []
    for wanted in _described(tables):
        if wanted.table not in adopted:
            continue
        name = f"{wanted.table}.{wanted.name}"
        have = present.get((wanted.table, wanted.name))
        if have is None:
            default = f" DEFAULT {wanted.default}" if wanted.default else ""
            not_null = " NOT NULL" if wanted.not_null else ""
            add_column(wanted.table, wanted.name, f"{wanted.type}{default}{not_null}")
            logger.warning("added %s, which was missing", name)
        elif have.type != wanted.type and (*have[:2], have.type) not in old_types:
            conflicts.append(f"{name} is {have.type}, not {wanted.type}")
        elif have != wanted:
            logger.warning("%s differs and stays as it is: %s, not %s", name, have, wanted)
    if conflicts:
        raise MigrationRefused(
            "tables of these names exist but are not the original's: " + "; ".join(conflicts)
        )
    logger.warning("adopted the tables that were there: %s", ", ".join(adopted))
    return adopted


def _described(tables: Mapping[str, str]) -> list[Column]:
    """What the ``CREATE TABLE`` statements say, told by Postgres: made as temporary tables, read
    from the catalog and dropped."""
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
