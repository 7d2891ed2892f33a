"""``ugtj notifications``: what a person is told, where, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli.output import AsJson, User, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="Notifications by e-mail, Telegram and webhook.",
    epilog="Example: ugtj notifications channels",
    no_args_is_help=True,
)


@app.command("show")
def show_settings(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Show the settings, the channels and the latest notifications."""
    state: State = context.obj
    found = state.core.get("/api/notifications", user_id=user or state.profile.user)
    settings = found["settings"]
    quiet = settings["quiet_hours"]
    hours = f"{quiet['since']}-{quiet['until']}" if quiet else "none"
    digest = settings["digest"]
    summary = (
        f"{settings['time_zone']}, {settings['language']}; quiet hours {hours}; "
        f"digest {digest['every']}, at {digest['hour']}:00"
    )
    kinds = [
        (kind, ", ".join(route["channels"]) or "nowhere", route["when"])
        for kind, route in settings["kinds"].items()
    ]
    recent = [
        (n["created_at"], n["kind"], n["channel_kind"], n["state"], n["error"] or "")
        for n in found["recent"]
    ]
    show(
        found,
        json,
        summary,
        table("Kinds", ("kind", "channels", "when"), kinds),
        _channels(found["channels"]),
        table("Latest", ("at", "kind", "channel", "state", "error"), recent),
    )


@app.command()
def channels(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """List the channels."""
    state: State = context.obj
    found = state.core.get("/api/notifications/channels", user_id=user or state.profile.user)
    show(found, json, _channels(found["items"]))


@app.command("test")
def send_test(context: typer.Context, id: str, user: User = None, json: AsJson = False) -> None:
    """Send a message that tests a channel."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user}
    answer = state.core.post(f"/api/notifications/channels/{id}/test", body)
    show(answer, json, "The message is on its way; ugtj notifications show says what came of it.")


def _channels(items: list[dict[str, Any]]) -> Any:
    rows = [(c["id"], c["kind"], c["hint"], c["state"], c["reason"] or "") for c in items]
    return table("Channels", ("id", "kind", "address", "state", "reason"), rows)
