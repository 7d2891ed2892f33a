"""``ugtj campaigns``: many applications as one work, with its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.applications import Repost, text_of
from cli.output import AsJson, User, facts, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="Campaigns: many applications as one work.",
    epilog="Example: ugtj campaigns add 123456789 123456790 --letter @letter.txt",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(help="The id of the campaign (workflow).")]


@app.command()
def add(
    context: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(help="hh.ru's vacancy ids.")],
    letter: Annotated[str | None, typer.Option(help="The letter of each, or @FILE.")] = None,
    campaign: Annotated[str | None, typer.Option(help="An earlier campaign to add to.")] = None,
    repost: Repost = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Add vacancies to a new campaign, or to an earlier one; nothing is sent before it starts."""
    state: State = context.obj
    text = text_of(letter)
    jobs = [{"job_external_id": job_id, "cover_letter": text} for job_id in job_ids]
    owner = user or state.profile.user
    body: dict[str, Any] = {"user_id": owner, "jobs": jobs, "repost": repost}
    if campaign is not None:
        body["workflow_id"] = campaign
    answer = state.core.post("/api/queue/add", body)
    next_step = f"Start it: ugtj campaigns start {answer['workflow_id']}"
    show(answer, json, f"{answer['queued_count']} added to {answer['workflow_id']}", next_step)


@app.command("show")
def show_campaign(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Show a campaign's progress and its items."""
    state: State = context.obj
    query = {"workflow_id": id, "user_id": user or state.profile.user}
    answer = state.core.get("/api/queue/status", **query)
    names = ("status", "total", "submitted", "failed", "waiting", "needs_person", "cancelled")
    rows = [(i["job_external_id"], i["state"], i["last_error"]) for i in answer["items"]]
    items = table("Items", ("vacancy", "state", "why"), rows)
    show(answer, json, facts(id, {name: answer[name] for name in names}), "", items)


@app.command()
def start(
    context: typer.Context,
    id: Id,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come of its items.")
    ] = False,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Start a campaign."""
    if not dry_run:
        _command(context, "start-workflow", id, user, json)
        return
    state: State = context.obj
    body = {"workflow_id": id, "user_id": user or state.profile.user, "dry_run": True}
    answer = state.core.post("/api/queue/start-workflow", body)
    rows = [
        (row["job_id"], row["title"], row["would"], row["reason"], row["send_at"])
        for row in answer["rows"]
    ]
    title = f"What would come of it; {answer['uncertain']} are not certain"
    show(answer, json, table(title, ("vacancy", "title", "would", "why", "sent at"), rows))


@app.command()
def pause(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Pause a campaign: nothing more is sent."""
    _command(context, "pause", id, user, json)


@app.command()
def resume(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Let a paused campaign continue where it was."""
    _command(context, "resume", id, user, json)


@app.command()
def cancel(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Cancel what a campaign has not sent yet."""
    _command(context, "cancel", id, user, json)


def _command(
    context: typer.Context,
    command: str,
    id: str,
    user: str | None,
    as_json: bool,
) -> None:
    state: State = context.obj
    body = {"workflow_id": id, "user_id": user or state.profile.user}
    answer = state.core.post(f"/api/queue/{command}", body)
    show(answer, as_json, f"{answer['status']}: {answer['message']}")
