"""Token buckets: how often an account may do a thing, kept in DynamoDB, one item a bucket.

A bucket holds *capacity* tokens and gets *per_hour* new ones an hour, evenly. What is kept of it is
one number (GCRA): ``tat``, the moment (ms) at which it will be full again. With T ms between two
tokens and B = capacity · T, a bucket owes max(0, tat − now), and a token is there while that leaves
room for T more below B::

    timeline   now ............ tat ............ now + B − T ...... now + B
    ABSENT     no item: full                         SET tat = now + T
    IDLE       tat <= now: full                      SET tat = now + T
    BUSY       now < tat <= now + B − T              SET tat = tat + T
    denied     tat > now + B − T                     the next token comes at tat + T − B

DynamoDB's expressions know no max(), so the caller guesses which of the three it is: BUSY, unless
the bucket is full by what this process saw last. A wrong guess costs one more request for a grant
and nothing for a denial, since a failed condition brings the item along.

Item: ``pk`` (action and owner), ``tat``, ``ids`` (hashes of what was granted last, newest first),
``expires_at`` (s; DynamoDB's TTL: a bucket without an item is full, so nothing depends on when).

A *spend_id* names one attempt to spend, and is sent again when no answer came: it is free while no
more than 19 others were granted after it. There are no refunds: a token is spent before the act,
and stays spent if the act fails.

*now* is the caller's clock. A slow one can only be denied what a right one would get, a fast one
gets tokens early; either way what a clock is off is worth as much as the bucket refills meanwhile
(3 s: 0.007 of a token at 8 an hour). AWS takes no request that is off by five minutes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from uuid import UUID

Action = Literal["submit"]

# Capacity and tokens an hour, where RATE_LIMIT_<ACTION>_CAPACITY and …_PER_HOUR do not say else.
DEFAULTS: dict[Action, tuple[int, float]] = {"submit": (20, 8)}

# How many grants a bucket remembers. The items in DynamoDB have lists of just this length: another
# number needs another attribute than ``ids``.
REMEMBERED_SPENDS = 20
UNKNOWN_OWNER = "-"
ID_LENGTH = 24  # hex digits of a SHA-256

PUSH_ID = ", ".join(
    f"ids[{place}] = ids[{place - 1}]" for place in range(REMEMBERED_SPENDS - 1, 0, -1)
)
NOT_GRANTED_BEFORE = "NOT contains(ids, :id)"

MAX_TRIES = 3
MAX_HINTS = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class _Branch(NamedTuple):
    """One state of a bucket, and what a grant does to it."""

    update: str
    condition: str


BUSY = _Branch(
    f"SET tat = tat + :cost, {PUSH_ID}, ids[0] = :id, expires_at = :expires",
    f"tat > :now AND tat <= :ceiling AND {NOT_GRANTED_BEFORE}",
)
IDLE = _Branch(
    f"SET tat = :fresh, {PUSH_ID}, ids[0] = :id, expires_at = :expires",
    f"tat <= :now AND {NOT_GRANTED_BEFORE}",
)
ABSENT = _Branch(
    "SET tat = :fresh, ids = :first, expires_at = :expires", "attribute_not_exists(pk)"
)
BLOCKED = _Branch(
    "SET tat = :until, ids = if_not_exists(ids, :nobody), expires_at = :expires",
    "attribute_not_exists(pk) OR tat < :until",
)
FULL = _Branch("SET tat = :now, expires_at = :expires", "tat > :now")


@dataclass(frozen=True)
class Rule:
    """How large a bucket is and how fast it fills."""

    capacity: int
    per_hour: float

    @property
    def interval_ms(self) -> int:
        """Between two tokens; rounded up, never faster than said."""
        return -int(-3_600_000 // self.per_hour)

    @property
    def span_ms(self) -> int:
        """From empty to full."""
        return self.capacity * self.interval_ms

    def tokens(self, tat: int, now_ms: int) -> int:
        """Whole tokens at *now_ms*."""
        owed = max(0, tat - now_ms)
        return max(0, (self.span_ms - owed) // self.interval_ms)


@dataclass(frozen=True)
class Granted:
    """A token was spent; *remaining* are left."""

    remaining: int


@dataclass(frozen=True)
class Denied:
    """There is none; the next one comes at *next_at*."""

    next_at: datetime


@dataclass(frozen=True)
class BucketLevel:
    """A bucket as it stands. *last_refill*: when the last whole token came; ``None`` before the
    first is spent, or while hh.ru's moment is awaited. *next_refill*: ``None`` when it is full."""

    tokens: int
    rule: Rule
    last_refill: datetime | None
    next_refill: datetime | None


_last_tat: dict[str, int] = {}  # by key: what this process saw last, to guess well


def rule(action: Action) -> Rule:
    """The rule of *action*. Raises ``ValueError`` when its settings make no bucket."""
    capacity, per_hour = DEFAULTS[action]
    name = f"RATE_LIMIT_{action.upper()}"
    found = Rule(
        int(settings.number(f"{name}_CAPACITY", capacity)),
        settings.number(f"{name}_PER_HOUR", per_hour),
    )
    if found.capacity < 1 or found.per_hour <= 0:
        raise ValueError(f"{name}_CAPACITY must be 1 or more, {name}_PER_HOUR more than 0")
    return found


