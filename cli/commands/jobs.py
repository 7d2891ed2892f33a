"""``ugtj search``, ``job``, ``fit`` and ``import``: vacancies of hh.ru, and how well they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import AsJson, User, facts, show, table
from local.live.display import money

if TYPE_CHECKING:
    from cli.state import State


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("search", epilog="Example: ugtj search 'python' --area 1 --period 7")(search)
    app.command("job", epilog="Example: ugtj job 123456789 --json")(job)
    app.command("fit", epilog="Example: ugtj fit 123456789")(fit)
    app.command("import", epilog="Example: ugtj import https://hh.ru/vacancy/123456789 --apply")(
        import_links
    )


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Words, or hh.ru's query language.")] = "",
    area: Annotated[list[str] | None, typer.Option(help="hh.ru's id of a region.")] = None,
    experience: Annotated[str | None, typer.Option(help="hh.ru's id of a grade.")] = None,
    work_format: Annotated[list[str] | None, typer.Option(help="REMOTE, HYBRID, ...")] = None,
    salary: Annotated[int | None, typer.Option(help="The wish, in roubles a month.")] = None,
    period: Annotated[int | None, typer.Option(help="Days since the publication.")] = None,
    page: Annotated[int, typer.Option(min=0)] = 0,
    per_page: Annotated[int, typer.Option(min=1, max=100)] = 20,
    json: AsJson = False,
) -> None:
    """Search vacancies now."""
    state: State = context.obj
    wanted = {
        "text": text or None,
        "area": area or None,
        "experience": experience,
        "work_format": work_format or None,
        "salary": salary,
        "period": period,
        "page": page,
        "per_page": per_page,
    }
    found = state.core.post(
        "/api/jobs/search", {name: value for name, value in wanted.items() if value is not None}
    )
    rows = [
        (job["hh_vacancy_id"], job["title"], job["company"], money(job["salary"]), job["area"])
        for job in found["jobs"]
    ]
    title = f"{found['found']} vacancies, page {found['page'] + 1} of {found['pages']}"
    show(found, json, table(title, ("id", "title", "company", "salary", "area"), rows))


def job(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="hh.ru's vacancy id, or Core's.")],
    json: AsJson = False,
) -> None:
    """Show one vacancy in full."""
    state: State = context.obj
    answer: dict[str, Any] = state.core.get(f"/api/jobs/{job_id}")
    found = answer["job"]
    names = ("title", "company", "salary", "area", "url", "published_at", "skills")
    shown = {name: found[name] for name in names if name in found}
    shown["salary"] = money(found.get("salary"))
    show(answer, json, facts(found["title"], shown), "", str(found.get("description") or ""))


def fit(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="hh.ru's vacancy id, or Core's.")],
    resume: Annotated[
        str | None, typer.Option(help="A resume; by default the one that fits best.")
    ] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show how well a resume fits a vacancy, with the reasons."""
    state: State = context.obj
    query = {"user_id": user or state.profile.user} | ({"resume_id": resume} if resume else {})
    found = state.core.get(f"/api/jobs/{job_id}/fit", **query)
    rows = [(r["part"], f"{r['points']:g} of {r['of']:g}", r["en"]) for r in found["reasons"]]
    title = f"{found['score']} of 100, with the resume {found['resume_title']}"
    show(found, json, table(title, ("part", "points", "because"), rows))


def import_links(
    context: typer.Context,
    links: Annotated[list[str], typer.Argument(help="Addresses of vacancies or of searches.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Add the vacancies to a new campaign.")
    ] = False,
    campaign: Annotated[str | None, typer.Option(help="Add them to this campaign.")] = None,
    template: Annotated[str | None, typer.Option(help="A letter template's id.")] = None,
    resume: Annotated[str | None, typer.Option(help="hh.ru's resume id.")] = None,
    review: Annotated[
        str, typer.Option(help="Look before it is sent: never, findings, always.")
    ] = "never",
    min_fit: Annotated[
        int | None, typer.Option(min=0, max=100, help="Do not apply below this fit.")
    ] = None,
    max_per_search: Annotated[int, typer.Option(min=1, max=100)] = 20,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Store the vacancies of links, and apply to them if that is wanted."""
    state: State = context.obj
    body: dict[str, Any] = {
        "links": links,
        "max_per_search": max_per_search,
        "user_id": user or state.profile.user,
    }
    if apply or campaign is not None:
        body["apply"] = {
            "workflow_id": campaign,
            "letter_template_id": template,
            "hh_resume_id": resume,
            "review": review,
            "min_fit": min_fit,
        }
    answer = state.core.post("/api/jobs/import", body)
    rows = [row for found in answer["links"] for row in _link_rows(found)]
    shown = table("Links", ("link", "vacancy", "title", "company", "status"), rows)
    started = answer["campaign"]
    next_step = f"Start it: ugtj campaigns start {started['workflow_id']}" if started else ""
    show(answer, json, shown, next_step)


def _link_rows(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    if not found["vacancies"]:
        return [(found["link"], None, None, None, found["message"] or "no vacancy")]
    return [
        (found["link"], own["job_id"], own["title"], own["company"], own["status"])
        for own in found["vacancies"]
    ]
