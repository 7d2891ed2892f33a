"""The broadcaster: posts the events of accounts to their connections, in order.

A wake-up names an account. For each of its connections that lacks events the broadcaster acquires a
lease, posts the events above the connection's *sent_seq*, and stores its progress. A broadcaster
that finds the lease taken leaves: the holder checks the log again after releasing, so no event that
was committed before is missed. When a process ends abruptly, its lease expires and *sent_seq* is
behind what was posted: some events are posted twice, none is missed, and a new event is never
posted before an older one.

The notifier is woken for an account that has channels of notifications and events that are not
planned yet: so whatever appends events sends one wake-up, whether there are channels or not.

A connection that is gone is deleted, as is one whose session has ended; a slow one is left as it
is. ``accounts.broadcast_seq`` is the seq that all open connections have reached; while it is behind
the log, the sweeper sends another wake-up.

Accounts are read, and connections served, in the threads of :mod:`.sockets`, which share the
connection to Postgres.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ullgetthejob.platform import settings, tracing
from ullgetthejob.platform.clock import real_ms as machine_ms
from ullgetthejob.platform.telemetry import count, logger, measure, trace
from ullgetthejob.realtime import connections, event_log, sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future
    from uuid import UUID

    import psycopg

    Database = psycopg.Connection[dict[str, Any]]

Result = TypeVar("Result")

BROADCAST_BUDGET_S = 15  # the function has 30, and requests in flight may take a few more
EVENTS_PER_READ = 50  # at most 1.6 MB
PROGRESS_INTERVAL_MS = 4_000  # a lease outlasts this and the longest post

SELECT_ACCOUNT = """
    SELECT last_event_seq, broadcast_seq,
           coalesce(last_event_seq > planned_seq, false) AS is_unplanned,
           (SELECT coalesce(jsonb_object_agg(u.id, u.tokens_valid_from), '{}')
            FROM users u WHERE u.account_id = a.id) AS users
    FROM accounts a WHERE a.id = %(account_id)s
"""
SELECT_LAST_EVENT_SEQ = "SELECT last_event_seq FROM accounts WHERE id = %(account_id)s"
# The end of the log and a part of it, in one snapshot.
SELECT_EVENTS = """
    SELECT a.last_event_seq, e.seq, e.at, e.type, e.data, e.trace_id
    FROM accounts a LEFT JOIN LATERAL (
        SELECT seq, at, type, data::text AS data, trace_id FROM events
        WHERE account_id = a.id AND seq > %(above)s ORDER BY seq LIMIT %(most)s
    ) e ON true
    WHERE a.id = %(account_id)s ORDER BY e.seq
"""
# Only over the value that was read before the connections: a new connection may have lowered it.
UPDATE_ACCOUNT_BROADCAST_SEQ = """
    UPDATE accounts SET broadcast_seq = %(seq)s
    WHERE id = %(account_id)s AND broadcast_seq = %(seen)s AND broadcast_seq < %(seq)s
