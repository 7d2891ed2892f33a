"""The one reader of the logs: lines of DATA_DIR/logs as requests, invocations, spans and traces.

Nothing is read while nobody looks: each page first calls :meth:`Trail.catch_up`, which reads what
was written since the last call; the first call reads the ends of the files. Memory is bounded: of
lines, traces, requests and invocations only the latest are kept.

A line is ``<ISO time> <text>``; the text is a JSON object, or one of Lambda's own lines (START,
END, REPORT), which name the invocation by its RequestId.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.dashboard.log_tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LINES_KEPT = 20_000
TRACES_KEPT = 3_000
LINES_OF_TRACE_KEPT = 600
REQUESTS_KEPT = 5_000
INVOCATIONS_KEPT = 2_000  # of each function
REQUEST_IDS_KEPT = 20_000
SHORTEST_INTERVAL_S = 0.3  # between two reads of the files
SLICE_S = 0.005  # of work on lines, before pages go on
PAUSE_S = 0.02  # between slices, of a long backlog
PATIENCE_S = 0.3  # that a page waits for lines; of a long backlog it shows the beginning

CHANGES = frozenset(
    f"{subject} changed"
    for subject in (
        *("application", "run", "access", "method", "tokens", "connection", "campaign"),
    )
)
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_XRAY = re.compile(r"(?:Root=)?1-([0-9a-f]{8})-([0-9a-f]{24})")
_REQUEST_ID = re.compile(r"RequestId: ([0-9a-f-]{36})")
_REPORTED = {
    "ms": re.compile(r"\tDuration: ([\d.]+) ms"),
    "memory_mb": re.compile(r"Max Memory Used: (\d+) MB"),
    "init_ms": re.compile(r"Init Duration: ([\d.]+) ms"),
}
_FAILED = re.compile(r"\[ERROR\]|Task timed out|Status: (timeout|error)|Runtime\.\w+")
_LEVELS = ("WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log. *source*: the file's name; *data*: of a JSON line, else empty."""

    at: datetime
    source: str
    text: str
    data: dict[str, Any]
    trace_id: str = ""

    @property
    def message(self) -> str:
        """Return the message, of any line."""
        return str(self.data.get("message", "")) if self.data else self.text

    @property
    def level(self) -> str:
        """Return the level of the line; of Lambda's own lines by their text."""
        if self.data:
            return str(self.data.get("level", "INFO"))
        return "ERROR" if _FAILED.search(self.text) else "INFO"

    @property
    def is_problem(self) -> bool:
        """Return whether the line reports a problem."""
        return self.level in _LEVELS


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that the gateway answered; *ms*: its latency."""

    at: datetime
    id: str
    route: str
    status: int
    ms: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class SeenInvocation:
    """An invocation of a function, of its REPORT line. *init_ms*: of a cold start, else None."""

    at: datetime
    request_id: str
    ms: float
    memory_mb: int | None
    init_ms: float | None


@dataclass(slots=True)
class Trace:
    """The lines of one trace id, and the users and accounts that they name."""

    id: str
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_OF_TRACE_KEPT))
    people: set[str] = field(default_factory=set)

    @property
    def spans(self) -> list[Line]:
        """Return the spans, in the order of their starts."""
        found = [line for line in self.lines if line.data.get("message") == "span"]
        return sorted(found, key=lambda line: str(line.data.get("started_at", "")))


class Trail:
    """The latest lines of the logs in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails: dict[str, Tail] = {}
        self._reading: asyncio.Task[None] | None = None
        self._read_at = float("-inf")
        self.lines: deque[Line] = deque(maxlen=LINES_KEPT)
        self.problems: deque[Line] = deque(maxlen=500)
        self.requests: deque[SeenRequest] = deque(maxlen=REQUESTS_KEPT)
        self.traces: OrderedDict[str, Trace] = OrderedDict()
        self.invocations: dict[str, deque[SeenInvocation]] = {}
        self.spans: deque[Line] = deque(maxlen=LINES_KEPT)
        self._trace_of_request: OrderedDict[str, str] = OrderedDict()
        self.spent_s = 0.0  # the cost of reading
        self.lines_read = 0

    @property
    def skipped_bytes(self) -> int:
        """Return how much was written faster than it was read, and left out."""
        return sum(tail.skipped_bytes for tail in self._tails.values())

    @property
    def is_behind(self) -> bool:
        """Return whether lines are still being read."""
        return self._reading is not None and not self._reading.done()

    async def catch_up(self) -> None:
        """Read what was written since the last call; after :data:`PATIENCE_S` it goes on by
        itself."""
        if not self.is_behind:
            if time.monotonic() - self._read_at < SHORTEST_INTERVAL_S:
                return
            self._reading = asyncio.create_task(self._read())
        assert self._reading is not None  # noqa: S101 - it was just made
        done, _ = await asyncio.wait({self._reading}, timeout=PATIENCE_S)
        for reading in done:
            reading.result()

    async def _read(self) -> None:
        begun = time.monotonic()
        new: list[tuple[str, str, str]] = []
        for path in sorted(self._folder.glob("*.log")):
            with self._measured():
                tail = self._tails.setdefault(path.stem, Tail(path))
                for text in tail.read_lines():
                    at, _, rest = text.partition(" ")
                    new.append((at, path.stem, rest))
            await asyncio.sleep(0)
        new.sort(key=lambda entry: entry[0])
        lines = iter(new)
        while self._add_some(lines):
            # Once no page waits for it, pages go first.
            is_awaited = time.monotonic() - begun < PATIENCE_S
            await asyncio.sleep(0 if is_awaited else PAUSE_S)
        self._read_at = time.monotonic()

    def _add_some(self, lines: Iterator[tuple[str, str, str]]) -> bool:
        """Add lines for :data:`SLICE_S`; return whether there may be more."""
        with self._measured():
            end = time.perf_counter() + SLICE_S
            for number, line in enumerate(lines):
                self._add(*line)
                if number % 10 == 9 and time.perf_counter() > end:
                    return True
        return False

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        begun = time.thread_time()
        try:
            yield
        finally:
            self.spent_s += time.thread_time() - begun

    # ── one line ─────────────────────────────────────────────────────────────────────────────

    def _add(self, at: str, source: str, text: str) -> None:
        moment = parse_time(at)
        if moment is None:
            return  # the continuation of a line that was cut
        data = _parse_object(text)
        if "_aws" in data:
            return  # a metric, of facts that other lines report
        self.lines_read += 1
        trace_id = self._trace_id(data, text)
        line = Line(moment, source, text, data, trace_id)
        self.lines.append(line)
        if line.is_problem:
            self.problems.append(line)
        if source == "gateway" and data.get("message") == "request":
            self._add_request(line)
        elif text.startswith("REPORT "):
            self._add_report(line)
        if data.get("message") == "span":
            self.spans.append(line)
        if trace_id:
            self._add_to_trace(line)

    def _trace_id(self, data: dict[str, Any], text: str) -> str:
        """Return the line's trace id, or that of the invocation that it belongs to."""
        given = str(data.get("trace_id", ""))
        if not _TRACE_ID.fullmatch(given):
            xray = _XRAY.match(str(data.get("xray_trace_id", "")))
            given = "".join(xray.groups()) if xray else ""
        found = _REQUEST_ID.search(text) if not data else None
        request_id = str(data.get("request_id", "")) if data else (found[1] if found else "")
        if not request_id:
            return given
        if given:
            self._trace_of_request[request_id] = given
            if len(self._trace_of_request) > REQUEST_IDS_KEPT:
                self._trace_of_request.popitem(last=False)
            return given
        return self._trace_of_request.get(request_id, "")

    def _add_to_trace(self, line: Line) -> None:
        trace = self.traces.get(line.trace_id)
        if trace is None:
            trace = self.traces[line.trace_id] = Trace(line.trace_id)
            if len(self.traces) > TRACES_KEPT:
                self.traces.popitem(last=False)
        trace.lines.append(line)
        for name in ("user_id", "account_id"):
            if line.data.get(name):
                trace.people.add(str(line.data[name]))

    def _add_request(self, line: Line) -> None:
        data = line.data
        status, ms = finite(data.get("status")), finite(data.get("ms"))
        request = SeenRequest(
            line.at,
            str(data.get("request_id", "")),
            str(data.get("route", "-")),
            int(status or 0),
            ms or 0.0,
            line.trace_id,
        )
        self.requests.append(request)

    def _add_report(self, line: Line) -> None:
        values = {name: pattern.search(line.text) for name, pattern in _REPORTED.items()}
        found = {name: float(match[1]) for name, match in values.items() if match}
        request_id = _REQUEST_ID.search(line.text)
        kept = self.invocations.setdefault(line.source, deque(maxlen=INVOCATIONS_KEPT))
        memory = found.get("memory_mb")
        kept.append(
            SeenInvocation(
                line.at,
                request_id[1] if request_id else "",
                found.get("ms", 0.0),
                None if memory is None else int(memory),
                found.get("init_ms"),
            )
        )


def parse_time(text: str) -> datetime | None:
    """Return the moment that *text* writes in ISO 8601, in UTC; ``None`` for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):  # the latter: before the year 1 in UTC
        return None


def finite(value: Any) -> float | None:
    """Return a number of a log line; ``None`` for anything else that stands there."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the value below which *share* of *values* lie (nearest rank); ``None`` of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _parse_object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
