"""*Requests*: as they come, filtered; each opens into its whole trail as a waterfall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.tables import Column, table
from local.dashboard.trail import CHANGES, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System
    from local.dashboard.trail import Line, SeenRequest, Trace, Trail

COLUMNS = (
    Column("at", "Time", "time"),
    Column("status", "Status", "badge"),
    Column("route", "Route"),
    Column("ms", "Duration", "ms"),
    Column("trail", "Trail", "code"),
)
TRACE_COLUMNS = (
    Column("at", "Time", "time"),
    Column("from", "Began in"),
    Column("changes", "Changes", "int"),
    Column("spans", "Spans", "int"),
    Column("problems", "Problems", "int"),
    Column("ms", "Duration", "ms"),
    Column("trail", "Trail", "code"),
)
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


async def read(system: System, query: Mapping[str, str], trace_id: str) -> dict[str, Any]:
    """Return the values of the list, or of the trail *trace_id*. Raises :class:`NotFound`."""
    if trace_id:
        return _read_trace(system.trail, trace_id)
    wanted = {name: query.get(name, "").strip() for name in ("route", "status", "person", "id")}
    found = [request for request in system.trail.requests if _matches(request, wanted, system)]
    rows = [
        {
            "at": request.at,
            "status": request.status,
            "route": request.route,
            "ms": request.ms,
            "trail": request.trace_id[:12] or request.id,
            "trail_href": _href(request.trace_id),
        }
        for request in found
    ]
    requested = {request.trace_id for request in system.trail.requests}
    traces = [
        _trace_row(trace)
        for trace in system.trail.traces.values()
        if trace.id not in requested and _trace_matches(trace, wanted)
    ]
    routes = sorted({route.key for route in system.template.routes})
    return {
        "wanted": wanted,
        "routes": routes,
        "table": table("requests", "Requests", COLUMNS, rows, query, sort="-at"),
        "traces": table(
            "traces",
            "Ticks, sockets and other trails",
            TRACE_COLUMNS,
            traces,
            query,
            sort="-at",
            empty="None among the lines that were read.",
        ),
        "skipped_bytes": system.trail.skipped_bytes,
    }


def _href(trace_id: str) -> str:
    return f"{PATH}/requests/{trace_id}" if trace_id else ""


def _matches(request: SeenRequest, wanted: Mapping[str, str], system: System) -> bool:
    if wanted["route"] and wanted["route"] != request.route:
        return False
    if wanted["status"] and not _status_matches(str(request.status), wanted["status"]):
        return False
    if wanted["id"] and not (request.id, request.trace_id).count(wanted["id"]):
        return request.trace_id.startswith(wanted["id"]) and bool(request.trace_id)
    if wanted["person"]:
        trace = system.trail.traces.get(request.trace_id)
        return trace is not None and wanted["person"] in trace.people
    return True


def _status_matches(status: str, wanted: str) -> bool:
    """Return whether *status* is the wanted one; ``5xx`` stands for all of a hundred."""
    return status == wanted or (wanted[1:] == "xx" and status[:1] == wanted[:1])


def _trace_matches(trace: Trace, wanted: Mapping[str, str]) -> bool:
    if wanted["route"] or wanted["status"]:
        return False
    if wanted["id"] and not trace.id.startswith(wanted["id"]):
        return False
    return not wanted["person"] or wanted["person"] in trace.people


def _trace_row(trace: Trace) -> dict[str, Any]:
    first, last = trace.lines[0], trace.lines[-1]
    named = next(
        (
            str(line.data[name])
            for line in trace.lines
            for name in ("rule", "queue", "route")
            if line.data.get(name)
        ),
        first.source,
    )
    return {
        "at": first.at,
        "from": named,
        "changes": sum(line.data.get("message") in CHANGES for line in trace.lines),
        "spans": sum(line.data.get("message") == "span" for line in trace.lines),
        "problems": sum(line.is_problem for line in trace.lines),
        "ms": (last.at - first.at).total_seconds() * 1000,
        "trail": trace.id[:12],
        "trail_href": _href(trace.id),
    }


# ── one trail ────────────────────────────────────────────────────────────────────────────────────


def _read_trace(trail: Trail, trace_id: str) -> dict[str, Any]:
    trace = trail.traces.get(trace_id)
    if trace is None:
        raise NotFound(f"The lines that were read name no trail {trace_id[:64]}")
    requests = [request for request in trail.requests if request.trace_id == trace_id]
    bars = waterfall(trace)
    return {
        "trace": trace,
        "requests": requests,
        "bars": bars,
        "hops": _hops(bars),
        "changes": [line for line in trace.lines if line.data.get("message") in CHANGES],
        "lines": [describe(line) for line in trace.lines if line.data.get("message") != "span"],
    }


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
    if data.get("message") == "span":
        at = parse_time(str(data.get("at", ""))) or line.at
        return at, _float(data.get("ms")), line
    if line.source == "access" and "latency_ms" in data:
        ms = _float(data["latency_ms"]) or 0.0
        return datetime.fromtimestamp(line.at.timestamp() - ms / 1000, line.at.tzinfo), ms, line
    if data.get("message") in CHANGES:
        return line.at, None, line
    return None


def _kind(line: Line) -> str:
    if line.source == "access":
        return "gateway"
    return "change" if line.data.get("message") in CHANGES else str(line.data.get("kind", "span"))


def _name(line: Line) -> str:
    data = line.data
    if line.source == "access":
        return str(data.get("route", ""))
    if data.get("message") in CHANGES:
        reason = f" ({data['reason']})" if data.get("reason") else ""
        subject = str(data["message"]).removesuffix(" changed")
        return f"{subject}: {data.get('from') or 'none'} → {data.get('to')}{reason}"
    return " ".join(str(data.get("name", "")).split())


def _depth(line: Line, parents: Mapping[str, Line]) -> int:
    depth, parent = 0, str(line.data.get("parent_id", ""))
    while parent in parents and depth < MOST_DEPTH:
        depth, parent = depth + 1, str(parents[parent].data.get("parent_id", ""))
    return depth


def _hops(bars: list[Bar]) -> list[dict[str, Any]]:
    """Return count and time of each kind of span."""
    kinds = list(dict.fromkeys(bar.kind for bar in bars))
    return [
        {
            "kind": kind,
            "count": sum(bar.kind == kind for bar in bars),
            "ms": sum(bar.ms or 0 for bar in bars if bar.kind == kind),
        }
        for kind in kinds
    ]


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


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


PAGE = Page("requests", "Requests", "requests.html", read, "trace.html")
