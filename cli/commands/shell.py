"""``ugtj shell``: IPython with the package wired to the local cloud."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.database import database_url
from cli.output import USAGE, CommandError

if TYPE_CHECKING:
    from cli.profiles import Profile
    from cli.state import State

BANNER = """UllGetTheJob Core: the package ullgetthejob works on the local cloud.

  fetch_vacancies("python", area="1")   search hh.ru now
  fetch_now(search_id)                  run a saved search
  rate_limit_status()                   where a person stands
  core.get("/api/..."), connection.execute("SELECT ...")
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="""Example: ugtj shell -c 'print(rate_limit_status()["tokens"])'""")(shell)


def shell(
    context: typer.Context,
    command: Annotated[str | None, typer.Option("-c", help="Run this and end.")] = None,
) -> None:
    """Open IPython with the package wired, and the original's three calls ready."""
    state: State = context.obj
    if not state.profile.is_local:
        raise CommandError("there is a shell for the local cloud alone", code=USAGE)
    names = _names(state)
    if command is not None:
        exec(compile(command, "<command>", "exec"), names)  # noqa: S102 - what the developer typed
        return
    import IPython

    sys.stdout.write(BANNER)
    IPython.start_ipython(argv=["--no-banner"], user_ns=names)


def _names(state: State) -> dict[str, Any]:
    """Return the names of the shell."""
    _wire(state.profile)
    from ullgetthejob.platform import postgres

    core, user = state.core, state.profile.user

    def fetch_vacancies(text: str = "", **filters: Any) -> Any:
        """Search hh.ru now, as POST /api/jobs/search."""
        return core.post("/api/jobs/search", {"text": text, **filters})

    def fetch_now(search_id: str, user_id: str = user) -> Any:
        """Run a saved search now."""
        return core.post(f"/api/schedules/{search_id}/fetch", user_id=user_id)

    def rate_limit_status(user_id: str = user) -> Any:
        """Return where a person stands."""
        return core.get("/api/rate-limit/status", user_id=user_id)

    return {
        "core": core,
        "connection": postgres.connection(),
        "fetch_vacancies": fetch_vacancies,
        "fetch_now": fetch_now,
        "rate_limit_status": rate_limit_status,
    }


def _wire(profile: Profile) -> None:
    """Give the package the settings of a function of the local cloud."""
    from local.settings import function_environments
    from local.template.reader import load

    ports = profile.ports
    addresses = {
        "DATABASE_URL": database_url(profile),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['aws']}",
        "HH_API_URL": profile.settings.hh_api_url or f"http://127.0.0.1:{ports.get('hh', 0)}",
    }
    for environment in function_environments(load(), profile.settings, addresses).values():
        for name, value in environment.items():
            if value:
                os.environ.setdefault(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "local"
    os.environ["AWS_REGION"] = profile.region
    os.environ["POWERTOOLS_LOG_LEVEL"] = "WARNING"
