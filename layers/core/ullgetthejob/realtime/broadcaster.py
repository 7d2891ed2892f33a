"""The broadcaster: posts the events of accounts to their sockets, in order, each at its own pace.

A bell names an account. For each of its connections that lacks events it takes a lease, posts what
lies above the connection's *sent_seq*, and writes down how far it came. Whoever finds the lease
taken leaves: the holder looks again after letting go, so nothing that was committed before is
missed. A process that dies leaves its lease to expire and *sent_seq* behind what was posted: some
events come twice, none is missed, and a new one is never sent before an older one.

A connection that is gone is forgotten, as is one whose session has ended; one that takes no more is
left as it is. ``accounts.broadcast_seq`` is what all open connections have; while it is behind, the
sweeper rings again.

Postgres and DynamoDB are asked in threads, so that they keep no post waiting.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ullgetthejob.platform import settings
from ullgetthejob.platform.clock import real_ms as machine_ms
from ullgetthejob.platform.telemetry import count, logger, measure, trace
from ullgetthejob.realtime import connections, event_log, sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    import psycopg

    Database = psycopg.Connection[dict[str, Any]]

Given = TypeVar("Given")

BROADCAST_BUDGET_S = 15  # the function has 30, and what is under way may take a few more
EVENTS_PER_READ = 50  # events that are read at once: at most 1.6 MB
PROGRESS_INTERVAL_MS = 4_000  # a lease outlasts that and the longest post

SELECT_ACCOUNT = """
    SELECT last_event_seq, broadcast_seq,
           (SELECT coalesce(jsonb_object_agg(u.id, u.tokens_valid_from), '{}')
            FROM users u WHERE u.account_id = a.id) AS users
    FROM accounts a WHERE a.id = %(account_id)s
"""
SELECT_LAST_EVENT_SEQ = "SELECT last_event_seq FROM accounts WHERE id = %(account_id)s"
# How far the log goes, and a part of it, as of one moment.
SELECT_EVENTS = """
    SELECT a.last_event_seq, e.seq, e.at, e.type, e.data
    FROM accounts a LEFT JOIN LATERAL (
        SELECT seq, at, type, data::text AS data FROM events
        WHERE account_id = a.id AND seq > %(above)s ORDER BY seq LIMIT %(most)s
    ) e ON true
    WHERE a.id = %(account_id)s ORDER BY e.seq
"""
# Only over what was read before the connections were: a new one may have lowered it meanwhile.
UPDATE_ACCOUNT_BROADCAST_SEQ = """
    UPDATE accounts SET broadcast_seq = %(seq)s
    WHERE id = %(account_id)s AND broadcast_seq = %(seen)s AND broadcast_seq < %(seq)s
