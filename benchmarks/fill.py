"""Fill the embedded database with synthetic accounts and jobs, to see ``make run`` at size.

``make db-fill`` (1,000 accounts with 200 applications each, 100,000 jobs), also while ``make run``
is running. None of the accounts can log in, and what waits becomes due in a month of the sandbox's
clock. ``make db-reset`` deletes everything again.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from benchmarks import growth_data
from benchmarks.growth_data import Size
from local import database, settings
from local.clock import FILE_NAME, LocalClock
from local.postgres import server
from local.postgres.server import EmbeddedPostgres
from local.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

LATER = timedelta(days=30)
SELECT_IS_FILLED = "SELECT FROM accounts WHERE id = md5('account1')::uuid"


class FilledAlready(Exception):
    """The database has synthetic rows already."""


def main() -> None:
    """Fill the database of the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    size = Size(options.accounts, options.jobs)
    try:
        given = settings.read()
        if given.database_url is not None:
            sys.exit("db-fill fills the embedded database only, not that of DATABASE_URL.")
        with database.database() as on:
            print(database.migrate(on, "head"))
            began = time.monotonic()
            fill(given.data_dir, size)
    except (FilledAlready, server.PostgresError, settings.SettingsError) as error:
        sys.exit(printable(str(error)))
    print(f"Added {size} in {time.monotonic() - began:.0f} s. make db-reset deletes everything.")


def fill(data_dir: Path, size: Size) -> None:
    """Fill the running embedded database of *data_dir*. Raises :class:`FilledAlready`."""
    embedded = EmbeddedPostgres(data_dir / "postgres")
    url = embedded._url(server.SUPERUSER, server.DATABASE)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        if connection.execute(SELECT_IS_FILLED).fetchone() is not None:
            raise FilledAlready("The database is filled already. make db-reset deletes everything.")
        growth_data.fill(
            connection,
            Size(0, 0),
            size,
            lambda _: None,
            now=LocalClock(data_dir / FILE_NAME).now(),
            due=0,
            later=LATER,
        )


if __name__ == "__main__":
    main()
