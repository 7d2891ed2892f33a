"""One trace through the whole system: ids as in W3C Trace Context, and the spans of an invocation.

A request, or the tick of a rule, has one trace id from its first byte to its last effect: it stands
in every log line, travels with wake-ups, and is stored in rows that wait (``application_ledger``,
``fetch_runs``, ``events``), so that a worker continues the trace of the row that it works on.

A span is one call out of our code: a statement, a call of AWS or hh.ru, a wait for hh.ru's pace, a
message, a frame. Spans are counted and timed for the line with which each invocation ends
(:mod:`.invocation`); a line for each one is written only where ``TRACE_SPANS`` is on.
"""

from __future__ import annotations

import random
import re
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from ullgetthejob.platform import clock, settings
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Kind = Literal["sql", "aws", "hh", "pace", "message", "frame"]

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-..")
XRAY_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})")
LONGEST_NAME = 1_000  # characters of a statement in a span


@dataclass(frozen=True)
class Position:
    """A place in a trace: the ids of the trace and of the span that is open there."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """Return the value of the header ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @classmethod
    def parse(cls, traceparent: str | None) -> Position | None:
        """Return the position that a caller sent; ``None`` for an invalid or absent one."""
        found = TRACEPARENT.match(traceparent or "")
        return cls(found[1], found[2]) if found else None

    @classmethod
    def below(cls, parent: Position | None) -> Position:
        """Return the position of a new span below *parent*, or of a new trace."""
        span_id = f"{random.getrandbits(64) or 1:016x}"
        if parent is not None:
            return cls(parent.trace_id, span_id)
        return cls(f"{random.getrandbits(128) or 1:032x}", span_id)


@dataclass
class Totals:
    """What the spans of an invocation add up to. *writes_spans*: a line for each is wanted."""

    writes_spans: bool = False
    counts: dict[Kind, int] = field(default_factory=dict)
    seconds: dict[Kind, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: Kind, seconds: float) -> None:
        """Add a span of *kind*."""
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds


_position: ContextVar[Position | None] = ContextVar("position", default=None)
_totals: ContextVar[Totals | None] = ContextVar("totals", default=None)


def position() -> Position | None:
    """Return where in which trace the calling code is; ``None`` outside of an invocation."""
    return _position.get()


def trace_id() -> UUID | None:
    """Return the id of the current trace as rows store it; ``None`` outside of an invocation."""
    current = _position.get()
    return UUID(current.trace_id) if current else None


def xray_root(header: str | None) -> str | None:
    """Return the trace id of AWS's header ``X-Amzn-Trace-Id``, whose digits are those of W3C's."""
    found = XRAY_ROOT.search(header or "")
    return f"{found[1]}{found[2]}" if found else None


@contextmanager
def at(new: Position, totals: Totals) -> Iterator[None]:
    """Work at the position *new*, and count spans in *totals*."""
    position_token, totals_token = _position.set(new), _totals.set(totals)
    try:
        yield
    finally:
        _position.reset(position_token)
        _totals.reset(totals_token)


@contextmanager
def continued(earlier: UUID | Position | None) -> Iterator[None]:
    """Continue an earlier trace, that of a row or of a message, instead of the invocation's; with
    ``None``, or within that trace, change nothing."""
    if isinstance(earlier, UUID):
        earlier = Position(earlier.hex, "0" * 15 + "1")  # the row does not know its span
    before = _position.get()
    if earlier is None or (before is not None and before.trace_id == earlier.trace_id):
        yield
        return
    token = _position.set(Position.below(earlier))
    logger.append_keys(trace_id=earlier.trace_id)
    try:
        yield
    finally:
        _position.reset(token)
        logger.append_keys(trace_id=before.trace_id if before else None)


class span:  # noqa: N801 - used like a function
    """Time a call out of our code, as a context manager.

    *name*: such as ``dynamodb.UpdateItem``, ``GET /vacancies/{id}``, or a statement with its
    placeholders; never with values. :meth:`note` adds what is known at the end. *earlier*: the
    trace that the call belongs to, if not the current one.
    """

    __slots__ = ("_at", "_began", "_facts", "_kind", "_name", "_parent", "_token", "_totals")

    def __init__(self, kind: Kind, name: str, earlier: UUID | None = None) -> None:
        self._kind = kind
        self._name = name
        self._facts: dict[str, Any] = {}
        self._totals = _totals.get()
        self._parent = _position.get()
        if earlier is not None and self._parent is not None:
            self._parent = Position(earlier.hex, self._parent.span_id)

    def note(self, **facts: Any) -> None:
        """Add facts, such as ``status``, ``rows`` or ``error``."""
        self._facts.update(facts)

    def __enter__(self) -> span:
        self._token = None
        if self._parent is not None:
            self._token = _position.set(Position.below(self._parent))
        self._at = clock.real_seconds()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._began
        own = _position.get()
        if self._token is not None:
            _position.reset(self._token)
        if self._totals is None:
            return
        self._totals.add(self._kind, seconds)
        if self._totals.writes_spans and own is not None and self._parent is not None:
            if kind is not None:
                self._facts.setdefault("error", kind.__name__)
            logger.info(
                "span",
                kind=self._kind,
                operation=" ".join(self._name.split())[:LONGEST_NAME],
                trace_id=own.trace_id,
                span_id=own.span_id,
                parent_id=self._parent.span_id,
                started_at=iso(self._at),
                ms=round(seconds * 1000, 3),
                **self._facts,
            )


def iso(seconds: float) -> str:
    """Return a time (Unix, in seconds) in ISO 8601 with microseconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def wants_spans() -> bool:
    """Return whether a line for each span is wanted."""
    return settings.TRACE_SPANS() == "on"