"""


class Poster(Protocol):
    """What posts: :class:`sockets.Sockets`."""

    async def post(self, connection_id: str, message: bytes) -> None:
        """Send a message. Raises :class:`sockets.NotPosted`."""

    async def close(self, connection_id: str) -> None:
        """End the connection."""


def run(
    account_ids: Collection[UUID],
    *,
    connection: Database,
    clock: Callable[[], datetime],
    poster: Poster | None = None,
    real_ms: Callable[[], int] = machine_ms,
    budget_s: float = BROADCAST_BUDGET_S,
) -> set[UUID]:
    """Serve the sockets of these accounts, all at once; those that failed and must come again.

    *poster*, *real_ms* and *budget_s* are seams for tests.
    """

    async def serve() -> set[UUID]:
        posting = poster or sockets.client_for(settings.text("WEBSOCKET_API_ENDPOINT"))
        work = _Broadcast(connection, posting, clock, real_ms, time.monotonic() + budget_s)
        return await work.serve(account_ids)

    return sockets.run(serve())


# ── what is posted ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Event:
    """An event of the log. *data* is JSON text."""

    seq: int
    at: datetime
    type: str
    data: str

    @property
    def topic(self) -> str:
        return self.type.partition(".")[0]

    def message(self, told_seq: int) -> bytes:
        """As it is sent to a client that was told of *told_seq* before."""
        after = "" if told_seq == self.seq - 1 else f'"after":{told_seq},'
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        head = f'{{"v":1,"seq":{self.seq},{after}"type":"{self.type}","at":"{at}"'
        return f'{head},"data":{self.data}}}'.encode()


def _notice(type: str, **more: Any) -> bytes:
    return json.dumps({"v": 1, "type": type, **more}, separators=(",", ":")).encode()


class _LogReader:
    """The log of an account, read in chunks that its connections share."""

    def __init__(self, account_id: UUID, work: _Broadcast) -> None:
        self._account_id = account_id
        self._work = work
        self._one_at_a_time = asyncio.Lock()
        self._above, self._upto = 0, 0  # what the chunk covers
        self._chunk: list[_Event] = []

    async def above(self, seq: int) -> tuple[list[_Event], int, bool]:
        """The next events above *seq*, up to where they cover the log, and whether it goes on."""
        async with self._one_at_a_time:
            if not self._above <= seq < self._upto:
                await self._read(seq)
            some = [event for event in self._chunk if event.seq > seq]
            return some, self._upto, len(self._chunk) == EVENTS_PER_READ

    async def end(self) -> int:
        """How far the log goes by now."""
        row = await self._work.one(SELECT_LAST_EVENT_SEQ, account_id=self._account_id)
        return int(row["last_event_seq"]) if row else 0

    async def _read(self, seq: int) -> None:
        rows = await self._work.rows(
            SELECT_EVENTS, account_id=self._account_id, above=seq, most=EVENTS_PER_READ
        )
        last = rows[0].pop("last_event_seq") if rows else seq
        for row in rows[1:]:
            row.pop("last_event_seq")
        self._chunk = [_Event(**row) for row in rows if row["seq"] is not None]
        self._above = seq
        self._upto = self._chunk[-1].seq if len(self._chunk) == EVENTS_PER_READ else last


# ── who posts ────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Broadcast:
    """One invocation: what it works with, and what it did."""

    connection: Database
    poster: Poster
    clock: Callable[[], datetime]
    real_ms: Callable[[], int]
    deadline: float
    sender: str = field(default_factory=lambda: secrets.token_hex(8))
    tally: Counter[str] = field(default_factory=Counter)
    first_posts: set[UUID] = field(default_factory=set)

    async def serve(self, account_ids: Iterable[UUID]) -> set[UUID]:
        accounts = [_AccountSockets(account_id, self) for account_id in account_ids]
        done = await asyncio.gather(*(one.serve() for one in accounts), return_exceptions=True)
        for fact, times in self.tally.items():
            count(fact, times)
        failed = set()
        for account, outcome in zip(accounts, done, strict=True):
            if isinstance(outcome, BaseException):
                logger.error("an account was not served", **trace(outcome))
                failed.add(account.id)
            elif outcome:
                event_log.notify(account.id)
        return failed

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    async def in_thread(self, call: Callable[[], Given]) -> Given:
        """What *call* returns, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(None, call)

    async def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        return await self.in_thread(lambda: self.connection.execute(sql, values).fetchall())

    async def one(self, sql: str, **values: Any) -> dict[str, Any] | None:
        return next(iter(await self.rows(sql, **values)), None)


class _AccountSockets:
    """An account and its connections."""

    def __init__(self, id: UUID, work: _Broadcast) -> None:
        self.id = id
        self.work = work
        self.log = _LogReader(id, work)
        self.left = self.failed = False
        self._users: dict[str, str | None] = {}
        self._last = 0

    async def serve(self) -> bool:
        """Whether something is left that there was no time for. Raises what hindered it, when all
        of its connections have had their turn."""
        row = await self.work.one(SELECT_ACCOUNT, account_id=self.id) or {
            "last_event_seq": 0,
            "broadcast_seq": 0,
            "users": {},
        }
        self._users, self._last = row["users"], row["last_event_seq"]
        all_of_them = await self.work.in_thread(partial(connections.list_of_account, self.id))
        turns = await asyncio.gather(*map(self._serve, all_of_them), return_exceptions=True)
        for outcome in turns:
            if isinstance(outcome, BaseException):
                raise outcome
        have = [seq for seq in turns if isinstance(seq, int)]
        values = {"account_id": self.id, "seen": row["broadcast_seq"]}
        values["seq"] = min([self._last, *have])
        if values["seq"] > values["seen"]:
            await self.work.in_thread(
                lambda: self.work.connection.execute(UPDATE_ACCOUNT_BROADCAST_SEQ, values)
            )
        if self.failed:
            raise sockets.PostRefused(0)
        return self.left

    async def _serve(self, one: connections.Connection) -> int | None:
        """Up to where the connection has everything; ``None`` where that is nobody's question."""
        if self._session_ended(one):
            await self._close(one, "SocketsRevoked")
            return None
        if one.stale(self.work.real_ms()):
            await self._close(one, "SocketsStale")
            return None
        if one.state == "connecting":
            return None
        if one.begin_at is None and one.sent_seq >= self._last:
            return one.sent_seq
        return await _Delivery(one, self).run()

    def _session_ended(self, one: connections.Connection) -> bool:
        """Whether the session that it was opened by has ended, or is another account's by now."""
        if str(one.user_id) not in self._users:
            return True
        valid_from = self._users[str(one.user_id)]
        return valid_from is not None and one.proven_at < datetime.fromisoformat(valid_from)

    async def _close(self, one: connections.Connection, why: str) -> None:
        await self.work.poster.close(one.id)
        await self.delete(one, why)

    async def delete(self, one: connections.Connection, why: str) -> None:
        """The connection is over."""
        await self.work.in_thread(partial(connections.delete, one.id, one.account_id))
        self.work.tally[why] += 1


class _LeaseLost(Exception):
    """Another has it now, or the connection was forgotten."""


