"""The two limits on applying, as callers see them: the token bucket, and hh.ru's daily limit.

Both belong to the account; a user without an account has a bucket of its own, and has not applied
anywhere.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field

from ullgetthejob.accounts import audit
from ullgetthejob.hh import method_access
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.rate_limits import daily_limit, token_bucket
from ullgetthejob.rate_limits.token_bucket import Denied
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.methods import Method, MethodAccess
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

METHODS_SHOWN: tuple[Method, ...] = ("apply", "negotiations")


class StatusQuery(Model):
    """The user whose limits are shown; by default the token's subject."""

    user_id: str | None = Field(None, description="any UUID: also one that never logged in")


class CheckBody(Model):
    """The user whose token is spent; by default the token's subject."""

    user_id: str | None = Field(None, description="any UUID: also one that never logged in")


class LimitStatus(Model):
    """Both limits at the moment, in both spellings that callers use."""

    tokens: int = Field(description="applications that may be sent at once")
    capacity: int
    refill_rate: float = Field(description="tokens an hour")
    last_refill: AwareDatetime | None = Field(description="null: never used, or frozen by hh.ru")
    next_refill: AwareDatetime | None = Field(description="when the next token comes; null: full")
    can_apply: bool = Field(description="both limits and the access to hh.ru allow it")
    by_hand: Literal["seen", "confirmed"] = Field(
        description="applications made by hand count when hh.ru shows them (seen), or, where hh.ru "
        "lets Core read no negotiations, only once the person has confirmed them"
    )
    applications_today: int = Field(description="in the last 24 hours, of hh.ru's 200")
    refillRate: float  # noqa: N815
    lastRefill: AwareDatetime | None  # noqa: N815
    nextRefill: AwareDatetime | None  # noqa: N815
    canApply: bool  # noqa: N815
    applicationsToday: int  # noqa: N815


class Allowed(Model):
    """The answer when a token was spent."""

    allowed: Literal[True] = True
    remaining: int


class Refused(Model):
    """The answer when there is no token before *next_refill*."""

    allowed: Literal[False] = False
    next_refill: AwareDatetime


class Reset(Model):
    """The answer when the bucket is full again."""

    success: Literal[True] = True
    tokens: int


def read_status(person: Person, *, connection: Connection, now: datetime) -> LimitStatus:
    """Return the person's limits at *now*. Spends nothing. Raises :class:`Unavailable`."""
    level = token_bucket.read_level("submit", person.owner_id, now=now)
    applied = applications_in_24h(person, connection=connection, now=now)
    methods = method_access.read_all(person.account_id, connection=connection, wanted=METHODS_SHOWN)
    return compute_status(person, level, applied, methods, now=now)


def compute_status(
    person: Person,
    level: token_bucket.BucketLevel,
    applied: int,
    methods: Iterable[MethodAccess],
    *,
    now: datetime,
) -> LimitStatus:
    """Return the person's limits at *now*. *level*: the bucket. *applied*: applications that count
    in the last 24 hours. *methods*: the access to :data:`METHODS_SHOWN`, and others."""
    closed = {access.method: access.is_closed(now) for access in methods}
    can_apply = (
        level.tokens >= 1
        and applied < daily_limit.DAY_LIMIT
        and person.access.at(now).state == "ok"
        and not closed["apply"]
    )
    return LimitStatus(
        tokens=level.tokens,
        capacity=level.rule.capacity,
        refill_rate=level.rule.per_hour,
        last_refill=level.last_refill,
        next_refill=level.next_refill,
        can_apply=can_apply,
        by_hand="confirmed" if closed["negotiations"] else "seen",
        applications_today=applied,
        refillRate=level.rule.per_hour,
        lastRefill=level.last_refill,
        nextRefill=level.next_refill,
        canApply=can_apply,
        applicationsToday=applied,
    )


def publish_status(
    person: Person,
    *,
    connection: Connection,
    now: datetime,
    status: LimitStatus | None = None,
) -> None:
    """Append the account's limits to its event log, as ``rate_limit.updated``. *status*: the
    limits, if they are known. Best effort: without an event when the bucket cannot be read."""
    if person.account_id is None:
        return
    try:
        status = status or read_status(person, connection=connection, now=now)
    except Unavailable:
        return
    payload = status.model_dump(mode="json")
    event_log.append(
        person.account_id, "rate_limit.updated", payload, connection=connection, now=now
    )


def spend_token(person: Person, context: Context) -> Allowed | Refused:
    """Spend a token, once for each ``Idempotency-Key`` if there is one, and return whether it was
    granted. Raises :class:`Unavailable`."""
    now = context.now()
    spend_id = context.caller.idempotency_key or secrets.token_hex(16)
    result = token_bucket.acquire("submit", person.owner_id, spend_id=spend_id, now=now)
    if isinstance(result, Denied):
        logger.info("rate limit reached")
        count("RateLimitDenied")
        return Refused(next_refill=result.next_at)
    publish_status(person, connection=context.connection, now=now)
    return Allowed(remaining=result.remaining)


def refill(person: Person, context: Context) -> Reset:
    """Fill the person's bucket, with an audit record, and return its tokens. The 24-hour count is
    hh.ru's, and stays. Raises :class:`Unavailable`."""
    context = context.with_fixed_time()
    with audit.recorded(
        "rate_limit.reset", context, user_id=person.user_id, account_id=person.account_id
    ):
        token_bucket.refill("submit", person.owner_id, now=context.now())
    publish_status(person, connection=context.connection, now=context.now())
    return Reset(tokens=token_bucket.rule("submit").capacity)


def applications_in_24h(person: Person, *, connection: Connection, now: datetime) -> int:
    """Return how many applications count at hh.ru at *now*: of all sessions of the person's
    account, and those made by hand."""
    values = {"account_id": person.account_id, "since": now - daily_limit.DAY}
    return len(connection.execute(daily_limit.SELECT_COUNTED_ATTEMPTS, values).fetchall())
