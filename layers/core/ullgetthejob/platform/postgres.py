"""Postgres: one connection per environment, opened when first needed.

Prepared statements are off, and nothing here uses temporary tables, advisory locks or ``SET``
at all: each of them pins a connection of RDS Proxy (psycopg issue 1105). Limits on statements
belong to the database role (README, Deploy). psycopg itself is imported with the first connection:
it costs ~90 ms.

Every wait for the server has a deadline on this side: no TCP timeout detects a server that hangs
but acknowledges packets. After the deadline the connection is closed, since it is unknown what the
server still does on it.
"""

from __future__ import annotations

import select
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import secrets, settings, telemetry, tracing
from ullgetthejob.platform.database_address import (
    AddressUnreadable,
    KeyMissing,
    Stated,
    cause_of,
    conninfo_of_secret,
    is_json,
    normalised,
)
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager

    import psycopg

    # As all rooms use it; the name exists for their annotations alone.
    Connection = psycopg.Connection[dict[str, Any]]

CONNECT_TIMEOUT_S = 3
TCP_USER_TIMEOUT_MS = 10_000
# Longer than the role's statement_timeout (README: 10 s), so that the server ends a statement that
# is only slow; while a request is served the wait is shorter than the function's timeout.
STATEMENT_DEADLINE_S = 12.0
REQUEST_DEADLINE_S = 5.0
HEALTH_DEADLINE_S = 3.0
SELECT_IS_WRITABLE = """
    SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
        AS is_writable
"""
# SQLSTATEs after which the connection is unusable: an invalid transaction state (25006: the server
# is read-only, as after a failover), shutdown or startup (57P0x), resources (53), the connection
# itself (08), authentication (28), the server's own failures (58, XX).
UNUSABLE_CLASSES = ("08", "25", "28", "3D", "53", "58", "XX")
UNUSABLE_STATES = ("57P01", "57P02", "57P03", "57P04", "57P05")

_connection: Connection | None = None
_deadline_s = STATEMENT_DEADLINE_S


class DatabaseUnavailable(Unavailable):
    """Postgres cannot be reached, or the connection broke during the work."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("the database is not available at the moment", retry_after_s=5)


def conninfo() -> str:
    """Return the libpq connection string of ``DATABASE_URL``.

    Its value is a URL or a libpq string, or a secret in RDS's format (``host, port, username,
    password, dbname``); ``DATABASE_HOST``, ``DATABASE_PORT`` and ``DATABASE_NAME`` precede it. TLS
    is fully verified, except for a URL that is no secret: those are local runs. Raises
    :class:`DatabaseUnavailable`, :class:`~ullgetthejob.platform.settings.SettingMissing`.
    """
    return _conninfo_of(secrets.require(settings.DATABASE_URL))


def _conninfo_of(value: str) -> str:
    try:
        if not (is_json(value) or secrets.is_reference(settings.DATABASE_URL)):
            return normalised(value)
        return conninfo_of_secret(value, _stated())
    except KeyMissing as error:
        raise secrets.wrong_shape(settings.DATABASE_URL.name, error.key) from None
    except AddressUnreadable as error:
        logger.error(str(error))
        raise DatabaseUnavailable from None


def _stated() -> Stated:
    return Stated(
        settings.DATABASE_TLS_ROOT_CERTIFICATES(),
        settings.DATABASE_HOST(),
        str(settings.DATABASE_PORT() or ""),
        settings.DATABASE_NAME(),
    )


@cache
def _cursor_class() -> type[psycopg.Cursor[dict[str, Any]]]:
    """Return a subclass of psycopg's cursor whose statements are spans."""
    import psycopg

    class Cursor(psycopg.Cursor[dict[str, Any]]):
        def execute(self, query: Any, *arguments: Any, **named: Any) -> Any:
            with tracing.span("sql", _name_of(query)) as span:
                super().execute(query, *arguments, **named)
                span.note(rows=self.rowcount)
            return self

        def executemany(self, query: Any, *arguments: Any, **named: Any) -> None:
            with tracing.span("sql", _name_of(query)) as span:
                super().executemany(query, *arguments, **named)
                span.note(rows=self.rowcount)

    return Cursor


@cache
def connection_class() -> type[Connection]:
    """Return a subclass of psycopg's connection that runs callbacks: see :func:`after_commit`."""
    import psycopg
    from psycopg.pq import TransactionStatus

    class Connection(psycopg.Connection[dict[str, Any]]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.cursor_factory = _cursor_class()
            self.callbacks: dict[Hashable, Callable[[], None]] = {}

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, _deadline_s if timeout is None else timeout)
            except psycopg.errors._WaitTimeout as error:
                self.pgconn.finish()  # not close(): that could wait, too
                raise psycopg.OperationalError("the server did not answer in time") from error

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
                    self.callbacks.clear()
                raise
            if not self.in_transaction:
                callbacks, self.callbacks = self.callbacks, {}
                for callback in callbacks.values():
                    callback()

    return Connection


