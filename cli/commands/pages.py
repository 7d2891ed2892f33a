"""``ugtj open`` and ``ugtj secret``."""

from __future__ import annotations

import secrets as random_secrets
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import USAGE, AsJson, CommandError, show

if TYPE_CHECKING:
    from cli.state import State

PAGES = {
    "dashboard": "/dev/dashboard",
    "connect": "/dev/connect",
    "docs": "/_local/docs",
    "status": "/_local/",
}
NAMES = ("ORCHESTRATOR_SECRET", "ADMIN_SECRET", "SECRET_KEY_BASE")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("open", epilog="Example: ugtj open dashboard")(open_page)
    app.command(epilog="Example: ugtj secret")(secret)


def open_page(
    context: typer.Context,
    page: Annotated[str, typer.Argument(help=f"{', '.join(PAGES)}.")] = "dashboard",
    only_print: Annotated[bool, typer.Option("--print", help="Print the address only.")] = False,
    json: AsJson = False,
) -> None:
    """Open a page of the local cloud in the browser."""
    state: State = context.obj
    if page not in PAGES or not state.profile.is_local:
        raise CommandError(f"the pages of the local cloud are {', '.join(PAGES)}", code=USAGE)
    url = state.profile.url + PAGES[page]
    show({"url": url}, json, url)
    if not only_print and not json:
        typer.launch(url)


def secret(json: AsJson = False) -> None:
    """Generate new secrets for a deployment; nothing is stored."""
    made = {name: random_secrets.token_urlsafe(48) for name in NAMES}
    show(made, json, *(f"{name}={value}" for name, value in made.items()))