def acquire(action: Action, owner: UUID, *, spend_id: str, now: datetime) -> Granted | Denied:
    """Spend one of *owner*'s tokens, once for each *spend_id*.

    Raises :class:`Unavailable` (``rate_limit_unavailable``) when DynamoDB does not answer.
    """
    held, at, key = rule(action), _ms(now), _key(action, owner)
    cost, ceiling = held.interval_ms, at + held.span_ms - held.interval_ms
    spend_hash = _hash(spend_id)
    values: dict[str, Any] = {
        ":now": _number(at),
        ":cost": _number(cost),
        ":ceiling": _number(ceiling),
        ":fresh": _number(at + cost),
        ":id": {"S": spend_hash},
        ":first": {"L": [{"S": spend_hash}, *[{"S": UNKNOWN_OWNER}] * (REMEMBERED_SPENDS - 1)]},
        ":expires": _expires(at + held.span_ms),
    }
    branch = IDLE if _last_tat.get(key, at + 1) <= at else BUSY
    for _ in range(MAX_TRIES):
        done, item = _update_item(key, branch, values)
        tat = _remember_tat(key, item)
        if done or (tat is not None and {"S": spend_hash} in item["ids"]["L"]):
            return Granted(held.tokens(tat or 0, at))
        if tat is None:
            branch = ABSENT
        elif tat > ceiling:
            return Denied(_moment(tat + cost - held.span_ms))
        else:
            branch = BUSY if tat > at else IDLE
    raise _unavailable()


def block_until(action: Action, owner: UUID, *, until: datetime, now: datetime) -> None:
    """No token before *until*, a moment that hh.ru named, and one at that moment.

    A bucket whose next token comes later anyway stays as it is. Raises :class:`Unavailable`.
    """
    held = rule(action)
    tat = -_ms_before(until) + held.span_ms - held.interval_ms
    values = {
        ":until": _number(tat),
        ":nobody": {"L": [{"S": UNKNOWN_OWNER}] * REMEMBERED_SPENDS},
        ":expires": _expires(max(tat, _ms(now))),
    }
    _remember_tat(_key(action, owner), _update_item(_key(action, owner), BLOCKED, values)[1])


def read_level(action: Action, owner: UUID, *, now: datetime) -> BucketLevel:
    """The bucket at *now*; nothing is spent. Raises :class:`Unavailable`."""
    held, at, key = rule(action), _ms(now), _key(action, owner)
    tat = _remember_tat(key, _get_item(key))
    if tat is None:
        return BucketLevel(held.capacity, held, None, None)
    tokens = held.tokens(tat, at)
    if tat <= at:
        return BucketLevel(tokens, held, _moment(tat), None)
    following = tat - held.span_ms + (tokens + 1) * held.interval_ms
    last = following - held.interval_ms
    return BucketLevel(tokens, held, _moment(last) if last <= at else None, _moment(following))


def was_granted(action: Action, owner: UUID, *, spend_id: str) -> bool:
    """Whether a token was granted to *spend_id*, and no more than 19 after it. Nothing is spent.

    Raises :class:`Unavailable`.
    """
    return {"S": _hash(spend_id)} in _get_item(_key(action, owner)).get("ids", {"L": []})["L"]


def refill(action: Action, owner: UUID, *, now: datetime) -> None:
    """Fill the bucket. What was granted stays remembered. Raises :class:`Unavailable`."""
    at, key = _ms(now), _key(action, owner)
    values = {":now": _number(at), ":expires": _expires(at)}
    _remember_tat(key, _update_item(key, FULL, values)[1])


def _get_item(key: str) -> dict[str, Any]:
    """The item; empty where there is none."""
    request = {
        "TableName": settings.text("BUCKET_TABLE"),
        "Key": {"pk": {"S": key}},
        "ConsistentRead": True,
    }
    try:
        item: dict[str, Any] = aws.call("dynamodb", "GetItem", request).get("Item", {})
    except aws.AwsError as error:
        raise _unavailable() from error
    return item


def _update_item(key: str, branch: _Branch, values: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether the condition held, and the item as it stands now."""
    used = f"{branch.update} {branch.condition}"
    request = {
        "TableName": settings.text("BUCKET_TABLE"),
        "Key": {"pk": {"S": key}},
        "UpdateExpression": branch.update,
        "ConditionExpression": branch.condition,
        # DynamoDB refuses values that no expression uses.
        "ExpressionAttributeValues": {n: v for n, v in values.items() if n in used},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        answer = aws.call("dynamodb", "UpdateItem", request)
    except aws.AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise _unavailable() from error
        return False, error.content.get("Item", {})
    return True, answer["Attributes"]


def _remember_tat(key: str, item: dict[str, Any]) -> int | None:
    """The item's ``tat``, kept as a hint; ``None``: there is no item."""
    if len(_last_tat) >= MAX_HINTS:
        _last_tat.clear()
    if not item:
        _last_tat.pop(key, None)
        return None
    _last_tat[key] = int(item["tat"]["N"])
    return _last_tat[key]


def _hash(spend_id: str) -> str:
    return hashlib.sha256(spend_id.encode()).hexdigest()[:ID_LENGTH]


def _key(action: Action, owner: UUID) -> str:
    return f"{action}#{owner}"


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _expires(full_ms: int) -> dict[str, str]:
    return _number(full_ms // 1000 + 86_400)


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // MS


def _ms_before(moment: datetime) -> int:
    """Minus the milliseconds of *moment*, rounded so that nothing comes before it."""
    return (EPOCH - moment) // MS


def _moment(ms: int) -> datetime:
    return EPOCH + ms * MS


def _unavailable() -> Unavailable:
    return Unavailable(
        "applications cannot be counted at the moment", code="rate_limit_unavailable"
    )
