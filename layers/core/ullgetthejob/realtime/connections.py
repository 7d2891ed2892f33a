"""Connections of the WebSocket: the items of ConnectionTable.

    pk connection#<id>   sk -      the account of a connection, for frames, which name only the id
    pk account#<account> sk <id>   all that is stored of the connection, for the broadcaster

There are two items because a read of the second kind must see a write that just happened, which an
index cannot promise. The first is written first and deleted last.

A connection is ``connecting`` until its first frame makes it ``open``. *begin_at*: the cursor from
which delivery is to begin (again); the holder of the lease answers it with ``ready`` and delivers
from there. *sent_seq*: the seq up to which the connection has all events; *told_seq*: the last
event that was really posted to it, which is less where others were left out because of its topics.

A lease (*sender*, *sending_until*) keeps two broadcasters from posting the same event twice; order
does not depend on it. Leases and ages are in real time: API Gateway's, not the domain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from ullgetthejob.platform import dynamodb, settings
from ullgetthejob.platform.errors import AppError, Unavailable
from ullgetthejob.platform.telemetry import count, log_transition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ullgetthejob.realtime.tickets import TicketHolder

MAX_PER_ACCOUNT = 20
# API Gateway does not know a connection before its $connect has returned, which takes no longer.
REPLY_TIMEOUT_MS = 30 * 1000
# API Gateway ends a connection after two hours; one that never sends a frame is of no use.
MAX_LIFETIME_MS = 130 * 60 * 1000
FIRST_FRAME_TIMEOUT_MS = 60 * 1000
ITEM_TTL_S = 3 * 3600
LEASE_MS = 20_000

State = Literal["connecting", "open"]
Topic = Literal["account", "application", "fetch", "jobs", "rate_limit"]

EXISTS = "attribute_exists(pk)"
IS_OPEN_AND_UNLEASED = (
    "#state = :open AND (attribute_not_exists(sending_until) OR sending_until <= :now)"
)
LEASE_IS_OURS = "sender = :sender"
NO_REPLAY_PENDING = f"{LEASE_IS_OURS} AND attribute_not_exists(begin_at)"
REPLAY_PENDING = f"{LEASE_IS_OURS} AND begin_at = :cursor"


class TooManyConnections(AppError):
    """The account has the maximum number of connections."""

    code = "too_many_connections"


@dataclass(frozen=True)
class Connection:
    """A connection as the account's item stores it. *topics*: ``None`` for all."""

    id: str
    account_id: UUID
    user_id: UUID
    state: State
    proven_at: datetime
    connected_at_ms: int
    sent_seq: int
    told_seq: int
    begin_at: int | None
    topics: tuple[str, ...] | None
    sender: str | None

    def is_stale(self, now_ms: int) -> bool:
        """Return whether it must have ended by now, or has sent no frame in time."""
        longest = FIRST_FRAME_TIMEOUT_MS if self.state == "connecting" else MAX_LIFETIME_MS
        return now_ms - self.connected_at_ms > longest

    def is_settled(self, now_ms: int) -> bool:
        """Return whether its ``$connect`` has returned, so that API Gateway knows its state."""
        return self.state == "open" or now_ms - self.connected_at_ms > REPLY_TIMEOUT_MS

    @property
    def delivered_seq(self) -> int:
        """Return the seq up to which it has all; before a replay begins, ``ready`` is missing."""
        return self.sent_seq if self.begin_at is None else self.begin_at - 1


