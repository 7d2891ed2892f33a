"""The event log as the broadcaster reads it: in chunks, as frames."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

EVENTS_PER_READ = 50  # at most 1.6 MB

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


@dataclass(frozen=True)
class Event:
    """An event of the log. *data* is JSON text."""

    seq: int
    at: datetime
    type: str
    data: str
    trace_id: UUID | None

    @property
    def topic(self) -> str:
        """Return the topic to which a connection may have subscribed."""
        return self.type.partition(".")[0]

    def message(self, told_seq: int) -> bytes:
        """Return the frame for a client whose last posted event is *told_seq*."""
        after = "" if told_seq == self.seq - 1 else f'"after":{told_seq},'
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        head = f'{{"v":1,"seq":{self.seq},{after}"type":"{self.type}","at":"{at}"'
        return f'{head},"data":{self.data}}}'.encode()


class LogReader:
    """The log of an account, read in chunks that its connections share."""

    def __init__(self, account_id: UUID, database: Connection) -> None:
        self._account_id = account_id
        self._database = database
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
        values = {"account_id": self._account_id}
        row = self._database.execute(SELECT_LAST_EVENT_SEQ, values).fetchone()
        return int(row["last_event_seq"]) if row else 0

    def _read_chunk(self, seq: int) -> None:
        values = {"account_id": self._account_id, "above": seq, "most": EVENTS_PER_READ}
        rows = self._database.execute(SELECT_EVENTS, values).fetchall()
        last = rows[0].pop("last_event_seq") if rows else seq
        for row in rows[1:]:
            row.pop("last_event_seq")
        self._chunk = [Event(**row) for row in rows if row["seq"] is not None]
        self._above = seq
        self._upto = self._chunk[-1].seq if len(self._chunk) == EVENTS_PER_READ else last
