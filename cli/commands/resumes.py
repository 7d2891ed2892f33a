"""``ugtj resumes``: a person's resumes at hh.ru, and raising them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import USAGE, AsJson, CommandError, User, facts, show

if TYPE_CHECKING:
    from cli.state import State

EXAMPLE = "6506c648f2ac94a2c87681fb931bda5d9fc295"  # the demo person's, in the sandbox
app = typer.Typer(
    help="A person's resumes at hh.ru: raising them to the top of employers' searches.",
    epilog=f"Example: ugtj resumes show {EXAMPLE}",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(help="hh.ru's id of the resume.")]


@app.command("show", epilog=f"Example: ugtj resumes show {EXAMPLE}")
def show_raise(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Show when a resume was raised, and when it may be or will be raised next."""
    state: State = context.obj
    found = state.core.get(f"/api/hh/resumes/{id}/raise", user_id=user or state.profile.user)
    show(found, json, facts("Resume", _shown(found)))


@app.command("raise", epilog=f"Example: ugtj resumes raise {EXAMPLE}; once in four hours")
def raise_resume(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Raise a resume now; hh.ru allows it every four hours."""
    state: State = context.obj
    found = state.core.post(f"/api/hh/resumes/{id}/raise", user_id=user or state.profile.user)
    show(found, json, facts("Raised", _shown(found)))


@app.command(epilog=f"Example: ugtj resumes schedule {EXAMPLE} --hours 09:00-18:00")
def schedule(
    context: typer.Context,
    id: Id,
    at: Annotated[list[str] | None, typer.Option(help="A time of day, such as 09:00.")] = None,
    hours: Annotated[
        str | None, typer.Option(help="Every four hours within these, such as 09:00-18:00.")
    ] = None,
    days: Annotated[str | None, typer.Option(help="Days of the week, such as 1,2,3,4,5.")] = None,
    zone: Annotated[str | None, typer.Option(help="The time zone; by default Moscow's.")] = None,
    off: Annotated[bool, typer.Option("--off", help="By hand alone.")] = False,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Raise a resume every four hours, or at given times; by default at all hours."""
    state: State = context.obj
    if off + bool(at) + bool(hours) > 1:
        raise CommandError("choose one of --at, --hours and --off", code=USAGE)
    wanted = _schedule(at, hours, days, off=off) | ({"time_zone": zone} if zone else {})
    body = {"user_id": user or state.profile.user, "schedule": wanted}
    found = state.core.call("PUT", f"/api/hh/resumes/{id}/raise-schedule", body=body)
    show(found, json, facts("Schedule", _shown(found)))


def _schedule(
    at: list[str] | None, hours: str | None, days: str | None, *, off: bool
) -> dict[str, Any]:
    if off:
        return {"mode": "off"}
    try:
        on_days = {"days": [int(day) for day in days.split(",")]} if days else {}
    except ValueError:
        raise CommandError("days are numbers, 1 is Monday", "--days 1,2,3", code=USAGE) from None
    if at:
        return {"mode": "at_times", "times": at, **on_days}
    begins, _, ends = (hours or ("00:00-00:00" if on_days else "")).partition("-")
    within = {"working_hours": {"from": begins, "to": ends, **on_days}} if begins else {}
    return {"mode": "every_four_hours", **within}


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is printed of a state; what it does not have is left out."""
    names = {
        "resume_id": "resume",
        "message": "last raise",
        "raised_at": "raised",
        "hh_updated_at": "hh.ru shows",
        "next_raise_at": "allowed from",
        "scheduled_at": "raised next",
        "link": "at hh.ru",
    }
    shown = {title: found[name] for name, title in names.items() if found[name] is not None}
    return {**shown, "schedule": found["schedule"]["mode"].replace("_", " ")}
