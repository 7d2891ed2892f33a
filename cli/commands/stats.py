"""``ugtj stats``: what became of the applications, with intervals; the silent ones; CSV."""

from __future__ import annotations

import csv as csv_library
import io
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from cli.output import USAGE, AsJson, CommandError, User, show, show_page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.core_api import CoreApi
    from cli.state import State

STAGES = ("found", "told", "applied", "seen", "answered", "invited", "offer")
SIGNS = {"higher": "higher", "lower": "lower", "not_different": "", "too_few": ""}


def add_to(parent: typer.Typer) -> None:
    """Add ``ugtj stats``."""
    parent.command("stats", epilog="Example: ugtj stats --by weekday")(show_stats)


def show_stats(
    context: typer.Context,
    by: Annotated[
        str,
        typer.Option(help="search, template, resume, fit, hour, weekday, employer_size or none."),
    ] = "none",
    first: Annotated[str | None, typer.Option("--from", help="A day, such as 2026-11-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A day, which is included.")] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="List what has no answer after 14 days.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write a row for each application to this new file.")
    ] = None,
    user: User = None,
    json: AsJson = False,
) -> None:
    """Show how many vacancies and applications ever reached each stage, and how certain that is."""
    state: State = context.obj
    owner = user or state.profile.user
    if silent and csv is not None:
        raise CommandError("choose --silent or --csv", code=USAGE)
    query = {"by": by, "from": first, "to": last, "user_id": owner}
    if csv is not None:
        rows = _write(csv, _parts(state.core, query))
        show({"file": str(csv), "rows": rows}, json, f"{csv}: {rows} applications")
    elif silent:
        found = state.core.get("/api/stats/silent", user_id=owner)
        listed = [
            (item["job_id"], item["title"], item["days"], item["seen"], item["suggestion"]["en"])
            for item in found["items"]
        ]
        show_page(found, json, "silent", ("vacancy", "title", "days", "seen", "suggestion"), listed)
    else:
        found = state.core.get("/api/stats", **query)
        show(found, json, *_tables(found))


def _tables(found: dict[str, Any]) -> Iterator[Any]:
    """Yield what is printed of an answer."""
    whole = [
        (stage["stage"], stage["count"], *_claim(stage["rate"])) for stage in found["all"]["stages"]
    ]
    yield table(f"{found['from']} to {found['to']}", ("stage", "ever", "rate", "of"), whole)
    times = found["all"]["time_to_answer"]
    quarters = times["of_all"]
    known = ", ".join(
        f"{share} within {quarters[name]} h"
        for name, share in (("q1", "a quarter"), ("median", "half"), ("q3", "three quarters"))
        if quarters[name] is not None
    )
    yield f"Answered {times['answered']}, waiting {times['waiting']}: {known or 'too few to say'}."
    if not found["groups"]:
        return
    groups = [
        (group["label"], *(stage["count"] for stage in group["stages"]), _verdict(group))
        for group in found["groups"]
    ]
    yield table(f"By {found['by']}", (found["by"], *STAGES, "invited, compared"), groups)


def _claim(rate: dict[str, Any] | None) -> tuple[str, str]:
    if rate is None:
        return "", ""
    of = f"{rate['n']} {rate['of']}"
    if rate["rate"] is None:
        return "too few to say", of
    return f"{rate['rate']:.0%} ({rate['low']:.0%} to {rate['high']:.0%})", of


def _verdict(group: dict[str, Any]) -> str:
    """Return how the group's invitations differ from those of the others, if they do."""
    return next(
        (SIGNS[each["verdict"]] for each in group["comparisons"] if each["stage"] == "invited"), ""
    )


def _parts(core: CoreApi, query: dict[str, Any]) -> Iterator[bytes]:
    """Yield the parts of the file; the header Link of each names the next."""
    path, values = "/api/stats.csv", {**query, "by": None}
    while True:
        answer = core.get_file(path, "text/csv", **values)
        yield answer.content
        if "next" not in answer.links:
            return
        path, values = answer.links["next"]["url"], {}


def _write(file: Path, parts: Iterator[bytes]) -> int:
    """Write *parts* to a new file that only its owner can read; return the number of rows below
    the heading. Raises :class:`CommandError`; nothing is left of a file that failed."""
    if file.exists():
        raise CommandError(f"{file} exists", "name another file with --csv")
    first = next(parts)  # before the file is made: Core may refuse
    try:
        file.touch(mode=0o600, exist_ok=False)
        with file.open("wb") as output:
            rows = _write_part(output, first)
            for part in parts:
                rows += _write_part(output, part)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}", "name another file with --csv"
        ) from None
    except CommandError:
        file.unlink(missing_ok=True)
        raise
    return rows - 1


def _write_part(output: BinaryIO, part: bytes) -> int:
    """Write a part of whole rows; return how many it has."""
    output.write(part)
    return sum(1 for _ in csv_library.reader(io.StringIO(part.decode(), newline="")))
