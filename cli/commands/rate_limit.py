"""``ugtj rate-limit``: where a person stands with both limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.output import AsJson, User, facts, show

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="The token bucket (20, 8 an hour) and hh.ru's 200 applications in 24 hours.",
    epilog="Example: ugtj rate-limit status",
    no_args_is_help=True,
)


@app.command()
def status(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Show where the user stands."""
    state: State = context.obj
    found = state.core.get("/api/rate-limit/status", user_id=user or state.profile.user)
    bucket = "■" * int(found["tokens"]) + "□" * (int(found["capacity"]) - int(found["tokens"]))
    shown = {
        "tokens": f"{bucket} {found['tokens']} of {found['capacity']}",
        "next token": found["next_refill"],
        "applications in 24 hours": f"{found['applications_today']} of 200",
        "may apply now": found["can_apply"],
    }
    show(found, json, facts("Rate limit", shown))


@app.command()
def check(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Take a token, as the BFF does before it applies by itself."""
    state: State = context.obj
    body = {"user_id": user or state.profile.user}
    answer = state.core.post("/api/v1/rate-limit/check", body)
    show(answer, json, facts("Token", {k: v for k, v in answer.items() if k != "success"}))


@app.command()
def reset(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """Fill the user's bucket, as the administrator."""
    state: State = context.obj
    path = f"/api/rate-limit/{user or state.profile.user}"
    answer = state.core.call("DELETE", path, admin=True)
    show(answer, json, f"{answer['tokens']} tokens")
