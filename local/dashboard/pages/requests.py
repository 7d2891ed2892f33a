"""*Requests*: as they come, filtered; each opens into its whole trail as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.tables import Column, table
from local.dashboard.trail import CHANGES
from local.dashboard.waterfall import describe, waterfall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System
    from local.dashboard.trail import SeenRequest, Trace, Trail
    from local.dashboard.waterfall import Bar

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


PAGE = Page("requests", "Requests", "requests.html", read, "trace.html")
