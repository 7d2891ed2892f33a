"""The log lines of a profile: the files of a local cloud, or CloudWatch's log groups."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli import stack
from cli.output import UNREACHABLE, USAGE, CommandError
from local.dashboard.log_tail import Tail

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from cli.profiles import Profile

QUERY_LIMIT_S = 60
LOOK_BACK_S = 14 * 86_400
MAX_LINES = 10_000
MAX_GROUPS = 50  # CloudWatch: of a query
POLL_S = 0.5
CLOUD_POLL_S = 2.0
FIRST_LOOK_MS = 600_000
LATE_MS = 30_000


@dataclass(frozen=True)
class Line:
    """A log line. *at*: ISO 8601, in UTC. *source*: the function or service. *fields*: of a JSON
    line, empty for another."""

    at: str
    source: str
    text: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, at: str, source: str, text: str) -> Line:
        """Return the line with its fields."""
        fields = {}
        if text.startswith("{"):
            try:
                fields = json.loads(text)
            except ValueError:
                fields = {}
        return cls(at, source, text, fields)


def matching(profile: Profile, wanted: Collection[str]) -> list[Line]:
    """Return the JSON lines in which one of *wanted* (ids) occurs, in their order in time. Raises
    :class:`CommandError`."""
    lines = _local_matching(profile, wanted) if profile.is_local else _insights(profile, wanted)
    return sorted(lines, key=_moment)


def _moment(line: Line) -> float:
    """Return when the line, or what it measures, began; 0 of a line that was cut."""
    for text in (str(line.fields.get("started_at", "")), line.at):
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            continue
    return 0.0


def _folder(profile: Profile) -> Path:
    assert profile.data_dir is not None  # noqa: S101 - it is local
    folder = profile.data_dir / "logs"
    if not folder.exists():
        raise CommandError("there are no logs yet", "make run", code=UNREACHABLE)
    return folder


def _local_matching(profile: Profile, wanted: Collection[str]) -> list[Line]:
    found = []
    for path in _folder(profile).glob("*.log*"):
        # A file may be put aside between the two.
        with (
            contextlib.suppress(FileNotFoundError),
            path.open(encoding="utf-8", errors="replace") as file,
        ):
            for text in file:
                if any(id in text for id in wanted):
                    at, _, rest = text.rstrip("\n").partition(" ")
                    line = Line.of(at, path.name.partition(".")[0], rest)
                    if line.fields:
                        found.append(line)
    return found


def _insights(profile: Profile, wanted: Collection[str]) -> list[Line]:
    """Return the lines of CloudWatch's log groups in which one of *wanted* occurs."""
    logs = profile.aws("logs")
    sources = {group: source for source, group in _existing_groups(profile, logs).items()}
    now = int(time.time())
    query = logs.start_query(
        logGroupNames=list(sources)[:MAX_GROUPS],
        startTime=now - LOOK_BACK_S,
        endTime=now,
        queryString=f"fields @timestamp, @log, @message | filter @message like /{'|'.join(wanted)}/"
        f" | sort @timestamp asc | limit {MAX_LINES}",
    )
    ends = time.monotonic() + QUERY_LIMIT_S
    while True:
        result = logs.get_query_results(queryId=query["queryId"])
        if result["status"] == "Complete":
            break
        if result["status"] not in ("Scheduled", "Running"):
            raise CommandError(f"CloudWatch's query ended as {result['status']}", "try again")
        if time.monotonic() > ends:
            logs.stop_query(queryId=query["queryId"])
            raise CommandError(f"CloudWatch's query took over {QUERY_LIMIT_S} s", "try again")
        time.sleep(POLL_S)
    rows = [{cell["field"]: cell["value"] for cell in row} for row in result["results"]]
    lines = [
        # @log is "account:group"; @timestamp is in UTC: 2026-01-31 12:00:00.000
        Line.of(
            f"{row['@timestamp'].replace(' ', 'T')}+00:00",
            sources.get(row["@log"].rpartition(":")[2], row["@log"]),
            row["@message"].strip(),
        )
        for row in rows
    ]
    return [line for line in lines if line.fields]


def _existing_groups(profile: Profile, logs: Any) -> dict[str, str]:
    """Return the stack's log groups by their sources, without deleted ones: a
    query that names one fails as a whole. Raises :class:`CommandError` if none is left."""
    pages = logs.get_paginator("describe_log_groups")
    existing = {
        group["logGroupName"]
        for page in pages.paginate(logGroupNamePrefix=f"{profile.stack}-")
        for group in page["logGroups"]
    }
    groups = stack.log_groups(profile)
    found = {source: group for source, group in groups.items() if group in existing}
    if not found:
        raise CommandError(
            f"the log groups of the stack {profile.stack} are missing", "make deploy restores them"
        )
    return found


def follow(profile: Profile, source: str | None, *, last: int, onwards: bool) -> Iterator[Line]:
    """Yield the *last* lines, of *source* or of all, and with *onwards* those that come."""
    if not profile.is_local:
        yield from _follow_cloud(profile, source, last=last, onwards=onwards)
        return
    folder = _folder(profile)
    if source is not None and not (folder / f"{source}.log").is_file():
        names = ", ".join(sorted(path.stem for path in folder.glob("*.log")))
        raise CommandError(f"{source} has no log; there are: {names}", code=USAGE)
    tails: dict[Path, Tail] = {}
    is_first = True
    while True:
        found: list[Line] = []
        for path in sorted(folder.glob("*.log")):
            if source in (None, path.stem):
                lines = list(tails.setdefault(path, Tail(path)).read_lines())
                start = len(lines) - min(last, len(lines)) if is_first else 0
                found += [_local_line(path, text) for text in lines[start:]]
        found.sort(key=lambda line: line.at)
        yield from found[len(found) - min(last, len(found)) :] if is_first else found
        if not onwards:
            return
        is_first = False
        time.sleep(POLL_S)


def _local_line(path: Path, text: str) -> Line:
    at, _, rest = text.partition(" ")
    return Line.of(at, path.stem, rest)


def _follow_cloud(
    profile: Profile, source: str | None, *, last: int, onwards: bool
) -> Iterator[Line]:
    """Yield the lines of the last ten minutes, and those that come. CloudWatch takes in lines late
    and out of order, so each look begins some time before the latest line that was seen."""
    logs = profile.aws("logs")
    groups = _existing_groups(profile, logs)
    if source is not None:
        groups = {name: group for name, group in groups.items() if name == source}
        if not groups:
            names = ", ".join(_existing_groups(profile, logs))
            raise CommandError(f"{source} has no log; there are: {names}", code=USAGE)
    since = int(time.time() * 1000) - FIRST_LOOK_MS
    seen: set[str] = set()
    is_first = True
    while True:
        found: list[tuple[int, Line]] = []
        for name, group in groups.items():
            pages = logs.get_paginator("filter_log_events")
            for page in pages.paginate(logGroupName=group, startTime=since):
                found += [
                    (event["timestamp"], _cloud_line(name, event))
                    for event in page["events"]
                    if event["eventId"] not in seen
                ]
                seen |= {event["eventId"] for event in page["events"]}
        found.sort(key=lambda entry: entry[0])
        shown = found[len(found) - min(last, len(found)) :] if is_first else found
        yield from (line for _, line in shown)
        if not onwards:
            return
        is_first = False
        if found:
            since = max(since, found[-1][0] - LATE_MS)
        time.sleep(CLOUD_POLL_S)


def _cloud_line(source: str, event: dict[str, Any]) -> Line:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    return Line.of(at, source, event["message"].strip())
