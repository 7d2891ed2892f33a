"""The command ``ugtj doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.doctor.checks import CHECKS, health
from cli.output import FAILED, AsJson, console, show, table

if TYPE_CHECKING:
    from cli.state import State

MARKS = {"ok": "✓", "warning": "!", "problem": "✗", "unknown": "?"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ugtj doctor; exit code 1 if there is a problem")(doctor)


def doctor(context: typer.Context, json: AsJson = False) -> None:
    """Check configuration, database, hh.ru, access, clock and queues; say what mends each."""
    state: State = context.obj
    health.cache_clear()
    findings = []
    with console(stderr=True).status("Looking ...") as status:
        for check in CHECKS:
            status.update(f"Looking: {(check.__doc__ or '').partition('.')[0]} ...")
            findings.append(check(state))
    rows = [(MARKS[f.verdict], f.check, f.message, f.step or None) for f in findings]
    problems = sum(finding.verdict == "problem" for finding in findings)
    title = f"Problems: {problems}" if problems else "No problems"
    content = {"problems": problems, "findings": [finding.to_json() for finding in findings]}
    show(content, json, table(title, ("", "check", "found", "next step"), rows))
    if problems:
        raise typer.Exit(FAILED)
