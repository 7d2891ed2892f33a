"""The Makefile's database commands: ``python -m local.database migrate|rollback|reset|seed|new``.

They use the database of ``local.settings``: ``DATABASE_URL``, else the embedded server in
``DATA_DIR``, which they start if it does not run and then stop again. Seeding also connects the
demo user to a person of the sandbox, through the ``make run`` of that folder, else through a system
that is started temporarily.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import io
import logging
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import alembic.command
import psycopg
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.conninfo import conninfo_to_dict

from local import settings
from local.dev_connect import demo
from local.dev_connect.core import Core, CoreRefused
from local.postgres.server import EmbeddedPostgres, PostgresError
from local.services import ServiceError
from local.terminal import printable
from migrations import upgrade as migrations
from migrations.seed import DEMO_USER_ID, seed
from ullgetthejob.platform.database_address import SENTENCES, cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Database:
    """The database that a command uses."""

    url: str
    embedded: bool

    @property
    def name(self) -> str:
        """Return a printable name, without a password."""
        if self.embedded:
            return "the embedded database"
        parts = conninfo_to_dict(self.url)
        return f"{parts.get('dbname', 'the default database')} at {parts.get('host', 'localhost')}"


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """Return the database of the settings, which runs while the context is open."""
    given = settings.read()
    if given.database_url is not None:
        yield Database(given.database_url, embedded=False)
        return
    folder = given.data_dir / "postgres"
    was_running = EmbeddedPostgres(folder).running
    server = EmbeddedPostgres(folder, ends_with_us=not was_running)
    try:
        yield Database(server.start(), embedded=True)
    finally:
        if not was_running:
            server.stop()


def migrate(on: Database, revision: str) -> str:
    """Upgrade to *revision* and return a report."""
    return _report(on, migrations.upgrade(on.url, revision), "nothing to do")


def rollback(on: Database, revision: str, *, drop_data: bool) -> str:
    """Downgrade to *revision* and return a report."""
    if migrations.current(on.url) is None:
        return f"{on.name}: nothing to roll back."
    return _report(on, migrations.downgrade(on.url, revision, drop_data=drop_data), "nothing to do")


def reset(on: Database) -> str:
    """Empty the schema ``public``, tables of other programs included, migrate, and return a
    report."""
    with psycopg.connect(on.url) as connection:
        connection.execute("SET LOCAL lock_timeout = '5s'")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    return f"{on.name}: emptied.\n{migrate(on, 'head')}"


def new(name: str) -> str:
    """Write the numbered file of the next migration and return a report."""
    config = migrations.configuration()
    numbers = [int(script.revision) for script in _scripts().walk_revisions()]
    number = f"{max(numbers, default=0) + 1:04}"
    with contextlib.redirect_stdout(io.StringIO()):  # Alembic prints each step
        made = alembic.command.revision(config, message=name, rev_id=number)
    if made is None or isinstance(made, list):
        raise CommandError("Alembic made no migration")
    file = Path(made.path).relative_to(Path.cwd())
    return f"made {file}; write its upgrade and downgrade, then: make db-checksums"


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(migrations.configuration())


def _report(on: Database, done: migrations.Migrated, nothing: str) -> str:
    if not done.applied:
        return f"{on.name}: {nothing}, it is at {done.revision_after or 'the very beginning'}."
    titles = [f"  {revision}  {_scripts().get_revision(revision).doc}" for revision in done.applied]
    from_, to = done.revision_before or "nothing", done.revision_after or "nothing"
    return "\n".join([f"{on.name}: {from_} → {to}", *titles])


def _seeded(on: Database) -> str:
    count = seed(on.url)
    return f"{on.name}: seeded, {count} new rows." if count else f"{on.name}: was seeded already."


def _connected_demo_user(on: Database, given: settings.Settings) -> str:
    """Connect the demo user and return a report."""
    obstacle = demo.obstacle(given)
    if obstacle is not None or given.demo_person is None:
        return f"The demo user is not connected to hh.ru: {obstacle}."
    try:
        jwt, origin = asyncio.run(_connect_demo_user(on, given, given.demo_person))
    except (CoreRefused, ServiceError, settings.SettingsError) as error:
        sys.exit(printable(f"The demo user is not connected to hh.ru: {error}"))
    if jwt is None:
        return f"""The demo user {DEMO_USER_ID} was connected to hh.ru already.
While make run serves, you get a JWT for the same person at {origin}/dev/connect"""
    return f"""The demo user {DEMO_USER_ID} is connected to hh.ru, as {given.demo_person}.
While make run serves, this lists the person's resumes:
  curl -s {origin}/api/hh/resumes -H 'Authorization: Bearer {jwt}'"""


async def _connect_demo_user(
    on: Database, given: settings.Settings, person: str
) -> tuple[str | None, str]:
    """Connect the demo user; return the JWT, ``None`` if nothing was done, and the origin of
    ``make run``."""
    from local import cloud  # loads slowly

    temporary = dataclasses.replace(
        given, port=_free_port(), given={**given.given, "DATABASE_URL": on.url}
    )
    try:
        async with cloud.serving(temporary) as serving, serving.core() as core:
            jwt = await demo.connect(core, person, again=True)
        return jwt, f"http://localhost:{given.port}"
    except cloud.InUse as running:
        if not running.origin:
            raise
        async with Core(running.origin, given.secret("ORCHESTRATOR_SECRET")) as core:
            return await demo.connect(core, person, again=True), running.origin


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _confirm_reset(on: Database) -> None:
    """Ask before a reset of an external database, which may hold data that people need."""
    if on.embedded or os.environ.get("FORCE") == "1":
        return
    if not sys.stdin.isatty():
        sys.exit(f"db-reset would delete everything in {on.name}. To do so: make db-reset FORCE=1")
    if input(f"Delete everything in {on.name}? Type yes: ").strip() != "yes":
        sys.exit("Nothing was changed.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.database", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("migrate", help="bring the schema to a revision")
    up.add_argument("revision", nargs="?", default="head")
    down = commands.add_parser("rollback", help="take migrations back")
    down.add_argument("revision", nargs="?", default="-1")
    down.add_argument(
        "--drop-data", action="store_true", help="even if rows that people created are lost"
    )
    commands.add_parser("reset", help="delete everything, migrate and seed (FORCE=1: do not ask)")
    commands.add_parser("seed", help="insert the rows that development starts with")
    commands.add_parser("new", help="write an empty migration").add_argument("name")
    return parser.parse_args()


def main() -> None:
    """Run a command; a failure is a message and exit status 1."""
    arguments = _arguments()
    logging.basicConfig(format="%(message)s")
    try:
        if arguments.command == "new":
            print(new(arguments.name))
            return
        with database() as on:
            if arguments.command == "migrate":
                print(migrate(on, arguments.revision))
            elif arguments.command == "rollback":
                print(rollback(on, arguments.revision, drop_data=arguments.drop_data))
            else:
                if arguments.command == "reset":
                    _confirm_reset(on)
                    print(reset(on))
                elif on.embedded:  # it may be empty, as at its first start
                    print(migrate(on, "head"))
                print(_seeded(on), flush=True)
                print(_connected_demo_user(on, settings.read()))
    except (
        migrations.MigrationError,
        PostgresError,
        CommandError,
        settings.SettingsError,
    ) as error:
        sys.exit(printable(str(error)))
    except psycopg.Error as error:
        reason = error.diag.message_primary or SENTENCES[cause_of(error)]
        sys.exit(printable(f"The database cannot be used: {reason}"))


if __name__ == "__main__":
    main()
