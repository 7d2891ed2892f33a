"""``ugtj trail``: everything that one request, run or application led to, as a waterfall."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli import log_lines
from cli.output import USAGE, AsJson, CommandError, cell, show

if TYPE_CHECKING:
    from cli.log_lines import Line
    from cli.state import State

ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
TRACE_ID = re.compile(r"[0-9a-f]{32}")
BAR = 30  # characters
MAX_TRACES = 5
COLOURS = {
    "request": "bold", "invocation": "bold cyan", "sql": "blue", "aws": "yellow", "hh": "magenta",
    "pace": "dim", "message": "green", "frame": "bold green",
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ugtj trail 4bf92f3577b34da6a3ce929d0e0e4736")(trail)


def trail(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="A trace, X-Request-ID, application, run or account.")],
    json: AsJson = False,
) -> None:
    """Show the whole trail of a request, an application or a run, from the logs."""
    state: State = context.obj
    if not ID.fullmatch(id):
        raise CommandError("an id has 8 to 64 letters, digits, - and _", code=USAGE)
    lines = lines_of(state, id)
    if not lines:
        raise CommandError(
            f"no line of the logs has the id {id}", "ugtj applications list shows ids"
        )
    content = {"id": id, "lines": [{"source": line.source, **line.fields} for line in lines]}
    show(content, json, _waterfall(lines))


def lines_of(state: State, id: str) -> list[Line]:
    """Return the lines of the traces in which the id occurs."""
    digits = id.replace("-", "").lower()
    if TRACE_ID.fullmatch(digits):
        of_trace = _of_traces(state, [digits])
        if of_trace:
            return of_trace
    found = log_lines.matching(state.profile, [id])
    traces = dict.fromkeys(str(line.fields.get("trace_id", "")) for line in found)
    known = [trace_id for trace_id in traces if TRACE_ID.fullmatch(trace_id)]
    return (_of_traces(state, known[:MAX_TRACES]) if known else []) or found


def _of_traces(state: State, trace_ids: list[str]) -> list[Line]:
    lines = log_lines.matching(state.profile, trace_ids)
    return [line for line in lines if line.fields.get("trace_id") in trace_ids]


def _waterfall(lines: list[Line]) -> Table:
    starts = [start for line in lines if (start := _start(line)) is not None]
    begin = min(starts, default=0.0)
    ends = [
        start + (_ms(line) or 0) / 1000 for line in lines if (start := _start(line)) is not None
    ]
    whole = max(max(ends, default=begin) - begin, 0.001)
    made = Table(box=None, pad_edge=False, title=f"{len(lines)} lines, {whole * 1000:,.0f} ms",
                 title_justify="left")  # fmt: skip
    for column in ("+ms", "where", "what", "ms", ""):
        made.add_column(column, justify="right" if column in ("+ms", "ms") else "left")
    for line in lines:
        start = _start(line)
        after = (start - begin) if start is not None else None
        ms = _ms(line)
        style = COLOURS.get(str(line.fields.get("kind") or line.fields.get("message")), "")
        made.add_row(
            "" if after is None else f"{after * 1000:,.0f}",
            line.source,
            Text(cell(_what(line.fields))[:90], style=style),
            "" if ms is None else f"{ms:,.1f}",
            "" if after is None else _bar(after / whole, (ms or 0) / 1000 / whole),
        )
    return made


def _bar(begin: float, width: float) -> str:
    before = min(int(begin * BAR), BAR - 1)
    return " " * before + "█" * max(1, min(round(width * BAR), BAR - before))


def _start(line: Line) -> float | None:
    try:
        return datetime.fromisoformat(str(line.fields["started_at"])).timestamp()
    except (KeyError, ValueError):
        return None


def _ms(line: Line) -> float | None:
    ms = line.fields.get("ms")
    return float(ms) if isinstance(ms, int | float) else None


def _what(fields: dict[str, Any]) -> str:
    message = str(fields.get("message"))
    if message == "span":
        outcome = fields.get("error") or fields.get("status")
        what = f"{fields.get('kind')}  {fields.get('operation')}"
        return what + (f"  → {outcome}" if outcome else "")
    if message in ("request", "invocation"):
        entry = fields.get("route") or fields.get("queue") or fields.get("rule") or ""
        return f"{message}  {entry}  → {fields.get('status', fields.get('result'))}"
    if "to" in fields:
        reason = f" ({fields['reason']})" if fields.get("reason") else ""
        return f"{message}: {fields.get('from') or 'new'} → {fields['to']}{reason}"
    return message
