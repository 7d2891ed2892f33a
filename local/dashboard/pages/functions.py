"""*Functions*: invocations, cold starts, durations, memory, errors, processes; logs that follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.dashboard import activity
from local.dashboard.page import PATH, NotFound, Page
from local.dashboard.tables import Column, table
from local.dashboard.trail import percentile
from local.dashboard.waterfall import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

LINES_SHOWN = 200
COLUMNS = (
    Column("name", "Function"),
    Column("invocations", "Invocations", "int"),
    Column("per_minute", "Per minute", "decimal"),
    Column("p50", "p50", "ms"),
    Column("p90", "p90", "ms"),
    Column("p99", "p99", "ms"),
    Column("cold_starts", "Cold starts", "int"),
    Column("init", "Init p50", "ms"),
    Column("memory", "Memory, MB", "int"),
    Column("limit", "of MB", "int"),
    Column("errors", "Errors", "int"),
    Column("timeouts", "Timeouts", "int"),
    Column("throttles", "Throttled", "int"),
    Column("busy", "Busy", "int"),
    Column("idle", "Idle", "int"),
)


async def read(system: System, query: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the values of the list, or of the function *name*. Raises :class:`NotFound`."""
    rows = [_row(system, found, state) for found, state in system.functions.status().items()]
    if not name:
        return {"table": table("functions", "Functions", COLUMNS, rows, query, sort="-invocations")}
    row = next((row for row in rows if row["name"] == name), None)
    sources = {line.source for line in system.trail.lines}
    if row is None and name not in sources:
        raise NotFound(f"There is no function or log {name[:64]}")
    only_problems = query.get("level") == "problems"
    lines = [
        line
        for line in system.trail.lines
        if line.source == name
        and (not only_problems or line.is_problem)
        and line.data.get("message") != "span"
    ]
    return {
        "name": name,
        "row": row,
        "columns": COLUMNS,
        "only_problems": only_problems,
        "lines": [describe(line) for line in lines[-LINES_SHOWN:][::-1]],
        "routes": [
            route.key
            for function in system.template.functions.values()
            if function.name == name
            for route in function.routes
        ],
    }


def _row(system: System, name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    recent = activity.function_summary(system.trail, name)
    seen = activity.recent_invocations(system.trail, name, datetime.min.replace(tzinfo=UTC))
    durations = [invocation.ms for invocation in seen]
    inits = [invocation.init_ms for invocation in seen if invocation.init_ms is not None]
    memory = [invocation.memory_mb for invocation in seen if invocation.memory_mb is not None]
    function = system.template.functions[state["logical_id"]]
    return {
        "name": name,
        "name_href": f"{PATH}/functions/{name}",
        "per_minute": recent.per_minute,
        "p50": percentile(durations, 0.5),
        "p90": percentile(durations, 0.9),
        "p99": percentile(durations, 0.99),
        "init": percentile(inits, 0.5),
        "memory": max(memory, default=None),
        "limit": function.memory_mb,
        "busy": state["processes"]["busy"],
        "idle": len(state["processes"]["idle"]),
        **{
            counter: state[counter]
            for counter in ("invocations", "cold_starts", "errors", "timeouts", "throttles")
        },
    }


PAGE = Page("functions", "Functions", "functions.html", read, "function.html")