def add(
    connection_id: str,
    holder: TicketHolder,
    *,
    connected_at_ms: int,
    find_gone: Callable[[list[str]], Collection[str]] = lambda _ids: (),
) -> None:
    """Store a new connection, in state ``connecting``. Raises :class:`TooManyConnections`.

    It is written before the others are counted: of two that connect at once both are seen. When the
    account is full, the connections that *find_gone* returns (of the ids it is given) are deleted:
    API Gateway promises no ``$disconnect``.
    """
    owner = {
        ":account": str(holder.account_id),
        ":user": str(holder.user_id),
        ":expires": connected_at_ms // 1000 + ITEM_TTL_S,
    }
    set_owner = "SET account_id = :account, user_id = :user, expires_at = :expires"
    _update(_connection_key(connection_id), set_owner, owner)
    _update(
        _account_key(holder.account_id, connection_id),
        f"{set_owner}, #state = :connecting, proven_at = :proven, connected_at = :connected",
        {
            **owner,
            ":connecting": "connecting",
            ":proven": holder.proven_at.isoformat(),
            ":connected": connected_at_ms,
        },
    )
    _log_change(connection_id, holder.account_id, None, "connecting")
    others = _list_others(connection_id, holder.account_id, connected_at_ms)
    if len(others) >= MAX_PER_ACCOUNT:
        settled = [other.id for other in others if other.is_settled(connected_at_ms)]
        for gone_id in find_gone(settled):
            delete(gone_id, holder.account_id)
            count("SocketsGone")
        others = _list_others(connection_id, holder.account_id, connected_at_ms)
    if len(others) >= MAX_PER_ACCOUNT:
        delete(connection_id, holder.account_id)
        raise TooManyConnections(f"an account has at most {MAX_PER_ACCOUNT} connections")


def _list_others(connection_id: str, account_id: UUID, now_ms: int) -> list[Connection]:
    """Return the account's connections without *connection_id*; delete those that are stale."""
    others = [found for found in list_of_account(account_id) if found.id != connection_id]
    for other in others:
        if other.is_stale(now_ms):
            delete(other.id, other.account_id)
    return [other for other in others if not other.is_stale(now_ms)]


def find(connection_id: str) -> Connection | None:
    """Return the connection, or ``None`` when it is unknown or deleted."""
    items = _query(f"connection#{connection_id}")
    if not items:
        return None
    account_id = items[0]["account_id"]
    return next(map(_to_connection, _query(f"account#{account_id}", connection_id)), None)


def list_of_account(account_id: UUID) -> list[Connection]:
    """Return all connections of an account."""
    return [_to_connection(item) for item in _query(f"account#{account_id}")]


def delete(connection_id: str, account_id: UUID) -> None:
    """Delete a connection that has ended."""
    for key in (_account_key(account_id, connection_id), _connection_key(connection_id)):
        dynamodb.delete_item(_table(), key, _unavailable)
    _log_change(connection_id, account_id, None, "ended")


def request_replay(connection: Connection, cursor: int, topics: Collection[str] | None) -> bool:
    """Let delivery begin after *cursor*, of *topics* alone; return whether the connection is still
    stored."""
    set_topics_too = " REMOVE #topics" if topics is None else ", #topics = :topics"
    is_stored = _update_connection(
        connection,
        f"SET #state = :open, begin_at = :cursor{set_topics_too}",
        EXISTS,
        {":open": "open", ":cursor": cursor, **_topics_value(topics)},
    )
    if is_stored and connection.state != "open":
        _log_change(connection.id, connection.account_id, connection.state, "open")
    return is_stored


def set_topics(connection: Connection, topics: Collection[str]) -> bool:
    """Deliver events of *topics* alone from now on; return whether the connection is still
    stored."""
    return _update_connection(connection, "SET #topics = :topics", EXISTS, _topics_value(topics))


def acquire_lease(connection: Connection, *, sender: str, now_ms: int) -> Connection | None:
    """Acquire the lease on an open connection; return its stored state, or ``None`` when another
    sender holds the lease."""
    values = {
        ":open": "open",
        ":now": now_ms,
        ":sender": sender,
        ":until": now_ms + LEASE_MS,
    }
    return _update_leased(
        connection, "SET sender = :sender, sending_until = :until", IS_OPEN_AND_UNLEASED, values
    )


def mark_started(
    connection: Connection, cursor: int, *, sender: str, now_ms: int
) -> Connection | None:
    """Store that ``ready`` was posted for *cursor*, and extend the lease.

    Returns the stored state, which may hold a new *begin_at* that the client has requested in
    between; ``None`` when the lease is lost.
    """
    values = {
        ":cursor": cursor,
        ":sender": sender,
        ":until": now_ms + LEASE_MS,
    }
    update = "SET sent_seq = :cursor, told_seq = :cursor, sending_until = :until REMOVE begin_at"
    return _update_leased(connection, update, REPLAY_PENDING, values)


