"""What commands print: tables for people, JSON for programs, and errors with the next step.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 not reachable; 4 a person has to act.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from local.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

FAILED, USAGE, UNREACHABLE, PERSON = 1, 2, 3, 4

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
User = Annotated[str | None, typer.Option("--user", help="The user; by default the profile's.")]

Cursor = Annotated[
    str | None, typer.Option(help="next_cursor of the page before, in place of --page.")
]


class CommandError(Exception):
    """A command that failed. *step*: what to do next. *code*: the exit code. *status* and *error*:
    the HTTP status and the error code of Core's answer, if there was one."""

    def __init__(
        self,
        message: str,
        step: str = "",
        *,
        code: int = FAILED,
        status: int | None = None,
        error: str | None = None,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.code = code
        self.status = status
        self.error = error


def console(*, stderr: bool = False) -> Console:
    """Return a console of the present standard output, or error."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False)


def show(content: Any, as_json: bool, *renderables: Any) -> None:
    """Print *content* as JSON, or else *renderables* for people."""
    if as_json:
        sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n")
        return
    for renderable in renderables:
        text = printable(renderable) if isinstance(renderable, str) else renderable
        console().print(text, markup=False)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Return a table; numbers stand to the right."""
    listed = [list(row) for row in rows]
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        values = [row[number] for row in listed]
        is_number = bool(values) and all(isinstance(v, int | float) for v in values)
        made.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        made.add_row(*(cell(value) for value in row))
    return made


def show_page(
    found: dict[str, Any],
    as_json: bool,
    noun: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]],
) -> None:
    """Print a page of a listing, and how to go on."""
    title = noun.capitalize() if found["found"] is None else f"{found['found']} {noun}"
    show(found, as_json, table(title, columns, rows), *next_page(found))


def next_page(found: dict[str, Any]) -> list[str]:
    """Return how to go on after a page of a listing; nothing after the last one."""
    return [f"More: --cursor {found['next_cursor']}"] if found["next_cursor"] else []


def position(page: int, cursor: str | None) -> dict[str, Any]:
    """Return the query of a page of a listing: by its number, or by a cursor."""
    return {"page": page} if cursor is None else {"cursor": cursor}


def facts(title: str, values: dict[str, Any]) -> Table:
    """Return a table of two columns: names and values."""
    return table(title, ("", ""), values.items())


def cell(value: Any) -> Any:
    """Return a value as a person writes it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "–"
    return printable(when(value) if isinstance(value, str) else str(value))


def when(text: str) -> str:
    """Return an ISO time as a person writes it, in local time; any other text as it is."""
    if len(text) < 19 or text[10:11] != "T":
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    local = moment.astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%d %b %Y, %H:%M")


def fail(error: CommandError) -> None:
    """Print an error and its next step."""
    target = console(stderr=True)
    target.print(f"Error: {printable(str(error))}", markup=False, style="red")
    if error.step:
        target.print(f"  Next: {printable(error.step)}", markup=False)
