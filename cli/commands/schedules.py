"""``ugtj schedules``: saved searches, which Core runs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import AsJson, Cursor, User, facts, position, show, show_page, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="Saved searches, which Core runs by itself.",
    epilog="Example: ugtj schedules add python --area 1 --every 1800",
    no_args_is_help=True,
)
Mode = Annotated[
    str | None,
    typer.Option("--apply", help="What becomes of what it finds: off, review or auto."),
]
Template = Annotated[str | None, typer.Option(help="The id of a letter template.")]
Resume = Annotated[str | None, typer.Option(help="hh.ru's id of the resume to apply with.")]
PerDay = Annotated[
    int | None, typer.Option(min=1, max=200, help="Applications in any 24 hours, at most.")
]
Share = Annotated[
    int | None, typer.Option(min=1, max=100, help="Percent of the tokens that it may use.")
]
Hours = Annotated[str | None, typer.Option(help="When applications are sent, such as 09:00-18:00.")]
Zone = Annotated[str | None, typer.Option(help="The time zone of these hours.")]
MinFit = Annotated[
    int | None, typer.Option(min=0, max=100, help="Apply to nothing that fits less.")
]
Id = Annotated[str, typer.Argument(help="The id of the saved search.")]


@app.command("list")
def list_searches(context: typer.Context, user: User = None, json: AsJson = False) -> None:
    """List the user's saved searches, with their last runs."""
    state: State = context.obj
    found = state.core.get("/api/schedules", user_id=user or state.profile.user)
    rows = [
        (
            item["id"],
            item["name"],
            "paused" if item["paused"] else f"every {item['interval_seconds'] // 60} min",
            item["next_run_at"],
            _run(item["last_run"]),
            _autopilot(item["apply"]),
        )
        for item in found["items"]
    ]
    columns = ("id", "name", "runs", "next", "last run", "applies")
    show(found, json, table("Saved searches", columns, rows))


