"""``ugtj sandbox``: hh.ru's sandbox of the local cloud."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from cli.core_api import client
from cli.output import UNREACHABLE, USAGE, AsJson, CommandError, facts, show, table

if TYPE_CHECKING:
    from cli.state import State

app = typer.Typer(
    help="hh.ru's sandbox: its clock, faults, employers and doors.",
    epilog="Example: ugtj sandbox clock --advance 2h",
    no_args_is_help=True,
)
DURATION = re.compile(r"(\d+)(s|m|h|d)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command("state")
def show_state(context: typer.Context, json: AsJson = False) -> None:
    """Show the sandbox's clock, era, vacancies and calls."""
    found = control(context.obj, "GET", "/state")
    shown = {name: value for name, value in found.items() if not isinstance(value, dict | list)}
    show(found, json, facts("hh.ru's sandbox", shown))


@app.command()
def clock(
    context: typer.Context,
    advance: Annotated[str | None, typer.Option(help="Jump ahead: 30m, 2h, 1d.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Seconds per real second.")] = None,
    json: AsJson = False,
) -> None:
    """Show the clock, jump ahead, or let it run faster."""
    body: dict[str, float] = {}
    if advance is not None:
        body["advance_seconds"] = _seconds(advance)
    if rate is not None:
        body["rate"] = rate
    answer = control(context.obj, "POST" if body else "GET", "/clock" if body else "/state", body)
    show(answer, json, facts("Clock", _clock_of(answer)))


@app.command()
def fault(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="Such as captcha or server_error; off clears all.")],
    path: Annotated[str | None, typer.Option(help="Only calls below this path.")] = None,
    method: Annotated[str | None, typer.Option(help="Only GET, POST, PUT or DELETE.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="For so many calls.")] = None,
    json: AsJson = False,
) -> None:
    """Let hh.ru fail, or clear all faults."""
    if kind == "off":
        answer = control(context.obj, "DELETE", "/faults")
        show(answer, json, "No faults any more.")
        return
    given = {"kind": kind, "path": path, "method": method, "times": times}
    body = {name: value for name, value in given.items() if value is not None}
    show(control(context.obj, "POST", "/faults", body), json, f"{kind} is on.")


@app.command()
def employer(
    context: typer.Context,
    act: Annotated[str, typer.Argument(help="viewed, message, invitation, discard, ...; or list.")],
    negotiation: Annotated[str | None, typer.Argument(help="The negotiation's id.")] = None,
    text: Annotated[str | None, typer.Option(help="What the employer writes.")] = None,
    json: AsJson = False,
) -> None:
    """Act as the employer on an application, or list the applications."""
    if act == "list":
        found = control(context.obj, "GET", "/applications")
        rows = [
            (a.get("negotiation_id"), a["person"], a["vacancy_id"], a["outcome"], a.get("state"))
            for a in found["applications"]
        ]
        columns = ("negotiation", "person", "vacancy", "outcome", "state")
        show(found, json, table("Applications at hh.ru", columns, rows))
        return
    if negotiation is None:
        raise CommandError("which negotiation?", "ugtj sandbox employer list", code=USAGE)
    body = {"act": act, **({"text": text} if text else {})}
    answer = control(context.obj, "POST", f"/applications/{negotiation}/act", body)
    show(answer, json, f"The employer has done it: {act}.")


@app.command()
def mode(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="open or closed.")],
    json: AsJson = False,
) -> None:
    """Open hh.ru's applicant methods to third parties, or close them."""
    show(control(context.obj, "POST", "/mode", {"mode": name}), json, f"hh.ru is {name}.")


@app.command()
def era(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="2025, closed, removed-404, removed-405, removed-410 or 2026.")
    ],
    json: AsJson = False,
) -> None:
    """Switch to another era of hh.ru: which of its methods answer."""
    show(control(context.obj, "POST", "/era", {"era": name}), json, f"hh.ru is of the era {name}.")


def control(state: State, method: str, path: str, body: Any = None) -> Any:
    """Call a control route of the sandbox. Raises :class:`CommandError`."""
    profile = state.profile
    if not profile.is_local or profile.settings.hh_api_url is not None:
        raise CommandError("there is a sandbox in the local cloud alone", code=USAGE)
    url = f"http://127.0.0.1:{profile.ports['hh']}/_sandbox{path}"
    try:
        answer = client().request(method, url, json=body or None, timeout=60)
    except httpx.HTTPError:
        raise CommandError("the sandbox does not answer", "make run", code=UNREACHABLE) from None
    if answer.is_error:
        raise CommandError(str(answer.json().get("error", answer.status_code)), code=USAGE)
    return answer.json()


def _clock_of(answer: dict[str, Any]) -> dict[str, Any]:
    clock: dict[str, Any] = answer.get("clock", answer)
    return clock if isinstance(clock, dict) else {"now": clock}


def _seconds(text: str) -> int:
    parts = DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise CommandError(f"{text} is no duration: 90s, 30m, 2h, 1d12h", code=USAGE)
    return sum(int(number) * SECONDS[unit] for number, unit in parts)
