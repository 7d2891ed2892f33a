"""The waterfall of a trail: its spans, requests and changes as bars, and its log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.dashboard.trail import CHANGES, finite, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from local.dashboard.trail import Line, Trace

# The messages that have a start and a duration, and the kind of their bars; a span's is its own.
TIMED = {"request": "gateway", "invocation": "function", "span": ""}
MOST_DEPTH = 6
MOST_BARS = 400


@dataclass(frozen=True)
class Bar:
    """A row of the waterfall. *start* and *width*: percent of the whole; *depth*: of nesting."""

    kind: str
    name: str
    start: float
    width: float
    ms: float | None
    depth: int
    status: str
    at: datetime


def waterfall(trace: Trace) -> list[Bar]:
    """Return the rows of the waterfall, in the order of their starts."""
    entries = [entry for line in trace.lines if (entry := _entry(line)) is not None]
    if not entries:
        return []
    entries.sort(key=lambda entry: entry[0])
    begin = entries[0][0]
    end = max(at.timestamp() + (ms or 0) / 1000 for at, ms, _ in entries)
    whole_s = max(0.001, end - begin.timestamp())
    parents = {str(line.data.get("span_id")): line for _, _, line in entries}
    return [
        Bar(
            kind=_kind(line),
            name=_name(line),
            start=round((at - begin).total_seconds() / whole_s * 100, 3),
            width=round(max(0.2, (ms or 0) / 10 / whole_s), 3),
            ms=ms,
            depth=_depth(line, parents),
            status=str(line.data.get("error") or line.data.get("status") or ""),
            at=at,
        )
        for at, ms, line in entries[:MOST_BARS]
    ]


def _entry(line: Line) -> tuple[datetime, float | None, Line] | None:
    """Return start, duration and line of what the waterfall shows; ``None`` for other lines."""
    data = line.data
    if data.get("message") in TIMED:
        at = parse_time(str(data.get("started_at", ""))) or line.at
        return at, finite(data.get("ms")), line
    if data.get("message") in CHANGES:
        return line.at, None, line
    return None


def _kind(line: Line) -> str:
    message = line.data.get("message")
    if message in CHANGES:
        return "change"
    return TIMED.get(str(message)) or str(line.data.get("kind", "span"))


def _name(line: Line) -> str:
    data = line.data
    if data.get("message") == "request":
        return str(data.get("route", ""))
    if data.get("message") == "invocation":
        entry = data.get("route") or data.get("queue") or data.get("rule") or ""
        return f"{line.source}: {entry}"
    if data.get("message") in CHANGES:
        reason = f" ({data['reason']})" if data.get("reason") else ""
        subject = str(data["message"]).removesuffix(" changed")
        return f"{subject}: {data.get('from') or 'none'} → {data.get('to')}{reason}"
    return " ".join(str(data.get("operation", "")).split())


def _depth(line: Line, parents: Mapping[str, Line]) -> int:
    depth, parent = 0, str(line.data.get("parent_id", ""))
    while parent in parents and depth < MOST_DEPTH:
        depth, parent = depth + 1, str(parents[parent].data.get("parent_id", ""))
    return depth


_OF_EVERY_LINE = {
    *("level", "location", "message", "timestamp", "service", "trace_id", "xray_trace_id"),
    *("request_id", "function_request_id", "function_name", "function_arn"),
    *("function_memory_size", "cold_start"),
}


def describe(line: Line) -> dict[str, Any]:
    """Return a line for a page: its message, and its keys that not every line has."""
    extra = {key: value for key, value in line.data.items() if key not in _OF_EVERY_LINE}
    return {
        "at": line.at,
        "source": line.source,
        "level": line.level,
        "message": line.message,
        "trace_id": line.trace_id,
        "keys": "  ".join(f"{key}={value}" for key, value in extra.items()),
    }