def save_progress(
    connection: Connection, sent_seq: int, told_seq: int, *, sender: str, now_ms: int
) -> Connection | None:
    """Store that all events up to *sent_seq* are delivered, and extend the lease; return the stored
    state, or ``None`` when the lease is lost."""
    values = {
        ":sent": sent_seq,
        ":told": told_seq,
        ":sender": sender,
        ":until": now_ms + LEASE_MS,
    }
    update = "SET sent_seq = :sent, told_seq = :told, sending_until = :until"
    return _update_leased(connection, update, NO_REPLAY_PENDING, values)


def release(
    connection: Connection, sent_seq: int, told_seq: int, *, sender: str
) -> Connection | None:
    """Store the progress and release the lease; return ``None`` when it is released or was lost.

    Where a replay is pending the lease is kept, and the stored state is returned.
    """
    values = {
        ":sent": sent_seq,
        ":told": told_seq,
        ":sender": sender,
    }
    update = "SET sent_seq = :sent, told_seq = :told REMOVE sender, sending_until"
    stored = _update_leased(connection, update, NO_REPLAY_PENDING, values)
    return stored if stored is not None and stored.sender == sender else None


def drop_lease(connection: Connection, *, sender: str) -> None:
    """Release the lease and change nothing else."""
    _update_connection(
        connection, "REMOVE sender, sending_until", LEASE_IS_OURS, {":sender": sender}
    )


def _log_change(connection_id: str, account_id: UUID, before: str | None, after: str) -> None:
    log_transition("connection", before, after, connection_id=connection_id, account_id=account_id)


# ── items ────────────────────────────────────────────────────────────────────────────────────────


def _update_connection(
    connection: Connection, update: str, condition: str, values: dict[str, Any]
) -> bool:
    """Return whether the item was changed."""
    key = _account_key(connection.account_id, connection.id)
    return _update(key, update, values, condition)[0]


def _update_leased(
    connection: Connection, update: str, condition: str, values: dict[str, Any]
) -> Connection | None:
    """Return the stored state after the change, or after an earlier try whose reply was lost.

    Where the sender of *values* holds the lease and the rest of the condition failed: the state as
    it is. Where another holds it: ``None``.
    """
    key = _account_key(connection.account_id, connection.id)
    is_updated, item = _update(key, update, values, condition)
    if not is_updated and item.get("sender") != values[":sender"]:
        return None
    return _to_connection(item)


def _update(
    key: dict[str, str], update: str, values: dict[str, Any], condition: str = ""
) -> tuple[bool, dynamodb.Item]:
    """Return whether the condition held, and the item as it is afterwards."""
    return dynamodb.update_item(_table(), key, update, values, _unavailable, condition=condition)


def _query(pk: str, sk: str | None = None) -> list[dynamodb.Item]:
    """Return the items of a key: at most a few dozen small ones, one page."""
    if sk is None:
        return dynamodb.query(_table(), "pk = :pk", {":pk": pk}, _unavailable)
    values = {":pk": pk, ":sk": sk}
    return dynamodb.query(_table(), "pk = :pk AND sk = :sk", values, _unavailable)


def _to_connection(item: dynamodb.Item) -> Connection:
    return Connection(
        id=item["sk"],
        account_id=UUID(item["account_id"]),
        user_id=UUID(item["user_id"]),
        state=item["state"],
        proven_at=datetime.fromisoformat(item["proven_at"]),
        connected_at_ms=item["connected_at"],
        sent_seq=item.get("sent_seq", 0),
        told_seq=item.get("told_seq", 0),
        begin_at=item.get("begin_at"),
        topics=tuple(item["topics"]) if "topics" in item else None,
        sender=item.get("sender"),
    )


def _topics_value(topics: Collection[str] | None) -> dict[str, Any]:
    """Return topics as a list: a set cannot be empty, and no topic at all is a valid choice."""
    if topics is None:
        return {}
    return {":topics": sorted({*topics})}


def _connection_key(connection_id: str) -> dict[str, str]:
    return {"pk": f"connection#{connection_id}", "sk": "-"}


def _account_key(account_id: UUID, connection_id: str) -> dict[str, str]:
    return {"pk": f"account#{account_id}", "sk": connection_id}


def _table() -> str:
    return settings.CONNECTION_TABLE()


def _unavailable() -> Unavailable:
    return Unavailable(
        "connections are not available at the moment", code="connections_unavailable"
    )
