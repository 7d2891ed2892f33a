"""Delivery of an account's events to one of its connections, under the connection's lease."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ullgetthejob.platform import tracing
from ullgetthejob.platform.telemetry import logger, measure
from ullgetthejob.realtime import connections, sockets

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.realtime.log_reader import Event, LogReader

Result = TypeVar("Result")

PROGRESS_INTERVAL_MS = 4_000  # a lease outlasts this and the longest post


class Poster(Protocol):
    """A client of ``@connections``: :class:`sockets.Sockets`."""

    def post(self, connection_id: str, message: bytes) -> None:
        """Post a message. Raises :class:`sockets.PostFailed`."""

    def close(self, connection_id: str) -> None:
        """Close the connection."""


@dataclass
class Broadcast:
    """One invocation: its dependencies, deadline and counters."""

    poster: Poster
    clock: Callable[[], datetime]
    real_ms: Callable[[], int]
    deadline: float
    sender: str = field(default_factory=lambda: secrets.token_hex(8))
    counters: Counter[str] = field(default_factory=Counter)
    measured_accounts: set[UUID] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the two above

    @property
    def is_late(self) -> bool:
        """Return whether the deadline has passed."""
        return time.monotonic() > self.deadline

    def is_first_of(self, account_id: UUID) -> bool:
        """Return whether this is the account's first event that was posted."""
        with self.lock:
            is_first = account_id not in self.measured_accounts
            self.measured_accounts.add(account_id)
        return is_first

    def count(self, metric: str) -> None:
        """Count one more for *metric*, which is written at the end."""
        with self.lock:
            self.counters[metric] += 1


class _LeaseLost(Exception):
    """Another broadcaster holds the lease now, or the connection was deleted."""


class Delivery:
    """The delivery of missing events to one connection. *out_of_time*: the deadline passed with
    events left. *failed*: a post failed for another reason than the connection's own."""

    def __init__(
        self, connection: connections.Connection, log: LogReader, broadcast: Broadcast
    ) -> None:
        self.out_of_time = self.failed = False
        self._connection = connection
        self._log = log
        self._broadcast = broadcast
        self._sent_seq, self._told_seq = connection.sent_seq, connection.told_seq
        self._saved_at_ms = 0

    def run(self) -> int | None:
        """Deliver; return the seq up to which the connection has all events, ``None`` if it is
        gone."""
        while self._acquire_lease():
            try:
                self._deliver()
            except _LeaseLost:
                break
            except sockets.PostFailed as error:
                return self._on_post_error(error)
            if self.out_of_time or self._log.end() <= self._sent_seq:
                return self._sent_seq
        return self._connection.delivered_seq  # a lower bound: another broadcaster holds the lease

    def _acquire_lease(self) -> bool:
        now_ms = self._broadcast.real_ms()
        leased = self._call(connections.acquire_lease, now_ms=now_ms)
        if leased is None:
            return False
        self._refresh(leased, now_ms)
        return True

    def _deliver(self) -> None:
        """Deliver all events up to the end of the log, then release the lease."""
        while True:
            if self._connection.begin_at is not None:
                self._start_replay(self._connection.begin_at)
                continue
            events, upto, has_more = self._log.read_above(self._sent_seq)
            for event in events:
                if self._broadcast.is_late:
                    self.out_of_time = True
                    break
                self._deliver_event(event)
                self._save_progress(PROGRESS_INTERVAL_MS)
                if self._connection.begin_at is not None:
                    break
            else:
                self._skip_deleted(upto)
                if has_more:
                    self._save_progress(0)
                    continue
            restarted = self._call(connections.release, self._sent_seq, self._told_seq)
            if restarted is None:
                return
            self._refresh(restarted, self._broadcast.real_ms())

    def _start_replay(self, cursor: int) -> None:
        end = self._log.end()
        notice = _notice("ready", seq=end, cursor=cursor)
        self._broadcast.poster.post(self._connection.id, notice)
        now_ms = self._broadcast.real_ms()
        self._refresh(self._call(connections.mark_started, cursor, now_ms=now_ms), now_ms)

    def _deliver_event(self, event: Event) -> None:
        """Post one event, if the connection has its topic."""
        self._skip_deleted(event.seq - 1)
        topics = self._connection.topics
        if topics is None or event.topic in topics:
            message = event.message(self._told_seq)
            try:
                with tracing.span("frame", event.type, event.trace_id) as span:
                    span.note(seq=event.seq, account_id=str(self._connection.account_id))
                    self._broadcast.poster.post(self._connection.id, message)
            except sockets.MessageTooLong:  # not expected: append() checks the length
                logger.error("an event does not fit into a frame", type=event.type)
                self._broadcast.count("EventsTooLong")
            else:
                self._told_seq = event.seq
                self._count_post(event)
        self._sent_seq = event.seq

    def _skip_deleted(self, upto: int) -> None:
        """Notify the client of events that the log no longer holds; it reads them over HTTP."""
        if upto > self._sent_seq:
            notice = _notice("replay.truncated", oldest=upto + 1)
            self._broadcast.poster.post(self._connection.id, notice)
            self._sent_seq = self._told_seq = upto

    def _save_progress(self, interval_ms: int) -> None:
        now_ms = self._broadcast.real_ms()
        if now_ms - self._saved_at_ms >= interval_ms:
            leased = self._call(
                connections.save_progress, self._sent_seq, self._told_seq, now_ms=now_ms
            )
            self._refresh(leased, now_ms)

    def _on_post_error(self, error: sockets.PostFailed) -> int | None:
        if isinstance(error, sockets.ConnectionGone):
            connections.delete(self._connection.id, self._connection.account_id)
            self._broadcast.count("SocketsGone")
            return None
        if isinstance(error, sockets.SlowConsumer):
            self._broadcast.count("SocketsSlow")
        else:
            status = getattr(error, "status", None)
            logger.warning("a post to a connection failed", status=status)
            self._broadcast.count("PostsFailed")
            self.failed = True
        has_started = self._connection.begin_at is None
        if has_started:
            self._call(
                connections.save_progress,
                self._sent_seq,
                self._told_seq,
                now_ms=self._broadcast.real_ms(),
            )
        # After a timeout the lease is kept until it expires, so that the next one does not wait.
        if not isinstance(error, sockets.PostTimeout):
            self._call(connections.drop_lease)
        return self._sent_seq if has_started else self._connection.delivered_seq

    def _count_post(self, event: Event) -> None:
        self._broadcast.count("EventsPosted")
        if self._broadcast.is_first_of(self._connection.account_id):
            age = self._broadcast.clock() - event.at
            measure("EventAge", max(0.0, age.total_seconds() * 1000))

    def _refresh(self, leased: connections.Connection | None, now_ms: int) -> None:
        """Replace the connection by its stored state. Raises :class:`_LeaseLost` for ``None``."""
        if leased is None:
            raise _LeaseLost
        self._connection = leased
        self._saved_at_ms = now_ms
        if leased.begin_at is None:
            self._sent_seq, self._told_seq = leased.sent_seq, leased.told_seq

    def _call(self, operation: Callable[..., Result], *values: Any, **keywords: Any) -> Result:
        return operation(self._connection, *values, sender=self._broadcast.sender, **keywords)


def _notice(frame_type: str, **fields: Any) -> bytes:
    frame = {"v": 1, "type": frame_type, **fields}
    return json.dumps(frame, separators=(",", ":")).encode()
