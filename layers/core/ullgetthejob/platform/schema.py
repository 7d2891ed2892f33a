"""The revision of the schema: the one that this code needs, and the one that the database has.

Code runs on the schema that it needs and on newer ones: migrations run before the functions change,
and stay when the functions are rolled back (docs/decisions/0009-schema-first.md). On an older one
it is not ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ullgetthejob.platform.postgres import Connection

REVISION = "0033"  # the newest of migrations/versions; "make db-checksums" writes it
SELECT_TABLE = "SELECT to_regclass('alembic_version_core') IS NOT NULL AS is_there"
SELECT_REVISION = "SELECT version_num FROM alembic_version_core"


def read_revision(connection: Connection) -> str | None:
    """Return the database's revision; ``None`` if no migration was run on it."""
    table = connection.execute(SELECT_TABLE).fetchone()
    if table is None or not table["is_there"]:
        return None
    row = connection.execute(SELECT_REVISION).fetchone()
    return str(row["version_num"]) if row else None


def is_new_enough(revision: str | None) -> bool:
    """Return whether this code can run on *revision*: revisions are numbers of four digits."""
    return revision is not None and revision >= REVISION
