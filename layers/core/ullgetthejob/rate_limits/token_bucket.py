"""Token buckets: how often an account may perform an action, kept in DynamoDB, one item a bucket.

A bucket holds *capacity* tokens and gets *per_hour* new ones an hour, evenly. Its state is one
number (GCRA): ``tat``, the time (ms) at which it will be full again. With T ms between two tokens
and B = capacity · T, a bucket owes max(0, tat − now), and a token is available while that leaves
room for T more below B::

    timeline   now ............ tat ............ now + B − T ...... now + B
    ABSENT     no item: full                         SET tat = now + T
    IDLE       tat <= now: full                      SET tat = now + T
    BUSY       now < tat <= now + B − T              SET tat = tat + T
    denied     tat > now + B − T                     the next token comes at tat + T − B

DynamoDB's expressions have no max(), so the caller guesses which of the three it is: BUSY, unless
the bucket is full by what this process saw last. A wrong guess costs one more request for a grant
and nothing for a denial, since a failed condition returns the item.

Item: ``pk`` (action and owner), ``tat``, ``ids`` (hashes of the last granted spend ids, newest
first), ``expires_at`` (s; DynamoDB's TTL: a bucket without an item is full, so nothing depends on
when it is deleted).

A *spend_id* names one attempt to spend, and is sent again when no answer came: it is free while no
more than 19 others were granted after it. A token is spent before the action, and stays spent if
the action fails; :func:`give_back` is for an action that was not possible at all. It takes the
spend id out of the list, so that it gives back once.

*now* is the caller's clock. A slow clock can only be denied what a correct one would get, a fast
one gets tokens early; either way the error is worth as much as the bucket refills in that time
(3 s: 0.007 of a token at 8 an hour). AWS accepts no request that is off by five minutes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ullgetthejob.platform import dynamodb, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from ullgetthejob.platform.settings import Setting

Action = Literal["submit"]

# Capacity and tokens an hour.
RULES: dict[Action, tuple[Setting[int], Setting[float]]] = {
    "submit": (settings.RATE_LIMIT_SUBMIT_CAPACITY, settings.RATE_LIMIT_SUBMIT_PER_HOUR)
}

# How many grants a bucket remembers. The items in DynamoDB have lists of exactly this length:
# another number needs another attribute than ``ids``.
REMEMBERED_SPENDS = 20
NO_SPEND = "-"  # fills the list of a bucket with fewer grants
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
    """An update of a bucket, and the state that it requires."""

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
FULL = _Branch("SET tat = :now, expires_at = :expires", "tat > :now")


@dataclass(frozen=True)
class Rule:
    """The capacity of a bucket, and how fast it fills."""

    capacity: int
    per_hour: float

    @property
    def interval_ms(self) -> int:
        """Return the time between two tokens, rounded up: never faster than *per_hour*."""
        return -int(-3_600_000 // self.per_hour)

    @property
    def span_ms(self) -> int:
        """Return the time from empty to full."""
        return self.capacity * self.interval_ms

    def tokens(self, tat: int, now_ms: int) -> int:
        """Return the number of whole tokens at *now_ms*."""
        owed = max(0, tat - now_ms)
        return max(0, (self.span_ms - owed) // self.interval_ms)


@dataclass(frozen=True)
class BucketLevel:
    """The state of a bucket. *last_refill*: when the last whole token came; ``None`` before the
    first is spent. *next_refill*: ``None`` when it is full."""

    tokens: int
    rule: Rule
    last_refill: datetime | None
    next_refill: datetime | None


@dataclass(frozen=True)
class Granted:
    """A token was spent; *remaining* are left. *level*: the bucket's state afterwards."""

    remaining: int
    level: BucketLevel | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Denied:
    """No token is available; the next one comes at *next_at*."""

    next_at: datetime


_last_tat: dict[str, int] = {}  # by key: what this process saw last, as a hint for acquire()


def rule(action: Action) -> Rule:
    """Return the rule of *action*. Raises ``ValueError`` when its settings are out of range."""
    capacity, per_hour = RULES[action]
    return Rule(capacity(), per_hour())


def acquire(action: Action, owner: UUID, *, spend_id: str, now: datetime) -> Granted | Denied:
    """Spend one of *owner*'s tokens, once for each *spend_id*; return whether it was granted.

    Raises :class:`Unavailable` (``rate_limit_unavailable``) when DynamoDB does not answer.
    """
    bucket_rule, now_ms, key = rule(action), _ms(now), _key(action, owner)
    cost, ceiling = bucket_rule.interval_ms, now_ms + bucket_rule.span_ms - bucket_rule.interval_ms
    spend_hash = _hash(spend_id)
    values: dict[str, Any] = {
        ":now": now_ms,
        ":cost": cost,
        ":ceiling": ceiling,
        ":fresh": now_ms + cost,
        ":id": spend_hash,
        ":first": [spend_hash, *[NO_SPEND] * (REMEMBERED_SPENDS - 1)],
        ":expires": _expires(now_ms + bucket_rule.span_ms),
    }
    branch = IDLE if _last_tat.get(key, now_ms + 1) <= now_ms else BUSY
    for _ in range(MAX_TRIES):
        updated, item = _update_item(key, branch, values)
        tat = _remember_tat(key, item)
        if updated or (tat is not None and spend_hash in item["ids"]):
            level = _level(tat, bucket_rule, now_ms)
            return Granted(level.tokens, level)
        if tat is None:
            branch = ABSENT
        elif tat > ceiling:
            return Denied(_moment(tat + cost - bucket_rule.span_ms))
        else:
            branch = BUSY if tat > now_ms else IDLE
    raise _unavailable()


