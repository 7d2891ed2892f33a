"""``ugtj letters``: letter templates, what they make for a vacancy, and the check of letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.applications import text_of
from cli.output import AsJson, User, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="Letter templates, and the check of letters.",
    epilog="Example: ugtj letters preview 123456789 @letter.txt",
    no_args_is_help=True,
)
Text = Annotated[str, typer.Argument(help="The text, or @FILE.")]
Job = Annotated[str, typer.Argument(help="hh.ru's vacancy id, or Core's.")]
Resume = Annotated[str | None, typer.Option(help="A resume; by default the one that fits best.")]


@app.command("list")
def list_templates(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """List the templates, and the placeholders that there are."""
    state: State = context.obj
    found = state.core.get("/api/letters/templates", user_id=user or state.profile.user)
    rows = [(item["id"], item["name"], item["text"]) for item in found["items"]]
    placeholders = table("Placeholders", ("name", "meaning"), list(found["placeholders"].items()))
    show(found, json, table("Templates", ("id", "name", "text"), rows), placeholders)


@app.command()
def add(
    context: typer.Context, name: str, text: Text, user: User = None, json: AsJson = False
) -> None:
    """Store a template."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user, "name": name, "text": text_of(text)}
    stored = state.core.post("/api/letters/templates", body)
    show(stored, json, f"The template {stored['id']} is stored.")


@app.command()
def edit(
    context: typer.Context,
    id: str,
    name: str,
    text: Text,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Replace a template."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user, "name": name, "text": text_of(text)}
    stored = state.core.call("PUT", f"/api/letters/templates/{id}", body=body)
    show(stored, json, f"The template {id} is replaced.")


@app.command()
def rm(context: typer.Context, id: str, user: User = None, json: AsJson = False) -> None:
    """Delete a template."""
    state: State = context.obj
    query = {"user_id": user or state.profile.user}
    answer = state.core.call("DELETE", f"/api/letters/templates/{id}", query=query)
    show(answer, json, f"The template {id} is deleted.")


@app.command()
def preview(
    context: typer.Context,
    job_id: Job,
    text: Text,
    resume: Resume = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show the letter that a text with placeholders makes for a vacancy, and its findings."""
    state: State = context.obj
    body = {"job_id": job_id, "text": text_of(text), "resume_id": resume}
    found = state.core.post("/api/letters/preview", {**body, "user_id": user or state.profile.user})
    show(found, json, found["letter"], "", _findings(found))


@app.command()
def check(
    context: typer.Context,
    job_id: Job,
    letter: Text,
    resume: Resume = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show what a letter says that neither the resume nor the vacancy say."""
    state: State = context.obj
    body = {"job_id": job_id, "letter": text_of(letter), "resume_id": resume}
    found = state.core.post("/api/letters/check", {**body, "user_id": user or state.profile.user})
    show(found, json, _findings(found))


def _findings(found: dict[str, Any]) -> Any:
    rows = [(f["rule"], f["text"], f["en"]) for f in found["findings"]]
    return table(f"{len(rows)} findings", ("rule", "text", "because"), rows)
