"""Leases in DynamoDB: of several workers, one at a time does a piece of work.

Item: ``pk`` (the name of the lease), ``owner`` (random, per holder), ``until`` (ms; after it any
worker may acquire the lease), ``expires_at`` (s; DynamoDB's TTL, only for cleanup: no condition
relies on it).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.platform import dynamodb, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime

FREE_OR_EXPIRED = "attribute_not_exists(pk) OR #until <= :now"
STILL_OURS = "#owner = :owner"


@dataclass(frozen=True)
class Lease:
    """An acquired lease: *name* is held until *until_ms* by *owner*."""

    name: str
    owner: str
    until_ms: int

    def release(self) -> None:
        """Release the lease early. One that another worker has acquired since stays theirs."""
        _update(
            self.name,
            "SET #until = :zero",
            STILL_OURS,
            {":zero": 0, ":owner": self.owner},
        )


def delete(name: str) -> None:
    """Delete the lease of work that does not exist any more, whoever holds it. Raises
    :class:`~ullgetthejob.platform.errors.Unavailable`."""
    dynamodb.delete_item(settings.LEASE_TABLE(), {"pk": name}, _unavailable)


def acquire(name: str, *, seconds: int, now: datetime) -> Lease | None:
    """Acquire the lease *name* for *seconds* and return it; ``None`` when another worker holds it.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    now_ms = int(now.timestamp() * 1000)
    lease = Lease(name, secrets.token_hex(8), now_ms + seconds * 1000)
    is_acquired = _update(
        name,
        "SET #owner = :owner, #until = :until, expires_at = :expires",
        FREE_OR_EXPIRED,
        {
            ":owner": lease.owner,
            ":until": lease.until_ms,
            ":expires": lease.until_ms // 1000 + 3600,
            ":now": now_ms,
        },
    )
    return lease if is_acquired else None


def _update(name: str, update: str, condition: str, values: dict[str, str | int]) -> bool:
    """Return whether the update holds now: done, or done by an earlier attempt whose response was
    lost."""
    table = settings.LEASE_TABLE()
    is_done, item = dynamodb.update_item(
        table, {"pk": name}, update, values, _unavailable, condition=condition
    )
    return is_done or item.get("owner") == values[":owner"]


def _unavailable() -> Unavailable:
    return Unavailable("work cannot be coordinated at the moment", code="leases_unavailable")