"""


class Poster(Protocol):
    """A client of ``@connections``: :class:`sockets.Sockets`."""

    def post(self, connection_id: str, message: bytes) -> None:
        """Post a message. Raises :class:`sockets.PostFailed`."""

    def close(self, connection_id: str) -> None:
        """Close the connection."""


def run(
    account_ids: Collection[UUID],
    *,
    connection: Database,
    clock: Callable[[], datetime],
    poster: Poster | None = None,
    real_ms: Callable[[], int] = machine_ms,
    budget_s: float = BROADCAST_BUDGET_S,
) -> set[UUID]:
    """Post the events of these accounts concurrently and return the accounts to be retried.

    *poster*, *real_ms* and *budget_s* are seams for tests.
    """
    client = poster or sockets.client_for(settings.WEBSOCKET_API_ENDPOINT())
    broadcast = _Broadcast(connection, client, clock, real_ms, time.monotonic() + budget_s)
    return broadcast.serve(account_ids)


# ── events and the log ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Event:
    """An event of the log. *data* is JSON text."""

    seq: int
    at: datetime
    type: str
    data: str
    trace_id: UUID | None

    @property
    def topic(self) -> str:
        return self.type.partition(".")[0]

    def message(self, told_seq: int) -> bytes:
        """Return the frame for a client whose last posted event is *told_seq*."""
        after = "" if told_seq == self.seq - 1 else f'"after":{told_seq},'
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        head = f'{{"v":1,"seq":{self.seq},{after}"type":"{self.type}","at":"{at}"'
        return f'{head},"data":{self.data}}}'.encode()


def _notice(frame_type: str, **fields: Any) -> bytes:
    frame = {"v": 1, "type": frame_type, **fields}
    return json.dumps(frame, separators=(",", ":")).encode()


class _LogReader:
    """The log of an account, read in chunks that its connections share."""

    def __init__(self, account_id: UUID, broadcast: _Broadcast) -> None:
        self._account_id = account_id
        self._broadcast = broadcast
        self._lock = threading.Lock()
        self._above, self._upto = 0, 0  # the range of seq that the chunk covers
        self._chunk: list[_Event] = []

    def read_above(self, seq: int) -> tuple[list[_Event], int, bool]:
        """Return the next events above *seq*, the seq up to which they cover the log, and whether
        the log goes on."""
        with self._lock:
            if not self._above <= seq < self._upto:
                self._read_chunk(seq)
            events = [event for event in self._chunk if event.seq > seq]
            return events, self._upto, len(self._chunk) == EVENTS_PER_READ

    def end(self) -> int:
        """Read the seq of the last event now."""
        row = self._broadcast.fetch_one(SELECT_LAST_EVENT_SEQ, account_id=self._account_id)
        return int(row["last_event_seq"]) if row else 0

    def _read_chunk(self, seq: int) -> None:
        rows = self._broadcast.fetch_all(
            SELECT_EVENTS, account_id=self._account_id, above=seq, most=EVENTS_PER_READ
        )
        last = rows[0].pop("last_event_seq") if rows else seq
        for row in rows[1:]:
            row.pop("last_event_seq")
        self._chunk = [_Event(**row) for row in rows if row["seq"] is not None]
        self._above = seq
        self._upto = self._chunk[-1].seq if len(self._chunk) == EVENTS_PER_READ else last


# ── delivery ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Broadcast:
    """One invocation: its dependencies, deadline and counters."""

    connection: Database
    poster: Poster
    clock: Callable[[], datetime]
    real_ms: Callable[[], int]
    deadline: float
    sender: str = field(default_factory=lambda: secrets.token_hex(8))
    counters: Counter[str] = field(default_factory=Counter)
    measured_accounts: set[UUID] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the two above

    def serve(self, account_ids: Collection[UUID]) -> set[UUID]:
        """Serve the accounts and return those that failed."""
        accounts = [_AccountSockets(account_id, self) for account_id in account_ids]
        reading = {sockets.submit(account.read): account for account in accounts}
        serving: dict[Future[int | None], _AccountSockets] = {}
        for read in as_completed(reading):
            for call in reading[read].begin(read):
                serving[sockets.submit(call)] = reading[read]
        for served in as_completed(serving):
            serving[served].note(served)
        for metric, times in self.counters.items():
            count(metric, times)
        for account in accounts:
            if account.error is not None:
                logger.error("an account was not served", **trace(account.error))
            elif account.out_of_time:
                event_log.notify(account.id)
        return {account.id for account in accounts if account.error is not None}

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def is_first_of(self, account_id: UUID) -> bool:
        """Return whether this is the account's first event that was posted."""
        with self.lock:
            is_first = account_id not in self.measured_accounts
            self.measured_accounts.add(account_id)
        return is_first

    def fetch_all(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of *sql*."""
        return self.connection.execute(sql, values).fetchall()

    def fetch_one(self, sql: str, **values: Any) -> dict[str, Any] | None:
        """Return the first row of *sql*, or ``None``."""
        return next(iter(self.fetch_all(sql, **values)), None)


class _AccountSockets:
    """An account and its connections. *out_of_time*: the deadline passed with events left.
    *error*: the first error of the account or of one of its connections."""

    def __init__(self, account_id: UUID, broadcast: _Broadcast) -> None:
        self.id = account_id
        self.broadcast = broadcast
        self.log = _LogReader(account_id, broadcast)
        self.out_of_time = self.failed = False
        self.error: BaseException | None = None
        self._users: dict[str, str | None] = {}
        self._last_seq = self._seen_seq = self._reached_seq = 0
        self._unserved = 0

    def read(self) -> list[connections.Connection]:
        """Read the account; return its connections."""
        row = self.broadcast.fetch_one(SELECT_ACCOUNT, account_id=self.id) or {
            "last_event_seq": 0,
            "broadcast_seq": 0,
            "is_unplanned": False,
            "users": {},
        }
        if row["is_unplanned"]:  # only of accounts with channels of notifications
            event_log.notify_notifier(self.id)
        self._users, self._last_seq = row["users"], row["last_event_seq"]
        self._seen_seq, self._reached_seq = row["broadcast_seq"], self._last_seq
        return connections.list_of_account(self.id)

    def begin(self, read: Future[list[connections.Connection]]) -> list[Callable[[], int | None]]:
        """Return a call for each of the connections that were *read*, which serves it."""
        self.error = read.exception()
        if self.error is not None:
            return []
        of_account = read.result()
        self._unserved = len(of_account)
        if not of_account:
            self._finish()
        return [partial(self._serve_connection, connection) for connection in of_account]

    def note(self, served: Future[int | None]) -> None:
        """Note how far a connection is; after the last one, store how far the account is."""
        self._unserved -= 1
        error = served.exception()
        if error is not None:
            self.error = self.error or error
        else:
            seq = served.result()
            self._reached_seq = self._reached_seq if seq is None else min(self._reached_seq, seq)
        if not self._unserved and self.error is None:
            self._finish()

    def _finish(self) -> None:
        try:
            if self._reached_seq > self._seen_seq:
                self.broadcast.connection.execute(
                    UPDATE_ACCOUNT_BROADCAST_SEQ,
                    {"account_id": self.id, "seen": self._seen_seq, "seq": self._reached_seq},
                )
        except Exception as error:
            self.error = error
        if self.failed and self.error is None:
            self.error = sockets.PostRefused(0)

    def _serve_connection(self, connection: connections.Connection) -> int | None:
        """Return the seq up to which the connection has all events; ``None`` if it does not count,
        because it is closed or not open yet."""
        if self._has_session_ended(connection):
            self._close(connection, "SocketsRevoked")
            return None
        if connection.is_stale(self.broadcast.real_ms()):
            self._close(connection, "SocketsStale")
            return None
        if connection.state == "connecting":
            return None
        if connection.begin_at is None and connection.sent_seq >= self._last_seq:
            return connection.sent_seq
        if self.broadcast.is_late:
            self.out_of_time = True
            return connection.delivered_seq
        return _Delivery(connection, self).run()

    def _has_session_ended(self, connection: connections.Connection) -> bool:
        """Return whether the session that opened the connection has ended, or its user belongs to
        another account now."""
        if str(connection.user_id) not in self._users:
            return True
        valid_from = self._users[str(connection.user_id)]
        return valid_from is not None and connection.proven_at < datetime.fromisoformat(valid_from)

    def _close(self, connection: connections.Connection, metric: str) -> None:
        self.broadcast.poster.close(connection.id)
        self.delete(connection, metric)

    def delete(self, connection: connections.Connection, metric: str) -> None:
        """Delete a connection that has ended, and count it in *metric*."""
        connections.delete(connection.id, connection.account_id)
        with self.broadcast.lock:
            self.broadcast.counters[metric] += 1


class _LeaseLost(Exception):
    """Another broadcaster holds the lease now, or the connection was deleted."""


class _Delivery:
    """The delivery of missing events to one connection."""

    def __init__(self, connection: connections.Connection, account: _AccountSockets) -> None:
        self._connection = connection
        self._account = account
        self._broadcast = account.broadcast
        self._sent_seq, self._told_seq = connection.sent_seq, connection.told_seq
        self._saved_at_ms = 0

    def run(self) -> int | None:
        """Deliver; return as :meth:`_AccountSockets._serve_connection` does."""
        while self._acquire_lease():
            try:
                self._deliver()
            except _LeaseLost:
                break
            except sockets.PostFailed as error:
                return self._on_post_error(error)
            if self._account.out_of_time or self._account.log.end() <= self._sent_seq:
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
            events, upto, has_more = self._account.log.read_above(self._sent_seq)
            for event in events:
                if self._broadcast.is_late:
                    self._account.out_of_time = True
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
        end = self._account.log.end()
        notice = _notice("ready", seq=end, cursor=cursor)
        self._broadcast.poster.post(self._connection.id, notice)
        now_ms = self._broadcast.real_ms()
        self._refresh(self._call(connections.mark_started, cursor, now_ms=now_ms), now_ms)

    def _deliver_event(self, event: _Event) -> None:
        """Post one event, if the connection has its topic."""
        self._skip_deleted(event.seq - 1)
        topics = self._connection.topics
        if topics is None or event.topic in topics:
            message = event.message(self._told_seq)
            try:
                with tracing.span("frame", event.type, event.trace_id) as span:
                    span.note(seq=event.seq, account_id=str(self._account.id))
                    self._broadcast.poster.post(self._connection.id, message)
            except sockets.MessageTooLong:  # not expected: append() checks the length
                logger.error("an event does not fit into a frame", type=event.type)
                with self._broadcast.lock:
                    self._broadcast.counters["EventsTooLong"] += 1
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
            self._account.delete(self._connection, "SocketsGone")
            return None
        if isinstance(error, sockets.SlowConsumer):
            with self._broadcast.lock:
                self._broadcast.counters["SocketsSlow"] += 1
        else:
            status = getattr(error, "status", None)
            logger.warning("a post to a connection failed", status=status)
            with self._broadcast.lock:
                self._broadcast.counters["PostsFailed"] += 1
            self._account.failed = True
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

    def _count_post(self, event: _Event) -> None:
        with self._broadcast.lock:
            self._broadcast.counters["EventsPosted"] += 1
        if self._broadcast.is_first_of(self._account.id):
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
