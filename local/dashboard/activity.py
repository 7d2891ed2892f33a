"""Rates, errors and durations of requests and functions, counted from the lines of the logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.dashboard.trail import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.dashboard.trail import SeenInvocation, Trail

WINDOW = timedelta(minutes=5)
CHART_MINUTES = 15
BUCKET_S = 15
SERVER_ERROR = 500


@dataclass(frozen=True)
class Summary:
    """A number of measured things in a window: their count, errors and durations (ms)."""

    count: int
    errors: int
    per_minute: float
    p50: float | None
    p90: float | None
    p99: float | None


def summarize(durations: Sequence[float], errors: int, window: timedelta = WINDOW) -> Summary:
    """Return the summary of things that took *durations*, in *window*."""
    return Summary(
        count=len(durations),
        errors=errors,
        per_minute=len(durations) / (window.total_seconds() / 60),
        p50=percentile(durations, 0.5),
        p90=percentile(durations, 0.9),
        p99=percentile(durations, 0.99),
    )


def requests_summary(trail: Trail) -> Summary:
    """Return the summary of the gateway's requests in the last five minutes of real time."""
    since = datetime.now(UTC) - WINDOW
    recent = [request for request in trail.requests if request.at >= since]
    errors = sum(request.status >= SERVER_ERROR for request in recent)
    return summarize([request.ms for request in recent], errors)


def function_summary(trail: Trail, name: str) -> Summary:
    """Return the summary of a function's invocations in the last five minutes."""
    since = datetime.now(UTC) - WINDOW
    recent = recent_invocations(trail, name, since)
    errors = sum(
        line.source == name and line.level in ("ERROR", "CRITICAL") and line.at >= since
        for line in trail.problems
    )
    return summarize([invocation.ms for invocation in recent], errors)


def recent_invocations(trail: Trail, name: str, since: datetime) -> list[SeenInvocation]:
    """Return the invocations of a function that ended after *since*."""
    return [seen for seen in trail.invocations.get(name, ()) if seen.at >= since]


def series(trail: Trail) -> dict[str, list[Any]]:
    """Return the chart of requests: the start of each 15 s (s since the epoch), and in each of them
    requests per second, errors per second and the median duration (ms)."""
    end = int(datetime.now(UTC).timestamp()) // BUCKET_S * BUCKET_S
    starts = list(range(end - CHART_MINUTES * 60 + BUCKET_S, end + 1, BUCKET_S))
    durations: dict[int, list[float]] = {start: [] for start in starts}
    errors = dict.fromkeys(starts, 0)
    for request in trail.requests:
        start = int(request.at.timestamp()) // BUCKET_S * BUCKET_S
        if start in durations:
            durations[start].append(request.ms)
            errors[start] += request.status >= SERVER_ERROR
    return {
        "at": starts,
        "requests": [round(len(durations[start]) / BUCKET_S, 3) for start in starts],
        "errors": [round(errors[start] / BUCKET_S, 3) for start in starts],
        "median": [percentile(durations[start], 0.5) for start in starts],
    }
