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

import threading
import time
from concurrent.futures import as_completed, wait
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ullgetthejob.platform import settings
from ullgetthejob.platform.clock import real_ms as machine_ms
from ullgetthejob.platform.telemetry import count, logger, trace
from ullgetthejob.realtime import connections, event_log, sockets
from ullgetthejob.realtime.delivery import Broadcast, Delivery
from ullgetthejob.realtime.log_reader import LogEnds, LogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.realtime.delivery import Poster

BROADCAST_BUDGET_S = 15  # the function has 30, and requests in flight may take a few more

SELECT_ACCOUNT = """
    SELECT last_event_seq, broadcast_seq,
           coalesce(last_event_seq > planned_seq, false) AS is_unplanned,
           (SELECT coalesce(jsonb_object_agg(u.id, u.tokens_valid_from), '{}')
            FROM users u WHERE u.account_id = a.id) AS users
    FROM accounts a WHERE a.id = %(account_id)s
"""
# Only over the value that was read before the connections: a new connection may have lowered it.
UPDATE_ACCOUNT_BROADCAST_SEQ = """
    UPDATE accounts SET broadcast_seq = %(seq)s
    WHERE id = %(account_id)s AND broadcast_seq = %(seen)s AND broadcast_seq < %(seq)s
"""


def run(
    account_ids: Collection[UUID],
    *,
    connection: Connection,
    clock: Callable[[], datetime],
    poster: Poster | None = None,
    real_ms: Callable[[], int] = machine_ms,
    budget_s: float = BROADCAST_BUDGET_S,
) -> set[UUID]:
    """Post the events of these accounts concurrently and return the accounts to be retried.

    *poster*, *real_ms* and *budget_s* are seams for tests.
    """
    client = poster or sockets.client_for(settings.WEBSOCKET_API_ENDPOINT())
    broadcast = Broadcast(client, clock, real_ms, time.monotonic() + budget_s)
    ends = LogEnds(connection)
    accounts = [
        _AccountSockets(account_id, connection, ends, broadcast) for account_id in account_ids
    ]
    _serve(accounts)
    for metric, times in broadcast.counters.items():
        count(metric, times)
    for account in accounts:
        if account.error is not None:
            logger.error("an account was not served", **trace(account.error))
        elif account.out_of_time:
            event_log.notify(account.id)
    return {account.id for account in accounts if account.error is not None}


def _serve(accounts: Collection[_AccountSockets]) -> None:
    """Read the accounts, and serve their connections as each is known."""
    reading = {sockets.submit(account.read): account for account in accounts}
    serving: list[Future[None]] = []
    for read in as_completed(reading):
        serving += [sockets.submit(call) for call in reading[read].begin(read)]
    wait(serving)


class _AccountSockets:
    """An account and its connections. *out_of_time*: the deadline passed with events left.
    *error*: the first error of the account or of one of its connections."""

    def __init__(
        self, account_id: UUID, database: Connection, ends: LogEnds, broadcast: Broadcast
    ) -> None:
        self.id = account_id
        self._database = database
        self._broadcast = broadcast
        self._log = LogReader(account_id, database, ends)
        self.out_of_time = self.failed = False
        self.error: BaseException | None = None
        self._users: dict[str, str | None] = {}
        self._last_seq = self._seen_seq = self._reached_seq = 0
        self._unserved = 0
        self._lock = threading.Lock()  # of the two above, while connections are served

    def read(self) -> list[connections.Connection]:
        """Read the account; return its connections."""
        row = self._database.execute(SELECT_ACCOUNT, {"account_id": self.id}).fetchone() or {
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

    def begin(self, read: Future[list[connections.Connection]]) -> list[Callable[[], None]]:
        """Return a call for each of the connections that were *read*, which serves it."""
        self.error = read.exception()
        if self.error is not None:
            return []
        of_account = read.result()
        self._unserved = len(of_account)
        if not of_account:
            self._finish()
        return [partial(self._serve, connection) for connection in of_account]

    def _serve(self, connection: connections.Connection) -> None:
        """Serve a connection; after the last one, store how far the account is."""
        seq, error = None, None
        try:
            seq = self._serve_connection(connection)
        except BaseException as raised:
            error = raised
        with self._lock:
            self._unserved -= 1
            self.error = self.error or error
            self._reached_seq = self._reached_seq if seq is None else min(self._reached_seq, seq)
            is_last = not self._unserved
        if is_last and self.error is None:
            self._finish()

    def _finish(self) -> None:
        try:
            if self._reached_seq > self._seen_seq:
                self._database.execute(
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
            self._close(connection)
            self._broadcast.count("SocketsRevoked")
            return None
        if connection.is_stale(self._broadcast.real_ms()):
            self._close(connection)
            self._broadcast.count("SocketsStale")
            return None
        if connection.state == "connecting":
            return None
        if connection.begin_at is None and connection.sent_seq >= self._last_seq:
            return connection.sent_seq
        if self._broadcast.is_late:
            self.out_of_time = True
            return connection.delivered_seq
        delivery = Delivery(connection, self._log, self._broadcast)
        seq = delivery.run()
        if delivery.out_of_time:  # set, never reset: other threads serve other connections
            self.out_of_time = True
        if delivery.failed:
            self.failed = True
        return seq

    def _has_session_ended(self, connection: connections.Connection) -> bool:
        """Return whether the session that opened the connection has ended, or its user belongs to
        another account now."""
        if str(connection.user_id) not in self._users:
            return True
        valid_from = self._users[str(connection.user_id)]
        return valid_from is not None and connection.proven_at < datetime.fromisoformat(valid_from)

    def _close(self, connection: connections.Connection) -> None:
        self._broadcast.poster.close(connection.id)
        connections.delete(connection.id, connection.account_id)
