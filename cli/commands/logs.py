"""``ugtj logs``: log lines as they come."""

from __future__ import annotations

import json as json_library
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import log_lines
from cli.output import AsJson, console
from local.terminal import printable

if TYPE_CHECKING:
    from cli.state import State


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ugtj logs submit -f")(logs)


def logs(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help="A function or service, such as submit; else all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many lines first.")] = 50,
    spans: Annotated[bool, typer.Option("--spans", help="With each statement and call.")] = False,
    json: AsJson = False,
) -> None:
    """Show the logs of functions and services."""
    state: State = context.obj
    for line in log_lines.follow(state.profile, source, last=last, onwards=follow):
        if line.fields.get("message") == "span" and not spans:
            continue
        if json:
            content = {"at": line.at, "source": line.source, "fields": line.fields or None,
                       "text": None if line.fields else line.text}  # fmt: skip
            sys.stdout.write(json_library.dumps(content, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            text = f"{line.at[11:23]}  {line.source:<14}  {_text(line)}"
            console().print(printable(text), markup=False)


def _text(line: log_lines.Line) -> str:
    if not line.fields:
        return line.text
    hidden = {"level", "location", "message", "timestamp", "service", "span_id", "parent_id",
              "started_at", "xray_trace_id"}  # fmt: skip
    shown = [f"{name}={value}" for name, value in line.fields.items() if name not in hidden]
    return f"{line.fields.get('message')}  {' '.join(shown)}"
