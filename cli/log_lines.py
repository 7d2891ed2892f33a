"""The log lines of a profile: the files of a local cloud, or CloudWatch's log groups."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.output import UNREACHABLE, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.profiles import Profile

QUERY_LIMIT_S = 60
LOOK_BACK_S = 14 * 86_400
MAX_LINES = 10_000
POLL_S = 0.5


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


def matching(profile: Profile, wanted: str) -> list[Line]:
    """Return the JSON lines in which *wanted* (an id) occurs, in their order in time. Raises
    :class:`CommandError`."""
    lines = _local_matching(profile, wanted) if profile.is_local else _insights(profile, wanted)
    return sorted(lines, key=lambda line: str(line.fields.get("started_at", line.at)))


def _folder(profile: Profile) -> Path:
    assert profile.data_dir is not None  # noqa: S101 - it is local
    folder = profile.data_dir / "logs"
    if not folder.exists():
        raise CommandError("there are no logs yet", "make run", code=UNREACHABLE)
    return folder


def _local_matching(profile: Profile, wanted: str) -> list[Line]:
    found = []
    for path in _folder(profile).glob("*.log*"):
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                if wanted in text:
                    at, _, rest = text.rstrip("\n").partition(" ")
                    line = Line.of(at, path.name.partition(".")[0], rest)
                    if line.fields:
                        found.append(line)
    return found


def functions_of(profile: Profile) -> list[str]:
    """Return the log groups of the stack's functions. Raises :class:`CommandError`."""
    pages = profile.aws("cloudformation").get_paginator("list_stack_resources")
    groups = [
        f"/aws/lambda/{resource['PhysicalResourceId']}"
        for page in pages.paginate(StackName=profile.stack)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    ]
    if not groups:
        raise CommandError(f"the stack {profile.stack} has no functions", "make deploy")
    return groups


def _insights(profile: Profile, wanted: str) -> list[Line]:
    logs = profile.aws("logs")
    now = int(time.time())
    query = logs.start_query(
        logGroupNames=functions_of(profile)[:50],  # CloudWatch: at most 50 groups
        startTime=now - LOOK_BACK_S,
        endTime=now,
        queryString=f"fields @timestamp, @log, @message | filter @message like /{wanted}/"
        f" | sort @timestamp | limit {MAX_LINES}",
    )
    ends = time.monotonic() + QUERY_LIMIT_S
    while True:
        result = logs.get_query_results(queryId=query["queryId"])
        if result["status"] == "Complete":
            break
        if result["status"] not in ("Scheduled", "Running") or time.monotonic() > ends:
            raise CommandError(f"CloudWatch's query ended as {result['status']}", "try again")
        time.sleep(POLL_S)
    rows = [{cell["field"]: cell["value"] for cell in row} for row in result["results"]]
    return [
        Line.of(row["@timestamp"], row["@log"].rpartition("/")[2], row["@message"].strip())
        for row in rows
    ]


def follow(profile: Profile, source: str | None, *, last: int, onwards: bool) -> Iterator[Line]:
    """Yield the *last* lines, of *source* or of all, and with *onwards* those that come."""
    if not profile.is_local:
        yield from _follow_cloud(profile, source, onwards=onwards)
        return
    folder = _folder(profile)
    positions: dict[Path, int] = {}
    recent: list[Line] = []
    for path in sorted(folder.glob(f"{source or '*'}.log")):
        content = path.read_text(encoding="utf-8", errors="replace")
        positions[path] = path.stat().st_size
        recent += [_local_line(path, text) for text in content.splitlines()[-last:]]
    yield from sorted(recent, key=lambda line: line.at)[-last:] if last else []
    while onwards:
        time.sleep(POLL_S)
        for path in sorted(folder.glob(f"{source or '*'}.log")):
            size, read = path.stat().st_size, positions.get(path, 0)
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(read if read <= size else 0)
                yield from (_local_line(path, text.rstrip("\n")) for text in file)
                positions[path] = file.tell()


def _local_line(path: Path, text: str) -> Line:
    at, _, rest = text.partition(" ")
    return Line.of(at, path.stem, rest)


def _follow_cloud(profile: Profile, source: str | None, *, onwards: bool) -> Iterator[Line]:
    logs = profile.aws("logs")
    groups = [group for group in functions_of(profile) if source is None or source in group]
    since = dict.fromkeys(groups, int(time.time() * 1000) - 600_000)
    while True:
        for group in groups:
            answer = logs.filter_log_events(logGroupName=group, startTime=since[group])
            for event in answer["events"]:
                since[group] = max(since[group], event["timestamp"] + 1)
                at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat()
                yield Line.of(at, group.rpartition("/")[2], event["message"].strip())
        if not onwards:
            return
        time.sleep(2)