@app.command()
def add(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Words, or the address of a search at hh.ru.")],
    area: Annotated[list[str] | None, typer.Option(help="hh.ru's id of a region.")] = None,
    name: Annotated[str | None, typer.Option(help="How you call it.")] = None,
    every: Annotated[int, typer.Option(min=300, help="Seconds between two runs.")] = 1800,
    apply: Mode = None,
    template: Template = None,
    resume: Resume = None,
    per_day: PerDay = None,
    share: Share = None,
    hours: Hours = None,
    zone: Zone = None,
    min_fit: MinFit = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Save a search; the same search again is the same saved search."""
    state: State = context.obj
    search: Any = text if "://" in text else {"text": text, **({"area": area} if area else {})}
    body = {
        "user_id": user or state.profile.user,
        "search": search,
        "name": name or text[:200],
        "interval_seconds": every,
        "apply": _apply(apply, template, resume, per_day, share, hours, zone, min_fit),
    }
    saved = state.core.post("/api/schedules", body)
    show(saved, json, f"Saved: {saved['name']}, {saved['id']}")


@app.command("show")
def show_search(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Show one saved search."""
    state: State = context.obj
    found = state.core.get(f"/api/schedules/{id}", user_id=user or state.profile.user)
    shown = {name: value for name, value in found.items() if name not in ("success", "last_run")}
    show(found, json, facts(found["name"], {**shown, "last_run": _run(found["last_run"])}))


@app.command()
def matches(
    context: typer.Context,
    id: Id,
    filtered: Annotated[
        bool, typer.Option("--filtered", help="Those that your filters dropped.")
    ] = False,
    page: Annotated[int, typer.Option(min=0)] = 0,
    min_fit: Annotated[
        int | None, typer.Option(min=0, max=100, help="The best first, and none below.")
    ] = None,
    cursor: Cursor = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """List what a saved search announced, or what your filters kept from being announced."""
    state: State = context.obj
    query = {"filtered": str(filtered).lower(), **position(page, cursor)}
    if min_fit is not None:
        query |= {"sort": "fit", "min_fit": min_fit}
    found = state.core.get(
        f"/api/schedules/{id}/matches", **query, user_id=user or state.profile.user
    )
    names = ("id", "title", "company", "fit", "filtered_by", "at")
    rows = [tuple(match[name] for name in names) for match in found["items"]]
    columns = ("vacancy", "title", "company", "fit", "dropped by", "found")
    show_page(found, json, "vacancies", columns, rows)


@app.command()
def edit(
    context: typer.Context,
    id: Id,
    name: Annotated[str | None, typer.Option(help="How you call it.")] = None,
    every: Annotated[int | None, typer.Option(min=300, help="Seconds between two runs.")] = None,
    text: Annotated[str | None, typer.Option(help="Other words, or an address.")] = None,
    apply: Mode = None,
    template: Template = None,
    resume: Resume = None,
    per_day: PerDay = None,
    share: Share = None,
    hours: Hours = None,
    zone: Zone = None,
    min_fit: MinFit = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Change a saved search."""
    search: Any = text if text is None or "://" in text else {"text": text}
    changes = {
        "name": name,
        "interval_seconds": every,
        "search": search,
        "apply": _apply(apply, template, resume, per_day, share, hours, zone, min_fit),
    }
    _change(context, id, user, json, changes)


@app.command()
def pause(
    context: typer.Context,
    id: Id,
    off: Annotated[bool, typer.Option("--off", help="Let it run again.")] = False,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Pause a saved search, or let it run again."""
    _change(context, id, user, json, {"paused": not off})


@app.command()
def fetch(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Run a saved search now, and wait for the run."""
    state: State = context.obj
    answer = state.core.post(f"/api/schedules/{id}/fetch", user_id=user or state.profile.user)
    show(answer, json, _run(answer["run"]))


@app.command("rm")
def remove(context: typer.Context, id: Id, user: User = None, json: AsJson = False) -> None:
    """Delete a saved search."""
    state: State = context.obj
    query = {"user_id": user or state.profile.user}
    answer = state.core.call("DELETE", f"/api/schedules/{id}", query=query)
    show(answer, json, "Deleted.")


def _apply(
    mode: str | None,
    template: str | None,
    resume: str | None,
    per_day: int | None,
    share: int | None,
    hours: str | None,
    zone: str | None,
    min_fit: int | None,
) -> dict[str, Any] | None:
    """Return the settings of the autopilot that were given; ``None`` without any."""
    opens, _, closes = (hours or "").partition("-")
    settings = {
        "mode": mode,
        "letter_template_id": template,
        "hh_resume_id": resume,
        "max_per_day": per_day,
        "bucket_share": share,
        "working_hours": {"from": opens, "to": closes} if hours else None,
        "time_zone": zone,
        "min_fit": min_fit,
    }
    return {name: value for name, value in settings.items() if value is not None} or None


def _change(
    context: typer.Context,
    id: str,
    user: str | None,
    as_json: bool,
    changes: dict[str, Any],
) -> None:
    state: State = context.obj
    given = {name: value for name, value in changes.items() if value is not None}
    body = {"user_id": user or state.profile.user, **given}
    changed = state.core.call("PATCH", f"/api/schedules/{id}", body=body)
    show(changed, as_json, f"Changed: {changed['name']}, next run {changed['next_run_at']}")


def _autopilot(apply: dict[str, Any]) -> str:
    counts = apply["counts"]
    if apply["mode"] == "off" and not counts["found"]:
        return "off"
    state = "paused" if apply["is_paused"] else apply["mode"]
    return (
        f"{state}: {counts['sent_today']} sent today, {counts['waiting']} waiting, "
        f"{counts['in_review']} in review"
    )


def _run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none yet"
    reason = f" ({run['reason']})" if run["reason"] else ""
    return f"{run['state']}{reason}: found {run['found']}, new {run['new']}"
