"""Who is connected: the items of ConnectionTable.

    pk connection#<id>   sk -      whose the connection is, for frames, which name nothing but it
    pk account#<account> sk <id>   all that is known of it, for whoever posts to the account

Two items because reading the second kind must see what was written just before, which an index
cannot promise. The first is written first and deleted last.

A connection is ``connecting`` until its first frame makes it ``open``. *begin_at*: the cursor that
its delivery is to begin from (again); whoever holds its lease answers that with ``ready`` and goes
on from there. *sent_seq*: up to where it has everything; *told_seq*: the last event that it was
really sent, which is less where others were left out because of its topics.

A lease (*sender*, *sending_until*) keeps two broadcasters from posting the same twice; order does
not hang on it. Leases and ages are real time: API Gateway's, not the domain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import AppError, Unavailable
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ullgetthejob.realtime.tickets import TicketHolder

MAX_PER_ACCOUNT = 20
# A connection is not there for API Gateway before its $connect has returned; that takes no longer.
REPLY_TIMEOUT_MS = 30 * 1000
# API Gateway ends a connection after two hours; one that never said a word is no use to anybody.
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
    """The account has as many connections as it may have."""

    code = "too_many_connections"


@dataclass(frozen=True)
class Connection:
    """A connection as the account's item has it. *topics*: ``None`` for all."""

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

    def stale(self, now_ms: int) -> bool:
        """Whether nobody can be there any more, or nobody who will ever speak."""
        longest = FIRST_FRAME_TIMEOUT_MS if self.state == "connecting" else MAX_LIFETIME_MS
        return now_ms - self.connected_at_ms > longest

    def is_settled(self, now_ms: int) -> bool:
        """Whether its ``$connect`` has returned, so that API Gateway knows whether it is there."""
        return self.state == "open" or now_ms - self.connected_at_ms > REPLY_TIMEOUT_MS

    @property
    def delivered_seq(self) -> int:
        """Up to which event it has all; before it begins it lacks the word that it does."""
        return self.sent_seq if self.begin_at is None else self.begin_at - 1


