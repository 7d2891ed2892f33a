"""Leases: one worker at a time does a thing, kept in DynamoDB.

Item: ``pk`` (what is leased), ``owner`` (random, one a holder), ``until`` (ms; after it anybody may
take the lease), ``expires_at`` (s; DynamoDB's TTL, only tidiness: conditions never trust it).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime

FREE_OR_EXPIRED = "attribute_not_exists(pk) OR #until <= :now"
STILL_OURS = "#owner = :owner"


@dataclass(frozen=True)
class Lease:
    """A lease that is held: *name* until *until_ms*, proven by *owner*."""

    name: str
    owner: str
    until_ms: int

    def release(self) -> None:
        """Let go early. A lease that somebody else took over meanwhile stays theirs."""
        _update(
            self.name,
            "SET #until = :zero",
            STILL_OURS,
            {":zero": {"N": "0"}, ":owner": {"S": self.owner}},
        )


def take(name: str, *, seconds: int, now: datetime) -> Lease | None:
    """Take the lease *name* for *seconds*; ``None`` when another worker holds it."""
    now_ms = int(now.timestamp() * 1000)
    lease = Lease(name, secrets.token_hex(8), now_ms + seconds * 1000)
    taken = _update(
        name,
        "SET #owner = :owner, #until = :until, expires_at = :expires",
        FREE_OR_EXPIRED,
        {
            ":owner": {"S": lease.owner},
            ":until": {"N": str(lease.until_ms)},
            ":expires": {"N": str(lease.until_ms // 1000 + 3600)},
            ":now": {"N": str(now_ms)},
        },
    )
    return lease if taken else None


def _update(name: str, update: str, condition: str, values: dict[str, dict[str, str]]) -> bool:
    """Whether it holds now: done, or done by an earlier try whose answer was lost."""
    try:
        aws.call(
            "dynamodb",
            "UpdateItem",
            {
                "TableName": settings.text("LEASE_TABLE"),
                "Key": {"pk": {"S": name}},
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#until": "until", "#owner": "owner"},
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        )
    except aws.AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise Unavailable(
                "work cannot be coordinated at the moment", code="leases_unavailable"
            ) from error
        return bool(error.content.get("Item", {}).get("owner") == values[":owner"])
    return True
