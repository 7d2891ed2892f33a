"""``ugtj apply`` and ``ugtj applications``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import (
    AsJson,
    CommandError,
    Cursor,
    User,
    console,
    facts,
    next_page,
    position,
    show,
    show_page,
    table,
)

if TYPE_CHECKING:
    from cli.core_api import CoreApi
    from cli.state import State

UNFINISHED = ("queued", "preparing", "submitting", "uncertain")
POLL_S = 0.5

app = typer.Typer(
    help="Applications and what became of them.",
    epilog="Example: ugtj applications list --state submitted",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(help="The id of the application.")]
Repost = Annotated[
    str | None,
    typer.Option(help="Another posting of a job applied to: skip, ask or allow."),
]
Letter = Annotated[str | None, typer.Option(help="The letter, or @FILE.")]


def add_to(parent: typer.Typer) -> None:
    """Add ``ugtj apply``."""
    parent.command(epilog="Example: ugtj apply 123456789 --letter @letter.txt --wait 60")(apply)


def apply(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="hh.ru's vacancy id.")],
    letter: Letter = None,
    resume: Annotated[str | None, typer.Option(help="hh.ru's resume id.")] = None,
    repost: Repost = None,
    template: Annotated[str | None, typer.Option(help="A letter template, by its id.")] = None,
    review: Annotated[
        str, typer.Option(help="Whether to look before it is sent: always, findings or never.")
    ] = "never",
    min_fit: Annotated[
        int | None, typer.Option(min=0, max=100, help="The least fit to apply with.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come of it, gate by gate.")
    ] = False,
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for the outcome.")] = 0,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Apply to a vacancy, once: the same again is the same application."""
    state: State = context.obj
    owner = user or state.profile.user
    body = {
        "job_external_id": job_id,
        "cover_letter": text_of(letter),
        "hh_resume_id": resume,
        "repost": repost,
        "letter_template_id": template,
        "review": review,
        "min_fit": min_fit,
        "user_id": owner,
    }
    if dry_run:
        _show_gates(state.core.post("/api/applications/submit", body | {"dry_run": True}), json)
        return
    accepted = state.core.post("/api/applications/submit", body)
    if wait and accepted["state"] in UNFINISHED:
        with console(stderr=True).status("Applying ..."):
            accepted |= _outcome(state.core, accepted["application_id"], owner, wait)
    reason = f" ({accepted['reason']})" if accepted.get("reason") else ""
    show(accepted, json, f"{accepted['state']}{reason}: application {accepted['application_id']}")


def _show_gates(answer: dict[str, Any], as_json: bool) -> None:
    rows = [(gate["name"], gate["result"], gate["text"], gate["until"]) for gate in answer["gates"]]
    reason = f" ({answer['reason']})" if answer["reason"] else ""
    title = f"{answer['would']}{reason}; nothing was sent"
    gates = table(title, ("gate", "result", "meaning", "until"), rows)
    show(answer, as_json, gates, "", answer["cover_letter"] or "")


@app.command("list")
def list_applications(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    page: Annotated[int, typer.Option(min=0)] = 0,
    cursor: Cursor = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """List the applications of the user's account, the newest first."""
    own: State = context.obj
    query = {"state": state, **position(page, cursor), "user_id": user or own.profile.user}
    found = own.core.get("/api/applications", **query)
    rows = [
        (
            a["application_id"],
            a["job_id"],
            a["state"],
            a["hh_state"] or a["reason"],
            a["created_at"],
        )
        for a in found["items"]
    ]
    columns = ("id", "vacancy", "state", "outcome", "created")
    show_page(found, json, "applications", columns, rows)


@app.command("show")
def show_application(
    context: typer.Context, id: Id, user: User = None, json: AsJson = False
) -> None:
    """Show one application, with its history."""
    own: State = context.obj
    _show(own.core.get(f"/api/applications/{id}", user_id=user or own.profile.user), json)


@app.command()
def confirm(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Say that you have applied on hh.ru yourself."""
    _command(context, id, "confirm", user, json)


@app.command()
def cancel(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Cancel an application that has not been sent."""
    _command(context, id, "cancel", user, json)


@app.command()
def retry(
    context: typer.Context,
    id: Id,
    letter: Letter = None,
    repost: Repost = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Send an application again that was refused, or about which you were asked."""
    own: State = context.obj
    body = {
        "user_id": user or own.profile.user,
        "cover_letter": text_of(letter),
        "repost": repost,
    }
    _show(own.core.post(f"/api/applications/{id}/retry", body), json)


@app.command(epilog="Example: ugtj applications messages 5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11")
def messages(
    context: typer.Context,
    id: Id,
    page: Annotated[int, typer.Option(min=0)] = 0,
    cursor: Cursor = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show the conversation with the employer, the newest message first."""
    own: State = context.obj
    query = {**position(page, cursor), "user_id": user or own.profile.user}
    found = own.core.get(f"/api/applications/{id}/messages", **query)
    rows = [
        (m["created_at"], m["author"], m["state"], m["reason"], m["text"]) for m in found["items"]
    ]
    show(
        found,
        json,
        table("Messages", ("at", "author", "state", "reason", "text"), rows),
        *next_page(found),
    )


@app.command(epilog='Example: ugtj applications reply 5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11 "Да"')
def reply(
    context: typer.Context,
    id: Id,
    text: Annotated[str, typer.Argument(help="The reply, or @FILE.")],
    key: Annotated[
        str | None, typer.Option(help="The same again is the same reply; default: the same text.")
    ] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Reply to the employer, once, and show what the check warns of."""
    own: State = context.obj
    body = {
        "user_id": user or own.profile.user,
        "text": text_of(text),
        "idempotency_key": key,
    }
    replied = own.core.post(f"/api/applications/{id}/messages", body)
    message = replied["message"]
    rows = [(f["rule"], f["text"], f["en"]) for f in replied["findings"]]
    warnings = [table(f"{len(rows)} warnings", ("rule", "text", "because"), rows)] if rows else []
    link = [f"Write there: {message['link']}"] if message["link"] else []
    show(replied, json, f"{message['state']}: message {message['message_id']}", *link, *warnings)


def text_of(given: str | None) -> str | None:
    """Return a text, or the content of ``@FILE``. Raises :class:`CommandError`."""
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{given[1:]} cannot be read: {error}", code=2) from None


def _command(
    context: typer.Context,
    id: str,
    command: str,
    user: str | None,
    as_json: bool,
) -> None:
    own: State = context.obj
    query = {"user_id": user or own.profile.user}
    _show(own.core.post(f"/api/applications/{id}/{command}", **query), as_json)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    found = answer["application"]
    shown = {
        name: value for name, value in found.items() if name not in ("history", "cover_letter")
    }
    steps = [(step["at"], step["state"], step["reason"]) for step in found["history"] or []]
    history = table("History", ("at", "state", "reason"), steps)
    show(answer, as_json, facts(found["state"], shown), "", history)


def _outcome(core: CoreApi, id: str, user: str, wait_s: int) -> dict[str, Any]:
    ends = time.monotonic() + wait_s
    while True:
        found: dict[str, Any] = core.get(f"/api/applications/{id}", user_id=user)["application"]
        if found["state"] not in UNFINISHED or time.monotonic() >= ends:
            return found
        time.sleep(POLL_S)
