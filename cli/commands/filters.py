"""``ugtj filters``: the rules by which vacancies are dropped, or left to the person."""

from __future__ import annotations

import json as json_library
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.applications import text_of
from cli.output import USAGE, AsJson, CommandError, User, facts, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="The rules by which vacancies are dropped, or left to you.",
    epilog="""Example: ugtj filters set '{"title_words": ["C++"], "repost": "skip"}'""",
    no_args_is_help=True,
)


@app.command("show")
def show_filters(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Show the rules."""
    state: State = context.obj
    found = state.core.get("/api/filters", user_id=user or state.profile.user)
    rules = {name: value for name, value in found["rules"].items() if value not in (None, [], {})}
    show(found, json, facts("Rules" if rules else "There are no rules.", rules))


@app.command("set")
def set_filters(
    context: typer.Context,
    rules: Annotated[str, typer.Argument(help="The rules as JSON, or @FILE; all at once.")],
    user: User = None,
    json: AsJson = False,
) -> None:
    """Replace the rules."""
    state: State = context.obj
    try:
        parsed = json_library.loads(text_of(rules) or "")
    except ValueError as error:
        raise CommandError(f"the rules are not JSON: {error}", code=USAGE) from None
    body = {"user_id": user or state.profile.user, "rules": parsed}
    show(state.core.call("PUT", "/api/filters", body=body), json, "The rules are replaced.")


@app.command()
def preview(
    context: typer.Context,
    job_ids: Annotated[list[str] | None, typer.Argument(help="Vacancies.")] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show what the rules would do to vacancies, by which rule and by which words."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user, "job_ids": job_ids or None}
    found = state.core.post("/api/filters/preview", body)
    rows = [(j["job_id"], j["title"], j["verdict"], j["findings"]) for j in found["jobs"]]
    title = f"{found['checked']} checked: {found['kept']} kept, {found['dropped']} dropped"
    show(found, json, table(title, ("vacancy", "title", "verdict", "because"), rows))
