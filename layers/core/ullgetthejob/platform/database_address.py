"""The address of Postgres as operators write it, and why a connection was refused.

The error messages of libpq, psycopg, SQLAlchemy and Alembic may quote the password of an address:
they are classified here, and neither they nor the address are passed on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DIALECT = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
RAW_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Cause of a refused connection, by fragments of libpq's messages (there is no SQLSTATE).
CAUSES: dict[str, tuple[str, ...]] = {
    "password_refused": ("password authentication failed", "no password supplied"),
    "role_refused": ("no pg_hba.conf entry", "does not exist", "not permitted to log in"),
    "host_unknown": ("could not translate host name", "not known", "failed to resolve host"),
    "certificate_refused": ("certificate", "ssl error", "server does not support ssl"),
    "connection_refused": ("connection refused",),
    "no_connection_left": ("too many", "remaining connection slots"),
    "starting_or_stopping": ("starting up", "shutting down", "recovery mode"),
    "no_answer": ("timeout", "timed out"),
}
SENTENCES: dict[str, str] = {
    "password_refused": "it refuses the password",
    "role_refused": "it refuses the role, or has no such database",
    "host_unknown": "its host is unknown",
    "certificate_refused": "TLS cannot be agreed upon; look at the certificate and at sslmode",
    "connection_refused": "nothing listens at its host and port",
    "no_connection_left": "it takes no more connections",
    "starting_or_stopping": "it is starting or stopping",
    "no_answer": "it does not answer",
    "other": "see its own log",
}


class AddressUnreadable(ValueError):
    """The address is neither a URL nor libpq's ``key=value`` pairs. The message never quotes it."""

    def __init__(self) -> None:
        super().__init__(
            "the address of the database cannot be read: it is postgresql://user:password@host:port/"
            "database, with %, @, / and : of the password written as %25, %40, %2F and %3A, or "
            "libpq's key=value pairs"
        )


def normalised(address: str) -> str:
    """Return *address* as libpq accepts it: without SQLAlchemy's driver in the scheme, and with a
    raw ``%`` escaped. Raises :class:`AddressUnreadable`."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    address = address.strip()
    if DIALECT.match(address):
        address = RAW_PERCENT.sub("%25", DIALECT.sub("postgresql://", address))
    try:
        conninfo_to_dict(address)
    except (ProgrammingError, ValueError):
        raise AddressUnreadable from None
    return address


def conninfo_of_fields(fields: Mapping[str, Any], root_certificates: str) -> str:
    """Return libpq's connection string for a secret in RDS's shape (``host``, ``port``,
    ``username``, ``password``, ``dbname``), with full verification of TLS by the PEM file at
    *root_certificates*."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=fields["host"],
        port=fields.get("port", 5432),
        user=fields["username"],
        password=fields["password"],
        dbname=fields.get("dbname", "ullgetthejob"),
        sslmode="verify-full",
        sslrootcert=root_certificates,
    )


def cause_of(error: BaseException) -> str:
    """Return why a connection was refused, as a key of :data:`SENTENCES`."""
    message = str(error).casefold()
    for cause, fragments in CAUSES.items():
        if any(fragment in message for fragment in fragments):
            return cause
    return "other"
