"""The commands of ``ugtj cloud``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.cloud.target import ParametersFile, Stage, target_of
from cli.output import FAILED, AsJson, console, show, table

if TYPE_CHECKING:
    from cli.doctor.checks import Finding

app = typer.Typer(
    help="Deploy to AWS, and what belongs to it.",
    epilog="Example: ugtj cloud check --stage dev",
    no_args_is_help=True,
)
MARKS = {"ok": "✓", "warning": "!", "problem": "✗", "unknown": "?"}


@app.command(epilog="Example: ugtj cloud check --stage dev; exit code 1 if there is a problem")
def check(
    context: typer.Context,
    stage: Stage = "dev",
    parameters: ParametersFile = None,
    json: AsJson = False,
) -> None:
    """Look for all that would stop a deployment; say what mends each."""
    from cli.commands.cloud import checks

    with console(stderr=True).status("Looking ..."):
        findings = checks.check(target_of(context, stage, parameters))
    show_findings(findings, json)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(FAILED)


def show_findings(findings: list[Finding], json: bool) -> None:
    """Print findings as a table, or as JSON."""
    problems = sum(finding.verdict == "problem" for finding in findings)
    title = f"{problems} problems" if problems else "No problems"
    rows = [(MARKS[f.verdict], f.check, f.message, f.step or None) for f in findings]
    content = {"problems": problems, "findings": [finding.to_json() for finding in findings]}
    show(content, json, table(title, ("", "check", "found", "next step"), rows))


@app.command(epilog='Example: ugtj cloud init --stage dev --user-agent "Name/1.0 (me@my.org)"')
def init(
    context: typer.Context,
    stage: Stage = "dev",
    user_agent: Annotated[
        str | None, typer.Option(help='What hh.ru is told: "Name/1.0 (mail)".')
    ] = None,
    redirect_uri: Annotated[
        str | None, typer.Option(help="The redirect URI registered at dev.hh.ru.")
    ] = None,
    parameters: ParametersFile = None,
    json: AsJson = False,
) -> None:
    """Create the secrets, API Gateway's role for logs and the file of parameters; repeatable.

    Secrets are generated, or read from UGTJ_DATABASE_URL, UGTJ_HH_CLIENT_ID and
    UGTJ_HH_CLIENT_SECRET, else asked for; none is printed.
    """
    from cli.commands.cloud import bootstrap

    target = target_of(context, stage, parameters)
    done = bootstrap.prepare(target, user_agent, redirect_uri)
    content = {"created": done.created, "existing": done.existing, "file": str(target.file)}
    lines = [f"Created {name}." for name in done.created]
    lines += [f"Found the secret {name}; it is used as it is." for name in done.existing]
    lines.append(f"{target.file} is complete. Next: ugtj cloud check --stage {stage}")
    show(content, json, *lines)
