"""The database of a profile, for commands that read what no route tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cli.output import UNREACHABLE, USAGE, CommandError

if TYPE_CHECKING:
    import psycopg

    from cli.profiles import Profile


def database_url(profile: Profile) -> str:
    """Return the URL of the profile's database. Raises :class:`CommandError`."""
    if not profile.is_local:
        url = os.environ.get("DATABASE_URL")
        if not url:
            raise CommandError(
                f"the database of the profile {profile.name} is not known",
                "set DATABASE_URL",
                code=USAGE,
            )
        return url
    if given := profile.settings.database_url:
        return given
    from local.postgres.server import EmbeddedPostgres

    assert profile.data_dir is not None  # noqa: S101 - it is local
    server = EmbeddedPostgres(profile.data_dir / "postgres")
    if not server.running:
        raise CommandError("the embedded Postgres does not run", "make run", code=UNREACHABLE)
    return server.url


def connect_database(profile: Profile) -> psycopg.Connection[dict[str, Any]]:
    """Return a connection that only reads; rows are dicts. Raises :class:`CommandError`."""
    import psycopg
    from psycopg.rows import dict_row

    from ullgetthejob.platform.database_address import (
        SENTENCES,
        AddressUnreadable,
        cause_of,
        normalised,
    )

    try:
        connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            normalised(database_url(profile)),
            autocommit=True,
            connect_timeout=5,
            row_factory=dict_row,
        )
    except AddressUnreadable as error:
        raise CommandError(f"DATABASE_URL: {error}", code=USAGE) from None
    except psycopg.Error as error:
        # Not the error's own text: libpq may quote the whole address.
        cause = SENTENCES.get(cause_of(error), "it does not answer")
        raise CommandError(f"the database cannot be reached: {cause}", code=UNREACHABLE) from None
    connection.read_only = True
    return connection
