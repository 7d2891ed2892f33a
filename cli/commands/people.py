"""``ugtj people``: the people whom Core works for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import typer
from rich.prompt import Confirm

from cli.core_api import client
from cli.database import connect_database
from cli.output import (
    PERSON,
    UNREACHABLE,
    USAGE,
    AsJson,
    CommandError,
    User,
    cell,
    console,
    facts,
    show,
    table,
    when,
)

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="The people whom Core works for.",
    epilog="Example: ugtj people connect timur",
    no_args_is_help=True,
)
EveryCampaign = Annotated[
    bool, typer.Option("--all", help="Every campaign, also those without an autopilot.")
]
EXAMPLE = "123e4567-e89b-12d3-a456-426614174000"  # of RFC 9562; nobody's
SELECT_PEOPLE = """
    SELECT u.id AS user_id, a.id AS account_id, a.access_state AS access, u.inserted_at AS since,
           (SELECT count(*) FROM saved_searches s WHERE s.account_id = a.id) AS searches,
           (SELECT count(*) FROM application_ledger l WHERE l.account_id = a.id) AS applications
    FROM users u JOIN accounts a ON a.id = u.account_id
    ORDER BY u.inserted_at DESC, u.id LIMIT 200
"""


@app.command()
def connect(
    context: typer.Context,
    person: Annotated[str, typer.Argument(help="A person of the sandbox, such as anna.")] = "",
    user: User = None,
    json: AsJson = False,
) -> None:
    """Connect a person: of the sandbox at once; of the real hh.ru by the address to open."""
    state: State = context.obj
    session_id = user or str(uuid4())
    url = state.core.get("/auth/hh/redirect", session_id=session_id)["url"]
    if not person:
        content = {"session_id": session_id, "url": url}
        show(content, json, "Open this address and log in at hh.ru:", url)
        return
    try:
        form = {"person": person, "decision": "allow"}
        location = client().post(url, data=form, timeout=10).headers.get("location", "")
    except httpx.HTTPError as error:
        raise CommandError(
            f"the login page does not answer ({type(error).__name__})", code=UNREACHABLE
        ) from None
    returned = dict(parse_qsl(urlsplit(location).query))
    if "code" not in returned:
        raise CommandError(
            f"hh.ru does not let {person} in", "ugtj open connect shows who there is", code=PERSON
        )
    state.core.get("/auth/hh/callback", session_id=session_id, **returned)
    content = {"user_id": session_id, "person": person}
    show(content, json, f"{person} is connected as the user {session_id}.")


@app.command("list")
def list_people(context: typer.Context, json: AsJson = False) -> None:
    """List users and their accounts (reads the database)."""
    state: State = context.obj
    with connect_database(state.profile) as connection:
        rows: list[dict[str, Any]] = connection.execute(SELECT_PEOPLE).fetchall()
    columns = ("user_id", "access", "searches", "applications", "since")
    shown = [[cell(row[name]) for name in columns] for row in rows]
    show({"people": rows}, json, table(f"{len(rows)} users", columns, shown))


@app.command("show")
def show_person(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Show a user's account, access, limits, searches and applications."""
    state: State = context.obj
    owner = user or state.profile.user
    account = state.core.get(f"/api/accounts/{owner}")
    access = account["access"] or {}
    shown = {"user": owner, "connected": account["connected"], "access": access.get("state")}
    if access.get("message"):
        shown["next step"] = access["message"]
    shown |= {
        f"hh.ru: {method['method']}": _describe(method)
        for method in account["methods"]
        if method["state"] != "unknown"
    }
    content = {"account": account}
    if account["account_id"]:
        limit = content["limit"] = state.core.get("/api/rate-limit/status", user_id=owner)
        searches = content["searches"] = state.core.get("/api/schedules", user_id=owner)["items"]
        made = content["applications"] = state.core.get("/api/applications", user_id=owner)
        shown |= {
            "tokens": f"{limit['tokens']} of {limit['capacity']}",
            "applications in 24 hours": limit["applications_today"],
            "saved searches": len(searches),
            "applications": made["found"],
        }
    show(content, json, facts("Person", shown))


@app.command("pause", epilog="Example: ugtj people pause --all")
def pause_sending(
    context: typer.Context,
    user: User = None,
    everything: EveryCampaign = False,
    json: AsJson = False,
) -> None:
    """Pause a person's autopilots: nothing more is sent, what waits is kept."""
    state: State = context.obj
    owner = user or state.profile.user
    answer = state.core.post(f"/api/accounts/{owner}/pause", {"all": everything})
    show(
        answer,
        json,
        f"Paused since {when(answer['paused_at'])}; {answer['campaigns']} campaigns ran until now.",
        f"Go on: ugtj people resume --user {owner}{' --all' if everything else ''}",
    )


@app.command("resume", epilog="Example: ugtj people resume --all")
def resume_sending(
    context: typer.Context,
    user: User = None,
    everything: EveryCampaign = False,
    json: AsJson = False,
) -> None:
    """Let go on what a pause stopped; says also that hh.ru's captcha was solved."""
    state: State = context.obj
    owner = user or state.profile.user
    body = {"autopilot": True, "all": everything}
    account = state.core.post(f"/api/accounts/{owner}/resume", body)
    access = account["access"] or {}
    show(account, json, f"The autopilots of {owner} go on.", access.get("message", ""))


@app.command("handoff-link", epilog="Example: ugtj people handoff-link")
def issue_handoff_link(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="The user; by default the profile's.")] = "",
    json: AsJson = False,
) -> None:
    """Issue a link to the page on which a person does what is left to them; it opens once."""
    state: State = context.obj
    owner = user or state.profile.user
    link = state.core.post(f"/api/accounts/{owner}/handoff-link", {})
    show(link, json, f"Opens once, until {when(link['expires_at'])}:", link["url"])


@app.command("export", epilog="Example: ugtj people export --output anna.zip")
def export_person(
    context: typer.Context,
    user: User = None,
    output: Annotated[Path, typer.Option(help="The file to write; none is overwritten.")] = Path(
        "person.zip"
    ),
    json: AsJson = False,
) -> None:
    """Write all that Core has of a person into a ZIP archive of JSON lines; no token is in it."""
    from cli import person_archive

    state: State = context.obj
    owner = user or state.profile.user
    lines = person_archive.write(state.core, owner, output)
    content = {"user_id": owner, "file": str(output), "lines": lines}
    rows = sorted((name, number) for name, number in lines.items() if number)
    show(content, json, table(f"{output}", ("file", "lines"), rows))


@app.command("delete", epilog=f"Example: ugtj people delete --user {EXAMPLE} --yes")
def delete_person(
    context: typer.Context,
    user: User = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Delete a person with all sessions, for good: tokens, applications, searches, everything."""
    state: State = context.obj
    owner = user or state.profile.user
    if not yes and not _confirm(f"Delete all that Core has of the person {owner}, for good?"):
        raise CommandError("nothing was changed")
    answer = state.core.call("DELETE", f"/api/accounts/{owner}")
    content = {"user_id": owner, "status": answer["status"], "message": answer["message"]}
    show(content, json, f"The person {owner} is being deleted: {answer['message']}.")


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("this has to be confirmed", "add --yes", code=USAGE)
    return Confirm.ask(question, console=console(stderr=True), default=False)


def _describe(method: dict[str, Any]) -> str:
    """Return what a person's method of hh.ru is like, in a line."""
    if method["state"] == "open":
        return "open"
    whom = "everybody" if method["closed_for"] == "service" else "this account"
    return f"closed to {whom} until {when(method['next_probe_at'])}: {method['message']}"