class _Delivery:
    """What one connection lacks, on the way to it."""

    def __init__(self, one: connections.Connection, account: _AccountSockets) -> None:
        self._one = one
        self._account = account
        self._work = account.work
        self._sent, self._told = one.sent_seq, one.told_seq
        self._written_at = 0

    async def run(self) -> int | None:
        """As :meth:`_Account._serve`."""
        while await self._acquire_lease():
            try:
                await self._deliver()
            except _LeaseLost:
                break
            except sockets.PostFailed as hindrance:
                return await self._on_post_error(hindrance)
            if self._account.left or await self._account.log.end() <= self._sent:
                return self._sent
        return self._one.delivered_seq  # at least: another is at it

    async def _acquire_lease(self) -> bool:
        now_ms = self._work.real_ms()
        held = await self._call(connections.acquire_lease, now_ms=now_ms)
        if held is None:
            return False
        self._refresh(held, now_ms)
        return True

    async def _deliver(self) -> None:
        """Everything up to the end of the log, and the lease is let go."""
        while True:
            if self._one.begin_at is not None:
                await self._start_replay(self._one.begin_at)
                continue
            some, upto, goes_on = await self._account.log.above(self._sent)
            for event in some:
                if self._work.late:
                    self._account.left = True
                    break
                await self._deliver_event(event)
                await self._save_progress(PROGRESS_INTERVAL_MS)
                if self._one.begin_at is not None:
                    break
            else:
                await self._skip_deleted(upto)
                if goes_on:
                    await self._save_progress(0)
                    continue
            again = await self._call(connections.release, self._sent, self._told)
            if again is None:
                return
            self._refresh(again, self._work.real_ms())

    async def _start_replay(self, cursor: int) -> None:
        end = await self._account.log.end()
        await self._work.poster.post(self._one.id, _notice("ready", seq=end, cursor=cursor))
        now_ms = self._work.real_ms()
        self._refresh(await self._call(connections.mark_started, cursor, now_ms=now_ms), now_ms)

    async def _deliver_event(self, event: _Event) -> None:
        """Post one event, if it is of the connection's topics."""
        await self._skip_deleted(event.seq - 1)
        topics = self._one.topics
        if topics is None or event.topic in topics:
            try:
                await self._work.poster.post(self._one.id, event.message(self._told))
            except (
                sockets.MessageTooLong
            ):  # it cannot happen: the length was checked as it was written
                logger.error("an event does not fit into a frame", type=event.type)
                self._work.tally["EventsTooLong"] += 1
            else:
                self._told = event.seq
                self._count(event)
        self._sent = event.seq

    async def _skip_deleted(self, upto: int) -> None:
        """What the log has no more: the client is told, and reads it elsewhere."""
        if upto > self._sent:
            notice = _notice("replay.truncated", oldest=upto + 1)
            await self._work.poster.post(self._one.id, notice)
            self._sent = self._told = upto

    async def _save_progress(self, after_ms: int) -> None:
        now_ms = self._work.real_ms()
        if now_ms - self._written_at >= after_ms:
            held = await self._call(
                connections.save_progress, self._sent, self._told, now_ms=now_ms
            )
            self._refresh(held, now_ms)

    async def _on_post_error(self, hindrance: sockets.PostFailed) -> int | None:
        if isinstance(hindrance, sockets.ConnectionGone):
            await self._account.delete(self._one, "SocketsGone")
            return None
        if isinstance(hindrance, sockets.SlowConsumer):
            self._work.tally["SocketsSlow"] += 1
        else:
            logger.warning("a socket was not posted to", status=getattr(hindrance, "status", None))
            self._work.tally["PostsFailed"] += 1
            self._account.failed = True
        if self._one.begin_at is None:
            now_ms = self._work.real_ms()
            await self._call(connections.save_progress, self._sent, self._told, now_ms=now_ms)
        # Nobody is to wait for a silent one again soon: its lease stays until it expires.
        if not isinstance(hindrance, sockets.PostTimeout):
            await self._call(connections.drop_lease)
        return self._sent if self._one.begin_at is None else self._one.delivered_seq

    def _count(self, event: _Event) -> None:
        self._work.tally["EventsPosted"] += 1
        if self._account.id not in self._work.first_posts:
            self._work.first_posts.add(self._account.id)
            age = self._work.clock() - event.at
            measure("EventAge", max(0.0, age.total_seconds() * 1000))

    def _refresh(self, held: connections.Connection | None, now_ms: int) -> None:
        """The connection as it is now. Raises :class:`_LeaseLost`."""
        if held is None:
            raise _LeaseLost
        self._one = held
        self._written_at = now_ms
        if held.begin_at is None:
            self._sent, self._told = held.sent_seq, held.told_seq

    async def _call(self, change: Callable[..., Given], *values: Any, **named: Any) -> Given:
        named["sender"] = self._work.sender
        return await self._work.in_thread(partial(change, self._one, *values, **named))
