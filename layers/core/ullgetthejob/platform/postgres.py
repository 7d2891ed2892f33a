"""Postgres: one connection an environment, opened when first needed.

Prepared statements are off, and nothing here uses temporary tables, advisory locks or ``SET``
at all: each of them pins a connection of RDS Proxy (psycopg issue 1105). Limits on statements
belong to the database role (README, Deploy). psycopg itself is imported when a connection is
wanted: it costs ~90 ms.
"""

from __future__ import annotations

import json
import select
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import secrets, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import psycopg

CONNECT_TIMEOUT_S = 3
TCP_USER_TIMEOUT_MS = 10_000

_connection: psycopg.Connection[dict[str, Any]] | None = None


class DatabaseUnavailable(Unavailable):
    """Postgres cannot be reached, or broke off in the middle."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("the database is not available at the moment", retry_after_s=5)


def conninfo() -> str:
    """The libpq connection string of ``DATABASE_URL``.

    Its value is a URL or a libpq string; a secret in RDS's shape (``host, port, username, password,
    dbname``) becomes one, with TLS verified in full.
    """
    value = secrets.read("DATABASE_URL")
    if value is None:
        raise settings.SettingMissing("DATABASE_URL")
    if not value.lstrip().startswith("{"):
        return value
    from psycopg.conninfo import make_conninfo

    rds = json.loads(value)
    return make_conninfo(
        host=rds["host"],
        port=rds.get("port", 5432),
        user=rds["username"],
        password=rds["password"],
        dbname=rds.get("dbname", "ullgetthejob"),
        sslmode="verify-full",
        sslrootcert=_root_certificates(),
    )


def _root_certificates() -> str:
    path = settings.text("DATABASE_TLS_ROOT_CERTIFICATES", "public")
    if path != "public":
        return path
    import certifi

    return certifi.where()


@cache
def connection_class() -> type[psycopg.Connection[dict[str, Any]]]:
    """psycopg's connection, which also does what waits for a commit: see :func:`after_commit`."""
    import psycopg
    from psycopg.pq import TransactionStatus

    class Connection(psycopg.Connection[dict[str, Any]]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.waiting: dict[Hashable, Callable[[], None]] = {}

        @property
        def in_transaction(self) -> bool:
            return self.info.transaction_status is not TransactionStatus.IDLE

        @contextmanager
        def transaction(self, *arguments: Any, **named: Any) -> Iterator[psycopg.Transaction]:
            try:
                with super().transaction(*arguments, **named) as transaction:
                    yield transaction
            except BaseException:
                if not self.in_transaction:
                    self.waiting.clear()
                raise
            if not self.in_transaction:
                waiting, self.waiting = self.waiting, {}
                for call in waiting.values():
                    call()

    return Connection


def after_commit(
    connection: psycopg.Connection[dict[str, Any]], key: Hashable, call: Callable[[], None]
) -> None:
    """Let *call* wait for the end of the transaction that *connection* is in, and forget it if that
    fails. Of several with one *key* only the last is called; outside of a transaction, at once.
    """
    if getattr(connection, "in_transaction", False):
        connection.waiting[key] = call  # type: ignore[attr-defined]
    else:
        call()


def connection() -> psycopg.Connection[dict[str, Any]]:
    """The environment's connection (autocommit; rows are dicts), opened anew if it was lost.

    Raises :class:`DatabaseUnavailable`.
    """
    global _connection
    import psycopg
    from psycopg.rows import dict_row

    if _connection is not None and _lost(_connection):
        _connection.close()
        _connection = None
    if _connection is None:
        try:
            _connection = connection_class().connect(
                conninfo(),
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                tcp_user_timeout=TCP_USER_TIMEOUT_MS,
                row_factory=dict_row,
            )
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable from error
    return _connection


def _lost(kept: psycopg.Connection[dict[str, Any]]) -> bool:
    """Whether the server hung up while the environment was frozen: no round trip, a look at the
    socket. An idle connection has nothing to read; if it has, it is the end, or a last message."""
    if kept.closed or kept.broken:
        return True
    return bool(select.select([kept.fileno()], [], [], 0)[0])


@contextmanager
def session() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The environment's connection for one piece of work; statements commit by themselves.

    Raises :class:`DatabaseUnavailable` when it cannot be had, or fails for a reason that passes
    (it breaks, a deadlock, a limit on time): what was committed stays, the rest can be repeated.
    """
    import psycopg

    try:
        yield connection()
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseUnavailable from error


def close() -> None:
    """Close the environment's connection; the next use opens another."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None
