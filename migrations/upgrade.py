"""Bring a database to a revision of ``migrations/versions``. Used by the function ``migrator``,
``make db-…``, local runs and tests.

**All or nothing.** One transaction holds all revisions of a command: the database ends at the
wanted revision or stays where it was.

**One at a time.** The transaction takes an advisory lock first. (A lock on the version table is not
enough: the table does not exist at the first run.) The lock ends with the transaction. It pins a
connection of RDS Proxy until then, which is right for a migration; code that serves requests takes
no such lock.

**Never blocking others.** A statement that waits longer than ``lock_timeout_s`` for a table fails
the command: while it waits, all later statements on that table wait too. The role's own limits of
time, which are meant for requests, do not apply.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.command
import psycopg
import sqlalchemy
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from psycopg import errors

from ullgetthejob.platform.database_address import (
    SENTENCES,
    AddressUnreadable,
    cause_of,
    normalised,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION_TABLE = "alembic_version_core"  # schema_migrations is Ecto's, alembic_version the default
MIGRATORS_LOCK = 0x756C6C67  # "ullg"

# The role's limits are meant for requests. A version of Postgres may lack one of them.
LIFT_TIMEOUTS = """
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
        ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""
LOCK_TIMEOUT_S = 5.0
OTHER_MIGRATOR_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10


class MigrationError(RuntimeError):
    """A failed command that changed nothing. The message says why, without rows or passwords."""


class MigrationBlocked(MigrationError):
    """A command that waited too long for another session's lock. It is safe to try again later."""


class MigrationRefused(MigrationError):
    """A migration that would lose people's data, or that meets tables of an unexpected form."""


@dataclass(frozen=True)
class Migrated:
    """The result of a command: revision before and after (``None``: none), and those applied."""

    revision_before: str | None
    revision_after: str | None
    applied: tuple[str, ...]


def upgrade(
    conninfo: str, revision: str = "head", *, lock_timeout_s: float = LOCK_TIMEOUT_S
) -> Migrated:
    """Upgrade to *revision* (an id, ``head`` or relative such as ``+1``).

    *conninfo* is a libpq connection string: a URL or ``key=value`` pairs. Raises
    :class:`MigrationError`.
    """
    return _run(
        conninfo, lambda config: alembic.command.upgrade(config, revision), lock_timeout_s, False
    )


def downgrade(
    conninfo: str,
    revision: str,
    *,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    drop_data: bool = False,
) -> Migrated:
    """Downgrade to *revision* (an id, ``base`` or relative such as ``-1``).

    A migration that would lose people's data raises :class:`MigrationRefused` unless *drop_data*.
    """
    return _run(
        conninfo,
        lambda config: alembic.command.downgrade(config, revision),
        lock_timeout_s,
        drop_data,
    )


def current(conninfo: str) -> str | None:
    """Return the database's revision, or ``None`` if no migration was run on it."""
    conninfo = _normalise(conninfo)
    with _translate_errors(conninfo, 0), _engine(conninfo).connect() as connection:
        return _revision(connection)


def configuration() -> Config:
    """Return Alembic's settings. There is no alembic.ini: its command line would run without the
    lock."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def _run(
    conninfo: str, command: Callable[[Config], None], lock_timeout_s: float, drop_data: bool
) -> Migrated:
    applied: list[str] = []

    def record(*, step: Any, **_: Any) -> None:
        applied.append(step.up_revision_id)

    config = configuration()
    conninfo = _normalise(conninfo)
    with _translate_errors(conninfo, lock_timeout_s), _engine(conninfo).begin() as connection:
        connection.execute(sqlalchemy.text(LIFT_TIMEOUTS))
        _wait_for_other_migrators(connection)
        _set_lock_timeout(connection, lock_timeout_s)
        before = _revision(connection)
        config.attributes.update(
            connection=connection, on_version_apply=record, drop_data=drop_data
        )
        command(config)
        after = _revision(connection)
    return Migrated(before, after, tuple(applied))


def _normalise(conninfo: str) -> str:
    try:
        return normalised(conninfo)
    except AddressUnreadable as error:
        raise MigrationError(str(error)) from None


@lru_cache(maxsize=1)
def _engine(conninfo: str) -> sqlalchemy.Engine:
    """Return the engine of a database. It keeps neither connections nor compiled statements, but is
    itself kept: SQLAlchemy holds some KB of each engine for as long as the process runs."""

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(
            conninfo,
            prepare_threshold=None,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="ullgetthejob migrations",
        )

    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=sqlalchemy.NullPool,
        query_cache_size=0,
    )


def _revision(connection: sqlalchemy.Connection) -> str | None:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _set_lock_timeout(connection: sqlalchemy.Connection, seconds: float) -> None:
    setting = sqlalchemy.text("SELECT set_config('lock_timeout', :value, true)")
    connection.execute(setting, {"value": f"{round(seconds * 1000)}ms"})


def _wait_for_other_migrators(connection: sqlalchemy.Connection) -> None:
    _set_lock_timeout(connection, OTHER_MIGRATOR_TIMEOUT_S)
    try:
        connection.execute(
            sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATORS_LOCK}
        )
    except sqlalchemy.exc.OperationalError as error:
        if isinstance(error.orig, errors.LockNotAvailable):
            raise MigrationBlocked(
                f"another migration has been running for {OTHER_MIGRATOR_TIMEOUT_S:g} s"
            ) from error
        raise


@contextlib.contextmanager
def _translate_errors(conninfo: str, lock_timeout_s: float) -> Iterator[None]:
    """Translate errors of Alembic, SQLAlchemy and Postgres into :class:`MigrationError`."""
    try:
        yield
    except CommandError as error:
        raise MigrationError(str(error)) from error
    except sqlalchemy.exc.DBAPIError as error:
        cause = error.orig
        if isinstance(cause, errors.LockNotAvailable):
            raise MigrationBlocked(
                f"a table stayed locked by another session for {lock_timeout_s:g} s; nothing was "
                f"changed, try again later. Open transactions: {_list_transactions(conninfo)}"
            ) from error
        if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
            # libpq's own message may contain the whole address
            why = SENTENCES[cause_of(cause or error)]
            raise MigrationError(f"the database cannot be reached: {why}") from None
        # the message's details may quote rows
        raise MigrationError(f"{cause.diag.message_primary}; nothing was changed") from error


def _list_transactions(conninfo: str) -> str:
    """Return the open transactions, longest first; without queries, which contain people's data."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT pid, application_name, state FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 5"
        ).fetchall()
        return "; ".join(
            f"process {pid} ({name or 'no name'}, {state})" for pid, name, state in rows
        )
    return "unknown"
