"""The commands of ``ugtj cloud``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.prompt import Confirm

from cli.commands.cloud import telegram
from cli.commands.cloud.target import ParametersFile, Stage, target_of
from cli.output import FAILED, USAGE, AsJson, CommandError, console, facts, show, table

if TYPE_CHECKING:
    from cli.doctor.checks import Finding

app = typer.Typer(
    help="Deploy to AWS, and what belongs to it.",
    epilog="Example: ugtj cloud check --stage dev",
    no_args_is_help=True,
)
app.add_typer(telegram.app, name="telegram")
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
User = Annotated[
    str | None,
    typer.Option(envvar="UGTJ_USER", help="For whom the smoke test opens a socket."),
]
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
    title = f"Problems: {problems}" if problems else "No problems"
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


@app.command(epilog="Example: ugtj cloud deploy --stage dev")
def deploy(
    context: typer.Context,
    stage: Stage = "dev",
    arch: Annotated[str, typer.Option(envvar="ARCH", help="arm64 or x86_64.")] = "arm64",
    parameters: ParametersFile = None,
    user: User = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Check, build, deploy, test; the database is migrated before the functions change.

    A release that passes its smoke test can be brought back with "ugtj cloud rollback".
    """
    from cli.commands.cloud import checks, deployment, releases

    target = target_of(context, stage, parameters)
    if arch not in deployment.ARCHITECTURES:
        raise CommandError(f"ARCH is arm64 or x86_64, not {arch}", code=USAGE)
    findings = checks.check(target)
    if any(finding.verdict == "problem" for finding in findings):
        show_findings(findings, json)
        raise typer.Exit(FAILED)
    deployment.build(arch)
    deployment.deploy(target, arch, ask=stage == "prod" and not yes)
    smoked = deployment.smoke_stack(target, user)
    show_findings(smoked, json)
    if any(finding.verdict == "problem" for finding in smoked):
        message = f"{target.stack} was deployed, and does not pass its smoke test"
        raise CommandError(message, f"ugtj cloud rollback --stage {stage}")
    releases.record(target)


@app.command(epilog="Example: ugtj cloud smoke --stage dev; exit code 1 if something fails")
def smoke(
    context: typer.Context,
    stage: Stage = "dev",
    user: User = None,
    json: AsJson = False,
) -> None:
    """Test the deployed Core: health, schema, a search, a socket, an application."""
    from cli.commands.cloud import deployment

    findings = deployment.smoke_stack(target_of(context, stage), user)
    show_findings(findings, json)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(FAILED)


@app.command(epilog="Example: ugtj cloud status --stage prod")
def status(context: typer.Context, stage: Stage = "dev", json: AsJson = False) -> None:
    """Show the deployed stack: its state, commit, addresses, alarms and good releases."""
    from cli.commands.cloud import deployment

    found = deployment.describe(target_of(context, stage))
    show(found, json, facts(found["stack"], found))


@app.command(epilog="Example: ugtj cloud rollback --stage prod")
def rollback(
    context: typer.Context,
    stage: Stage = "dev",
    commit: Annotated[str | None, typer.Option(help="Its commit; else the last good one.")] = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Bring the last good release back; the database stays as it is."""
    from cli.commands.cloud import releases

    target = target_of(context, stage)
    release = releases.choose_last_good(target, commit)
    if not yes and not _confirm(f"Bring {target.stack} back to {release.commit}?"):
        raise CommandError("nothing was changed")
    releases.bring_back(target, release)
    content = {"stack": target.stack, "commit": release.commit, "deployed_at": release.at}
    show(content, json, f"{target.stack} is at {release.commit}, deployed {release.at}.")


@app.command(epilog="Example: ugtj cloud destroy --stage dev")
def destroy(
    context: typer.Context,
    stage: Stage = "dev",
    everything: Annotated[
        bool, typer.Option("--everything", help="The secrets, the key and the releases, too.")
    ] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Delete the stack of a stage."""
    from cli.commands.cloud import deployment

    target = target_of(context, stage)
    target.require_stack()
    if not yes and not _confirm(f"Delete {target.stack} in {target.region}?"):
        raise CommandError("nothing was changed")
    kept = deployment.destroy(target, everything=everything)
    content = {"stack": target.stack, "kept": kept}
    show(content, json, f"{target.stack} is deleted. These stay: {'; '.join(kept)}.")


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("this has to be confirmed", "add --yes", code=USAGE)
    return Confirm.ask(question, console=console(stderr=True), default=False)


@app.command(epilog="Example: ugtj cloud rotate core --stage dev")
def rotate(
    context: typer.Context,
    secret: Annotated[str, typer.Argument(help="core, signing, admin, hh, database or key.")],
    stage: Stage = "dev",
    force: Annotated[
        bool, typer.Option("--force", help="The signing secret before 31 days are over.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Replace a secret by a new one, which is not printed; the former stays valid where it can."""
    from cli.commands.cloud import rotation

    left = rotation.rotate(target_of(context, stage), secret, force=force)
    show({"secret": secret, "next": left}, json, f"Rotated {secret}. Next: {left}.")


@app.command(epilog="Example: ugtj cloud cost --stage prod --days 30")
def cost(
    context: typer.Context,
    stage: Stage = "dev",
    days: Annotated[int, typer.Option(min=1, max=60, help="Of CloudWatch's durations.")] = 14,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Do not ask AWS: recorded durations.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Compute what searches, runs, applications, sockets and a month cost, from measured
    invocations and published prices."""
    from cli.cost import cloudwatch, model, report

    durations: dict[str, float] = {}
    source = "recorded, see docs/cost.md"
    if not recorded:
        try:
            durations = cloudwatch.average_durations(target_of(context, stage), days)
            source = f"CloudWatch's of {days} days for {len(durations)} functions, else recorded"
        except CommandError as error:
            source = f"recorded, since {error}"
    found = model.Model(durations)
    rows = [
        (name, report.dollars(costs.total), report.parts_of(costs))
        for name, costs in report.rows(found).items()
    ]
    databases = [(n, report.dollars(amount)) for n, amount in model.database_months().items()]
    prices = model.prices()
    show(
        {**report.to_json(found), "durations": source},
        json,
        table("US dollars", ("", "total", "largest parts"), rows),
        table("A month of database and network", ("", "total"), databases),
        f"Prices: {prices['region']}, {prices['checked']}. Durations: {source}.",
    )