def add(
    id: str,
    holder: TicketHolder,
    *,
    connected_at_ms: int,
    gone: Callable[[list[str]], Collection[str]] = lambda _ids: (),
) -> None:
    """A new connection, which says nothing yet. Raises :class:`TooManyConnections`.

    It is written before the others are counted: of two that come at once both are seen. Where there
    is no place, those that *gone* (which is given ids) does not find any more lose theirs: API
    Gateway promises no ``$disconnect``.
    """
    whose = {
        ":account": {"S": str(holder.account_id)},
        ":user": {"S": str(holder.user_id)},
        ":expires": {"N": str(connected_at_ms // 1000 + ITEM_TTL_S)},
    }
    owned = "SET account_id = :account, user_id = :user, expires_at = :expires"
    _update(_of_connection(id), owned, whose)
    _update(
        _of_account(holder.account_id, id),
        f"{owned}, #state = :connecting, proven_at = :proven, connected_at = :connected",
        {
            **whose,
            ":connecting": {"S": "connecting"},
            ":proven": {"S": holder.proven_at.isoformat()},
            ":connected": {"N": str(connected_at_ms)},
        },
    )
    others = _others(id, holder.account_id, connected_at_ms)
    if len(others) >= MAX_PER_ACCOUNT:
        for lost in gone([one.id for one in others if one.is_settled(connected_at_ms)]):
            delete(lost, holder.account_id)
            count("SocketsGone")
        others = _others(id, holder.account_id, connected_at_ms)
    if len(others) >= MAX_PER_ACCOUNT:
        delete(id, holder.account_id)
        raise TooManyConnections(f"an account has at most {MAX_PER_ACCOUNT} connections")


def _others(id: str, account_id: UUID, now_ms: int) -> list[Connection]:
    """The account's connections but for *id*; those that are stale are forgotten."""
    others = [one for one in list_of_account(account_id) if one.id != id]
    for one in others:
        if one.stale(now_ms):
            delete(one.id, one.account_id)
    return [one for one in others if not one.stale(now_ms)]


def find(id: str) -> Connection | None:
    """The connection *id*; ``None`` when it is not known (any more)."""
    found = _query(f"connection#{id}")
    if not found:
        return None
    account_id = found[0]["account_id"]["S"]
    return next(map(_connection, _query(f"account#{account_id}", id)), None)


def list_of_account(account_id: UUID) -> list[Connection]:
    """All connections of an account."""
    return [_connection(item) for item in _query(f"account#{account_id}")]


def delete(id: str, account_id: UUID) -> None:
    """The connection is over."""
    for key in (_of_account(account_id, id), _of_connection(id)):
        try:
            aws.call("dynamodb", "DeleteItem", {"TableName": _table(), "Key": key})
        except aws.AwsError as error:
            raise _unavailable() from error


def request_replay(one: Connection, cursor: int, topics: Collection[str] | None) -> bool:
    """Let its delivery begin after *cursor*, of *topics* alone; whether it is still there."""
    chosen = " REMOVE #topics" if topics is None else ", #topics = :topics"
    return _update_connection(
        one,
        f"SET #state = :open, begin_at = :cursor{chosen}",
        EXISTS,
        {":open": {"S": "open"}, ":cursor": {"N": str(cursor)}, **_topics(topics)},
    )


def set_topics(one: Connection, topics: Collection[str]) -> bool:
    """Let it have events of *topics* alone from now on; whether it is still there."""
    return _update_connection(one, "SET #topics = :topics", EXISTS, _topics(topics))


def acquire_lease(one: Connection, *, sender: str, now_ms: int) -> Connection | None:
    """Take the lease on an open connection: as it is now, or ``None`` when another has it."""
    values = {
        ":open": {"S": "open"},
        ":now": {"N": str(now_ms)},
        ":sender": {"S": sender},
        ":until": {"N": str(now_ms + LEASE_MS)},
    }
    return _updated_connection(
        one, "SET sender = :sender, sending_until = :until", IS_OPEN_AND_UNLEASED, values
    )


def mark_started(one: Connection, cursor: int, *, sender: str, now_ms: int) -> Connection | None:
    """It was told that delivery begins after *cursor*. As it is now: it may have asked for another
    beginning meanwhile. ``None``: the lease is lost."""
    values = {
        ":cursor": {"N": str(cursor)},
        ":sender": {"S": sender},
        ":until": {"N": str(now_ms + LEASE_MS)},
    }
    update = "SET sent_seq = :cursor, told_seq = :cursor, sending_until = :until REMOVE begin_at"
    return _updated_connection(one, update, REPLAY_PENDING, values)


def save_progress(
    one: Connection, sent_seq: int, told_seq: int, *, sender: str, now_ms: int
) -> Connection | None:
    """It has everything up to *sent_seq*; the lease goes on. As it is now; ``None``: it is lost."""
    values = {
        ":sent": {"N": str(sent_seq)},
        ":told": {"N": str(told_seq)},
        ":sender": {"S": sender},
        ":until": {"N": str(now_ms + LEASE_MS)},
    }
    update = "SET sent_seq = :sent, told_seq = :told, sending_until = :until"
    return _updated_connection(one, update, NO_REPLAY_PENDING, values)


def release(one: Connection, sent_seq: int, told_seq: int, *, sender: str) -> Connection | None:
    """The same, and the lease ends. Where a new beginning is asked for it does not: that comes
    back. ``None``: it is done, or was lost before."""
    values = {
        ":sent": {"N": str(sent_seq)},
        ":told": {"N": str(told_seq)},
        ":sender": {"S": sender},
    }
    update = "SET sent_seq = :sent, told_seq = :told REMOVE sender, sending_until"
    left = _updated_connection(one, update, NO_REPLAY_PENDING, values)
    return left if left is not None and left.sender == sender else None


def drop_lease(one: Connection, *, sender: str) -> None:
    """The lease ends, nothing else changes."""
    _update_connection(
        one, "REMOVE sender, sending_until", LEASE_IS_OURS, {":sender": {"S": sender}}
    )


# ── items ────────────────────────────────────────────────────────────────────────────────────────


def _update_connection(
    one: Connection, update: str, condition: str, values: dict[str, Any]
) -> bool:
    """Whether the item was changed."""
    try:
        _update(_of_account(one.account_id, one.id), update, values, condition)
    except _ConditionFailed:
        return False
    return True


def _updated_connection(
    one: Connection, update: str, condition: str, values: dict[str, Any]
) -> Connection | None:
    """The item after the change, or after an earlier try whose answer was lost. Where the sender
    of *values* holds the lease and the rest of the condition stood in the way: as it is."""
    try:
        item = _update(_of_account(one.account_id, one.id), update, values, condition)
    except _ConditionFailed as error:
        item = error.item
        if item.get("sender") != values[":sender"]:
            return None
    return _connection(item)


class _ConditionFailed(Exception):
    def __init__(self, item: dict[str, Any]) -> None:
        super().__init__()
        self.item = item


def _update(
    key: dict[str, Any], update: str, values: dict[str, Any], condition: str | None = None
) -> dict[str, Any]:
    """The item afterwards. Raises :class:`_NotMet` with the item that is there."""
    request: dict[str, Any] = {
        "TableName": _table(),
        "Key": key,
        "UpdateExpression": update,
        "ReturnValues": "ALL_NEW",
    }
    if values:
        request["ExpressionAttributeValues"] = values
    if condition is not None:
        request["ConditionExpression"] = condition
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    names = {"#state": "state", "#topics": "topics"}
    used = {name: names[name] for name in names if name in f"{update} {condition}"}
    if used:
        request["ExpressionAttributeNames"] = used
    try:
        return dict(aws.call("dynamodb", "UpdateItem", request)["Attributes"])
    except aws.AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise _unavailable() from error
        raise _ConditionFailed(error.content.get("Item", {})) from None


def _query(pk: str, sk: str | None = None) -> list[dict[str, Any]]:
    """At most a few dozen small items: one page."""
    values = {":pk": {"S": pk}} | ({} if sk is None else {":sk": {"S": sk}})
    request = {
        "TableName": _table(),
        "ConsistentRead": True,
        "KeyConditionExpression": "pk = :pk" if sk is None else "pk = :pk AND sk = :sk",
        "ExpressionAttributeValues": values,
    }
    try:
        return list(aws.call("dynamodb", "Query", request)["Items"])
    except aws.AwsError as error:
        raise _unavailable() from error


def _connection(item: dict[str, Any]) -> Connection:
    return Connection(
        id=item["sk"]["S"],
        account_id=UUID(item["account_id"]["S"]),
        user_id=UUID(item["user_id"]["S"]),
        state=item["state"]["S"],
        proven_at=datetime.fromisoformat(item["proven_at"]["S"]),
        connected_at_ms=int(item["connected_at"]["N"]),
        sent_seq=int(item.get("sent_seq", {"N": "0"})["N"]),
        told_seq=int(item.get("told_seq", {"N": "0"})["N"]),
        begin_at=int(item["begin_at"]["N"]) if "begin_at" in item else None,
        topics=tuple(one["S"] for one in item["topics"]["L"]) if "topics" in item else None,
        sender=item.get("sender", {"S": None})["S"],
    )


def _topics(topics: Collection[str] | None) -> dict[str, Any]:
    """A list: a set cannot be empty, and nothing at all is a choice too."""
    if topics is None:
        return {}
    return {":topics": {"L": [{"S": topic} for topic in sorted({*topics})]}}


def _of_connection(id: str) -> dict[str, Any]:
    return {"pk": {"S": f"connection#{id}"}, "sk": {"S": "-"}}


def _of_account(account_id: UUID, id: str) -> dict[str, Any]:
    return {"pk": {"S": f"account#{account_id}"}, "sk": {"S": id}}


def _table() -> str:
    return settings.text("CONNECTION_TABLE")


def _unavailable() -> Unavailable:
    return Unavailable(
        "connections are not available at the moment", code="connections_unavailable"
    )
