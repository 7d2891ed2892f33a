"""``ugtj db``: the schema, of the local database or, through the migrator, of the deployed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.prompt import Confirm

from cli import stack
from cli.output import USAGE, AsJson, CommandError, console, show
from local import migrate_cloud

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="The schema of the database.",
    epilog="Example: ugtj db status",
    no_args_is_help=True,
)
Revision = Annotated[str, typer.Argument(help="A revision.")]


@app.command()
def status(context: typer.Context, json: AsJson = False) -> None:
    """Show the revision of the database, and the newest one."""
    from migrations import upgrade

    state: State = context.obj
    newest = newest_revision()
    if state.profile.is_local:
        from cli.database import database_url

        now = upgrade.current(database_url(state.profile))
    else:
        now = _migrator(state, {"action": "current"})["revision_after"]
    content = {"revision": now, "newest": newest, "pending": now != newest}
    text = "It is the newest." if now == newest else "To migrate: ugtj db migrate"
    show(content, json, f"The database is at {now or 'the very beginning'}. {text}")


@app.command()
def migrate(context: typer.Context, revision: Revision = "head", json: AsJson = False) -> None:
    """Bring the database to the newest revision, or to another."""
    state: State = context.obj
    if not state.profile.is_local:
        event = {"action": "upgrade", "revision": None if revision == "head" else revision}
        done = _migrator(state, event)
        show(done, json, f"{done['revision_before']} → {done['revision_after']}")
        return
    from local import database

    with database.database() as on:
        report = database.migrate(on, revision)
    show({"report": report}, json, report)


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
def rollback(
    context: typer.Context,
    revision: Revision = "-1",
    drop_data: Annotated[bool, typer.Option("--drop-data", help="Even if rows are lost.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Undo the last migration, or all after a revision."""
    state: State = context.obj
    if not yes and not Confirm.ask("Undo migrations?", console=console(stderr=True)):
        raise CommandError("nothing was changed")
    if not state.profile.is_local:
        event = {
            "action": "downgrade",
            "revision": revision,
            "confirm": True,
            "drop_data": drop_data,
        }
        done = _migrator(state, event)
        show(done, json, f"{done['revision_before']} → {done['revision_after']}")
        return
    from local import database

    with database.database() as on:
        report = database.rollback(on, revision, drop_data=drop_data)
    show({"report": report}, json, report)


@app.command()
def seed(context: typer.Context, json: AsJson = False) -> None:
    """Insert the rows that development starts with (local)."""
    from local import database
    from migrations.seed import seed as insert_rows

    _require_local(context, "db seed")
    with database.database() as on:
        new_rows = insert_rows(on.url)
    show({"new_rows": new_rows}, json, f"{new_rows} new rows.")


def newest_revision() -> str | None:
    """Return the newest revision of this package."""
    from alembic.script import ScriptDirectory

    from migrations import upgrade

    return ScriptDirectory.from_config(upgrade.configuration()).get_current_head()


def _require_local(context: typer.Context, command: str) -> None:
    state: State = context.obj
    if not state.profile.is_local:
        raise CommandError(f"{command} is for the local cloud alone", code=USAGE)


def _migrator(state: State, event: dict[str, Any]) -> dict[str, Any]:
    """Invoke the migrator once and return its result. Raises :class:`CommandError` and botocore's
    errors."""
    profile = state.profile
    name = stack.outputs(profile).get("MigratorFunctionName")
    if name is None:
        raise CommandError(f"the stack {profile.stack} has no migrator", "make deploy")
    client = profile.aws("lambda", **migrate_cloud.ONE_LONG_CALL)
    with console(stderr=True).status("The migrator works ..."):
        try:
            result = migrate_cloud.invoke(client, name, event)
        except migrate_cloud.MigrationFailed as error:
            raise CommandError(f"not migrated: {error}") from None
    if not isinstance(result, dict) or "revision_after" not in result:
        raise CommandError(f"{name} did not answer as the migrator does", "make deploy")
    return result
