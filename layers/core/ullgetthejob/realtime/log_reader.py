"""The event log as the broadcaster reads it: in chunks, as frames."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

EVENTS_PER_READ = 50  # at most 1.6 MB

SELECT_LAST_EVENT_SEQS = """
    SELECT id, last_event_seq FROM accounts WHERE id = ANY(%(account_ids)s::uuid[])
"""
# The end of the log and a part of it, in one snapshot.
SELECT_EVENTS = """
    SELECT a.last_event_seq, e.seq, e.at, e.type, e.data, e.trace_id
    FROM accounts a LEFT JOIN LATERAL (
        SELECT seq, at, type, data::text AS data, trace_id FROM events
        WHERE account_id = a.id AND seq > %(above)s ORDER BY seq LIMIT %(most)s
    ) e ON true
    WHERE a.id = %(account_id)s ORDER BY e.seq
"""


@dataclass(frozen=True)
class Event:
    """An event of the log. *data* is JSON text."""

    seq: int
    at: datetime
    type: str
    data: str
    trace_id: UUID | None

    @cached_property
    def _next_message(self) -> bytes:
        """The frame for a client that has the event before; one for all sockets, as their posts
        need its hash."""
        return self._frame("")

    @property
    def topic(self) -> str:
        """Return the topic to which a connection may have subscribed."""
        return self.type.partition(".")[0]

    def message(self, told_seq: int) -> bytes:
        """Return the frame for a client whose last posted event is *told_seq*."""
        if told_seq == self.seq - 1:
            return self._next_message
        return self._frame(f'"after":{told_seq},')

    def _frame(self, after: str) -> bytes:
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        head = f'{{"v":1,"seq":{self.seq},{after}"type":"{self.type}","at":"{at}"'
        return f'{head},"data":{self.data}}}'.encode()


class LogEnds:
    """The ends of the logs of accounts, as many threads ask for them. They share a connection to
    Postgres, so those that wait for it ask together: the first asks for all."""

    def __init__(self, database: Connection) -> None:
        self._database = database
        self._joining, self._reading = threading.Lock(), threading.Lock()
        self._next = _EndsRead()

    def read(self, account_id: UUID) -> int:
        """Return the seq of the last event as it is now: of a statement that began after this
        call."""
        with self._joining:
            wanted = self._next
            wanted.account_ids.add(account_id)
        with self._reading:
            if wanted.seqs is None:
                with self._joining:
                    if wanted is self._next:
                        self._next = _EndsRead()
                values = {"account_ids": list(wanted.account_ids)}
                rows = self._database.execute(SELECT_LAST_EVENT_SEQS, values).fetchall()
                wanted.seqs = {row["id"]: row["last_event_seq"] for row in rows}
        return wanted.seqs.get(account_id, 0)


@dataclass
class _EndsRead:
    """A statement, and its result once it was executed."""

    account_ids: set[UUID] = field(default_factory=set)
    seqs: dict[UUID, int] | None = None


class LogReader:
    """The log of an account, read in chunks that its connections share."""

    def __init__(self, account_id: UUID, database: Connection, ends: LogEnds) -> None:
        self._account_id = account_id
        self._database = database
        self._ends = ends
        self._lock = threading.Lock()
        self._above, self._upto = 0, 0  # the range of seq that the chunk covers
        self._chunk: list[Event] = []

    def read_above(self, seq: int) -> tuple[list[Event], int, bool]:
        """Return the next events above *seq*, the seq up to which they cover the log, and whether
        the log goes on."""
        with self._lock:
            if not self._above <= seq < self._upto:
                self._read_chunk(seq)
            events = [event for event in self._chunk if event.seq > seq]
            return events, self._upto, len(self._chunk) == EVENTS_PER_READ

    def end(self) -> int:
        """Read the seq of the last event now."""
        return self._ends.read(self._account_id)

    def _read_chunk(self, seq: int) -> None:
        values = {"account_id": self._account_id, "above": seq, "most": EVENTS_PER_READ}
        rows = self._database.execute(SELECT_EVENTS, values).fetchall()
        last = rows[0].pop("last_event_seq") if rows else seq
        for row in rows[1:]:
            row.pop("last_event_seq")
        self._chunk = [Event(**row) for row in rows if row["seq"] is not None]
        self._above = seq
        self._upto = self._chunk[-1].seq if len(self._chunk) == EVENTS_PER_READ else last