def read_level(action: Action, owner: UUID, *, now: datetime) -> BucketLevel:
    """Return the bucket's state at *now*; nothing is spent. Raises :class:`Unavailable`."""
    bucket_rule, now_ms, key = rule(action), _ms(now), _key(action, owner)
    return _level(_remember_tat(key, _get_item(key)), bucket_rule, now_ms)


def _level(tat: int | None, bucket_rule: Rule, now_ms: int) -> BucketLevel:
    if tat is None:
        return BucketLevel(bucket_rule.capacity, bucket_rule, None, None)
    tokens = bucket_rule.tokens(tat, now_ms)
    if tat <= now_ms:
        return BucketLevel(tokens, bucket_rule, _moment(tat), None)
    next_ms = tat - bucket_rule.span_ms + (tokens + 1) * bucket_rule.interval_ms
    last_ms = next_ms - bucket_rule.interval_ms
    last_refill = _moment(last_ms) if last_ms <= now_ms else None
    return BucketLevel(tokens, bucket_rule, last_refill, _moment(next_ms))


def was_granted(action: Action, owner: UUID, *, spend_id: str) -> bool:
    """Return whether a token was granted to *spend_id*, and no more than 19 after it. Nothing is
    spent.

    Raises :class:`Unavailable`.
    """
    return _hash(spend_id) in _get_item(_key(action, owner)).get("ids", [])


def give_back(
    action: Action, owner: UUID, *, spend_id: str, spent_at: datetime, now: datetime
) -> bool:
    """Give back the token that was spent for *spend_id*; return whether the bucket has it back.

    False where none was spent, it was given back before, or 20 others were granted since; and after
    the time of one token: once a bucket has been full again, a token given back would be one too
    many. Raises :class:`Unavailable`.
    """
    key, spend_hash = _key(action, owner), _hash(spend_id)
    cost = rule(action).interval_ms
    if (now - spent_at) // MS >= cost:
        return False
    for _ in range(MAX_TRIES):
        ids = _get_item(key).get("ids", [])
        if spend_hash not in ids:
            return False
        place = ids.index(spend_hash)
        branch = _Branch(
            f"SET tat = tat - :cost, ids[{place}] = :none, expires_at = :expires",
            f"ids[{place}] = :id",  # else another grant has moved it
        )
        values = {
            ":cost": cost,
            ":none": NO_SPEND,
            ":id": spend_hash,
            ":expires": _expires(_ms(now) + rule(action).span_ms),
        }
        updated, item = _update_item(key, branch, values)
        _remember_tat(key, item)
        if updated:
            return True
    raise _unavailable()


def refill(action: Action, owner: UUID, *, now: datetime) -> None:
    """Fill the bucket. Granted spend ids stay remembered. Raises :class:`Unavailable`."""
    now_ms, key = _ms(now), _key(action, owner)
    values = {":now": now_ms, ":expires": _expires(now_ms)}
    _remember_tat(key, _update_item(key, FULL, values)[1])


def delete(action: Action, owner: UUID) -> None:
    """Delete the bucket of an owner that exists no more. Raises :class:`Unavailable`."""
    key = _key(action, owner)
    dynamodb.delete_item(settings.BUCKET_TABLE(), {"pk": key}, _unavailable)
    _last_tat.pop(key, None)


def _get_item(key: str) -> dynamodb.Item:
    """Return the bucket's item; empty without one."""
    return dynamodb.get_item(settings.BUCKET_TABLE(), {"pk": key}, _unavailable)


def _update_item(key: str, branch: _Branch, values: dict[str, Any]) -> tuple[bool, dynamodb.Item]:
    """Return whether the condition held, and the item as it is afterwards."""
    expressions = f"{branch.update} {branch.condition}"
    return dynamodb.update_item(
        settings.BUCKET_TABLE(),
        {"pk": key},
        branch.update,
        # DynamoDB refuses values that no expression uses.
        {name: value for name, value in values.items() if name in expressions},
        _unavailable,
        condition=branch.condition,
    )


def _remember_tat(key: str, item: dict[str, Any]) -> int | None:
    """Keep the item's ``tat`` as a hint and return it; ``None`` without an item."""
    if len(_last_tat) >= MAX_HINTS:
        _last_tat.clear()
    if not item:
        _last_tat.pop(key, None)
        return None
    _last_tat[key] = item["tat"]
    return _last_tat[key]


def _hash(spend_id: str) -> str:
    return hashlib.sha256(spend_id.encode()).hexdigest()[:ID_LENGTH]


def _key(action: Action, owner: UUID) -> str:
    return f"{action}#{owner}"


def _expires(full_ms: int) -> int:
    return full_ms // 1000 + 86_400


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // MS


def _moment(ms: int) -> datetime:
    return EPOCH + ms * MS


def _unavailable() -> Unavailable:
    return Unavailable(
        "applications cannot be counted at the moment", code="rate_limit_unavailable"
    )
