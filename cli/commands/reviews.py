"""``ugtj reviews``: applications that wait for their person's yes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.applications import text_of
from cli.output import (
    AsJson,
    CommandError,
    Cursor,
    User,
    next_page,
    position,
    show,
    table,
)

if TYPE_CHECKING:
    from cli.core_api import CoreApi
    from cli.state import State

app = typer.Typer(
    help="Applications that wait for the person's yes.",
    epilog="Example: ugtj reviews list",
    no_args_is_help=True,
)
Ids = Annotated[list[str], typer.Argument(help="The ids of the applications.")]


@app.command("list")
def list_reviews(
    context: typer.Context,
    page: Annotated[int, typer.Option(min=0)] = 0,
    cursor: Cursor = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """List what waits for a yes, the oldest first, with its letter and why it waits."""
    state: State = context.obj
    query = {**position(page, cursor), "user_id": user or state.profile.user}
    found = state.core.get("/api/reviews", **query)
    rows = [
        (
            item["application_id"],
            (item["vacancy"] or {}).get("title"),
            (item["vacancy"] or {}).get("employer"),
            (item["fit"] or {}).get("score"),
            item["reason"],
            len(item["findings"]),
            item["letter"],
        )
        for item in found["items"]
    ]
    columns = ("id", "vacancy", "employer", "fit", "reason", "findings", "letter")
    show(found, json, table("Reviews", columns, rows), *next_page(found))


@app.command()
def approve(
    context: typer.Context,
    ids: Ids,
    letter_hash: Annotated[
        str | None,
        typer.Option(help="Of the letter that was read, for one application; default: as it is."),
    ] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Let applications be sent, each with its letter."""
    state: State = context.obj
    owner = user or state.profile.user
    if letter_hash is not None and len(ids) > 1:
        raise typer.BadParameter("--letter-hash is of one application")
    hashes = dict.fromkeys(ids, letter_hash) if letter_hash else _read_hashes(state.core, owner)
    # What does not wait for a yes is answered as Core does, with the hash of no letter.
    items = [{"application_id": id, "letter_hash": hashes.get(id) or "0" * 64} for id in ids]
    answer = state.core.post("/api/reviews/approve", {"user_id": owner, "items": items})
    _show_answers(answer, json)


@app.command()
def reject(
    context: typer.Context,
    ids: Ids,
    rule: Annotated[
        str | None,
        typer.Option(help="Drop such vacancies from now on: employer, or title_word."),
    ] = None,
    title_word: Annotated[str | None, typer.Option(help="The word of title_word.")] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Cancel applications; optionally drop such vacancies from now on."""
    state: State = context.obj
    body = {
        "user_id": user or state.profile.user,
        "application_ids": ids,
        "rule": rule,
        "title_word": title_word,
    }
    _show_answers(state.core.post("/api/reviews/reject", body), json)


@app.command()
def edit(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The id of the application.")],
    letter: Annotated[str, typer.Argument(help="The letter, or @FILE.")],
    user: User = None,
    json: AsJson = False,
) -> None:
    """Replace the letter, and show what the check finds in it."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user, "letter": text_of(letter)}
    edited = state.core.call("PUT", f"/api/reviews/{id}", body=body)
    rows = [(f["rule"], f["text"], f["en"]) for f in edited["findings"]]
    show(edited, json, table(f"{len(rows)} findings", ("rule", "text", "because"), rows))


def _read_hashes(core: CoreApi, owner: str | None) -> dict[str, str]:
    """Return the hash of each letter that waits for a yes, by the application's id."""
    hashes: dict[str, str] = {}
    cursor = None
    while True:
        query = {"per_page": 100, "cursor": cursor, "user_id": owner}
        found = core.get("/api/reviews", **query)
        hashes |= {item["application_id"]: item["letter_hash"] for item in found["items"]}
        cursor = found["next_cursor"]
        if cursor is None:
            return hashes


def _show_answers(answer: dict[str, Any], json: bool) -> None:
    rows = [(item["application_id"], item["state"], item["error"]) for item in answer["items"]]
    show(answer, json, table("Applications", ("id", "state", "error"), rows))
    failed = sum(1 for _, _, error in rows if error)
    if failed:
        raise CommandError(f"{failed} of {len(rows)} are as they were")
