"""The address of Postgres as operators write it, and why a connection was refused.

The secret of a deployed Core is a URL, JSON in RDS's format, or the JSON that RDS itself keeps for
a master user, which has just ``username`` and ``password``: parameters add the rest. Whatever its
form, the connection is encrypted and the server's certificate verified.

The error messages of libpq, psycopg, SQLAlchemy and Alembic may quote the password of an address:
they are classified here, and neither they nor the address are passed on.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# The authorities of RDS and Aurora, which are no public ones; "make rds-ca" brings new ones.
RDS_CERTIFICATES = Path(__file__).with_name("rds-certificates.pem")
DEFAULT_PORT = 5432
DEFAULT_NAME = "ullgetthejob"
DIALECT = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
RAW_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Cause of a refused connection, by fragments of libpq's messages (there is no SQLSTATE).
CAUSES: dict[str, tuple[str, ...]] = {
    "password_refused": ("password authentication failed", "no password supplied"),
    # Before the role: a "root certificate file ... does not exist".
    "certificate_refused": ("certificate", "ssl error", "server does not support ssl"),
    "role_refused": ("no pg_hba.conf entry", "does not exist", "not permitted to log in"),
    "host_unknown": ("could not translate host name", "not known", "failed to resolve host"),
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


@dataclass(frozen=True)
class Stated:
    """What the parameters say of the database, which precedes what its secret says; empty: nothing.

    *root_certificates*: ``public``, ``rds`` or the path of a PEM file.
    """

    root_certificates: str = "public"
    host: str = ""
    port: str = ""
    name: str = ""


class KeyMissing(ValueError):
    """The secret's JSON lacks *key*. The message names the key alone."""

    def __init__(self, key: str) -> None:
        super().__init__(f"lacks the key {key}")
        self.key = key


def path_of_certificates(choice: str) -> str:
    """Return the path of the PEM file that ``public``, ``rds`` or a path stands for."""
    if choice == "rds":
        return str(RDS_CERTIFICATES)
    if choice != "public":
        return choice
    import certifi

    return certifi.where()


def missing_keys(content: str, stated: Stated) -> list[str]:
    """Return what a secret in JSON lacks; all keys if it is no JSON object."""
    needed = ["username", "password"] if stated.host else ["host", "username", "password"]
    try:
        fields = json.loads(content)
    except ValueError:
        fields = None
    return [key for key in needed if not isinstance(fields, dict) or not fields.get(key)]


def is_json(content: str) -> bool:
    """Return whether a secret is JSON, and not a URL or libpq's pairs."""
    return content.lstrip().startswith("{")


def conninfo_of_secret(content: str, stated: Stated) -> str:
    """Return libpq's connection string for the *content* of the database's secret.

    TLS is required and the server's certificate verified, for its host, whatever ``sslmode`` a URL
    has. Only a URL of this machine itself is used as it is: nothing of it leaves the machine.
    Raises :class:`AddressUnreadable`, :class:`KeyMissing`.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    if is_json(content):
        for key in missing_keys(content, stated):
            raise KeyMissing(key)
        parts = _parts_of_json(json.loads(content))
    else:
        parts = dict(conninfo_to_dict(normalised(content)))
    if stated.host:
        parts.pop("hostaddr", None)  # it would precede the host
    changes = {"host": stated.host, "port": stated.port, "dbname": stated.name}
    parts |= {name: value for name, value in changes.items() if value}
    if is_json(content) or not _is_of_this_machine(parts):
        own = parts.get("sslrootcert")
        chosen = str(own) if own and own != "system" else stated.root_certificates
        parts |= {"sslmode": "verify-full", "sslrootcert": path_of_certificates(chosen)}
    return make_conninfo(**parts)


def _parts_of_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of libpq for a secret in RDS's format."""
    return {
        "host": fields.get("host"),
        "port": fields.get("port") or DEFAULT_PORT,
        "user": fields["username"],
        "password": fields["password"],
        "dbname": fields.get("dbname") or DEFAULT_NAME,
    }


def _is_of_this_machine(parts: Mapping[str, Any]) -> bool:
    """Return whether all hosts are a Unix socket or loopback addresses."""
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    return all(map(_is_local, hosts))


def _is_local(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cause_of(error: BaseException) -> str:
    """Return why a connection was refused, as a key of :data:`SENTENCES`."""
    message = str(error).casefold()
    for cause, fragments in CAUSES.items():
        if any(fragment in message for fragment in fragments):
            return cause
    return "other"