def _name_of(query: Any) -> str:
    """Return a statement, with its placeholders."""
    return query if isinstance(query, str) else "a composed statement"


def after_commit(connection: Connection, key: Hashable, callback: Callable[[], None]) -> None:
    """Call *callback* after the current transaction of *connection* has committed, and not at all
    if it fails. Of several with the same *key* only the last is called. Outside of a transaction
    *callback* is called at once.
    """
    if getattr(connection, "in_transaction", False):
        connection.callbacks[key] = callback  # type: ignore[attr-defined]
    else:
        callback()


def atomic(
    connection: Connection,
) -> AbstractContextManager[psycopg.Transaction | None]:
    """Return a transaction, or, within one, nothing that would cost another round trip: what fails
    in the block fails all of it."""
    if getattr(connection, "in_transaction", False):
        return nullcontext()
    return connection.transaction()


def log_transition(
    connection: Connection,
    subject: str,
    before: str | None,
    after: str,
    **ids: Any,
) -> None:
    """Log a change of state (:func:`telemetry.log_transition`) once the current transaction of
    *connection* has committed, as a part of the trace in which it was made."""
    current = tracing.position()
    trace_id = current.trace_id if current else None
    log = partial(telemetry.log_transition, subject, before, after, trace_id=trace_id, **ids)
    after_commit(connection, log, log)


def connection() -> Connection:
    """Return the environment's connection (autocommit; rows are dicts), reopened if it was lost.

    Raises :class:`DatabaseUnavailable`.
    """
    global _connection
    if _connection is not None and _is_lost(_connection):
        _connection.close()
        _connection = None
    if _connection is None:
        _connection = _connect()
    return _connection


def _connect() -> Connection:
    """Open a connection; if the password is refused, once more with the secret read again, and with
    the version before it: while a password is changed, the secret is ahead of the role.

    Raises :class:`DatabaseUnavailable`; the log names the cause of the refusal.
    """
    import psycopg
    from psycopg.rows import dict_row

    address, previous_is_left = conninfo(), True
    while True:
        try:
            return connection_class().connect(
                address,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                tcp_user_timeout=TCP_USER_TIMEOUT_MS,
                row_factory=dict_row,
            )
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
            cause = cause_of(error)
            logger.warning("the database refused a connection", cause=cause)
            if cause == "password_refused":
                if secrets.refresh(settings.DATABASE_URL):
                    address = conninfo()
                    continue
                previous = secrets.read_previous(settings.DATABASE_URL)
                if previous and previous_is_left:
                    address, previous_is_left = _conninfo_of(previous), False
                    continue
            # Not "from error": libpq's text may name the whole address.
            raise DatabaseUnavailable from None


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit every wait for the server to *seconds*, instead of :data:`STATEMENT_DEADLINE_S`."""
    global _deadline_s
    previous, _deadline_s = _deadline_s, seconds
    try:
        yield
    finally:
        _deadline_s = previous


def _is_lost(connection: Connection) -> bool:
    """Return whether the server closed the connection while the environment was frozen.

    Looks at the socket, without a round trip: an idle connection has nothing to read, so readable
    bytes are the end of the stream or the server's last message. A connection on which another
    thread waits for an answer is not idle, and in use.
    """
    if connection.closed or connection.broken:
        return True
    if not connection.lock.acquire(blocking=False):
        return False
    try:
        poll = select.poll()  # select() takes no file descriptor above 1,023
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    finally:
        connection.lock.release()


@contextmanager
def session() -> Iterator[Connection]:
    """Yield the environment's connection for one piece of work; each statement commits by itself.

    Raises :class:`DatabaseUnavailable` when it cannot be opened, or fails for a temporary reason
    (it breaks, the server is read-only, a deadlock, a timeout): what was committed stays, the rest
    can be repeated. An unusable connection is closed: the next use opens another.
    """
    import psycopg

    try:
        yield connection()
    except psycopg.Error as error:
        if not is_unavailable(error):
            raise
        if is_unusable(error):
            close()
        raise DatabaseUnavailable from error


def require_writable() -> None:
    """Raise :class:`DatabaseUnavailable` unless the database answers at once and takes writes."""
    with deadline(HEALTH_DEADLINE_S), session() as connection:
        row = connection.execute(SELECT_IS_WRITABLE).fetchone()
        if row is None or not row["is_writable"]:
            logger.warning("the database only reads")
            close()  # a demoted server stays read-only; a new connection may reach the new primary
            raise DatabaseUnavailable


def is_unavailable(error: BaseException) -> bool:
    """Return whether the error means that the database is unavailable, whatever the statement."""
    import psycopg

    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or is_unusable(
        error
    )


def is_unusable(error: BaseException) -> bool:
    """Return whether the error means that the connection is no longer usable."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith(UNUSABLE_CLASSES) or state in UNUSABLE_STATES


def close() -> None:
    """Close the environment's connection; the next use opens another."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None
