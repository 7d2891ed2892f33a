"""Where Postgres is, as people write it, and why it refuses: without ever repeating an address.

What libpq, psycopg, SQLAlchemy and Alembic say of an address may quote its password. So their texts
are read here, and none is passed on.
"""

from __future__ import annotations

import re

DIALECT = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
RAW_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What libpq says where a connection is refused, without a SQLSTATE: which of our settings it is.
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
    """The address is neither a URL nor ``key=value`` pairs of libpq's. Says nothing of it."""

    def __init__(self) -> None:
        super().__init__(
            "the address of the database cannot be read: it is postgresql://user:password@host:port/"
            "database, with %, @, / and : of the password written as %25, %40, %2F and %3A, or "
            "libpq's key=value pairs"
        )


def normalised(address: str) -> str:
    """Return *address* as libpq takes it: without a driver in its scheme, as SQLAlchemy writes it,
    and with a raw ``%`` escaped. Raises :class:`AddressUnreadable`."""
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


def cause_of(error: BaseException) -> str:
    """Return why a connection was refused, as a key of :data:`SENTENCES`."""
    said = str(error).casefold()
    for cause, texts in CAUSES.items():
        if any(text in said for text in texts):
            return cause
    return "other"
