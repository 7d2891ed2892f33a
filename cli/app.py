"""The command ``ugtj``: its options and its groups of commands."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cli import errors, output, profiles
from cli.commands import (
    applications,
    campaigns,
    database,
    filters,
    jobs,
    letters,
    listen,
    logs,
    notifications,
    pages,
    people,
    queues,
    rate_limit,
    resumes,
    reviews,
    sandbox,
    schedules,
    shell,
    stats,
    trail,
)
from cli.commands.cloud import app as cloud
from cli.doctor import command as doctor
from cli.state import State

app = typer.Typer(
    name="ugtj",
    help="UllGetTheJob Core from the command line: the local cloud, and deployed ones.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not reachable, "
    "4 a person has to act. Example: ugtj search python --area 1",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def select_profile(
    context: typer.Context,
    profile: Annotated[
        str, typer.Option("--profile", "-p", envvar="UGTJ_PROFILE", help="Which Core.")
    ] = profiles.LOCAL,
) -> None:
    """Select the profile of the command."""
    context.obj = State(profile)


jobs.add_to(app)
for name, group in (
    ("schedules", schedules.app),
    ("applications", applications.app),
    ("campaigns", campaigns.app),
    ("filters", filters.app),
    ("letters", letters.app),
    ("notifications", notifications.app),
    ("resumes", resumes.app),
    ("reviews", reviews.app),
    ("rate-limit", rate_limit.app),
    ("people", people.app),
    ("queues", queues.app),
    ("db", database.app),
    ("sandbox", sandbox.app),
    ("cloud", cloud.app),
):
    app.add_typer(group, name=name)
applications.add_to(app)
stats.add_to(app)
listen.add_to(app)
trail.add_to(app)
logs.add_to(app)
pages.add_to(app)
shell.add_to(app)
doctor.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code; see :mod:`cli.output`. ``UGTJ_TRACEBACK=1`` lets an
    error out as it is."""
    try:
        app(arguments, prog_name="ugtj")
    except Exception as error:
        if os.environ.get("UGTJ_TRACEBACK"):
            raise
        described = errors.describe(error)
        output.fail(described)
        sys.exit(described.code)
