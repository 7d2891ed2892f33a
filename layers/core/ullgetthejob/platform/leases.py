"""Leases: one worker at a time does a thing, kept in DynamoDB.

Item: ``pk`` (what is leased), ``owner`` (random, one a holder), ``until`` (ms; after it anybody may
take the lease), ``expires_at`` (s; DynamoDB's TTL, only tidiness: conditions never trust it).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ullgetthejob.platform import aws, settings

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
        try:
            aws.client("dynamodb").update_item(
                TableName=settings.text("LEASE_TABLE"),
                Key={"pk": {"S": self.name}},
                UpdateExpression="SET #until = :zero",
                ConditionExpression=STILL_OURS,
                ExpressionAttributeNames={"#until": "until", "#owner": "owner"},
                ExpressionAttributeValues={":zero": {"N": "0"}, ":owner": {"S": self.owner}},
            )
        except Exception as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise


def take(name: str, *, seconds: int, now: datetime) -> Lease | None:
    """Take the lease *name* for *seconds*; ``None`` when another worker holds it."""
    now_ms = int(now.timestamp() * 1000)
    lease = Lease(name, secrets.token_hex(8), now_ms + seconds * 1000)
    try:
        aws.client("dynamodb").update_item(
            TableName=settings.text("LEASE_TABLE"),
            Key={"pk": {"S": name}},
            UpdateExpression="SET #owner = :owner, #until = :until, expires_at = :expires",
            ConditionExpression=FREE_OR_EXPIRED,
            ExpressionAttributeNames={"#until": "until", "#owner": "owner"},
            ExpressionAttributeValues={
                ":owner": {"S": lease.owner},
                ":until": {"N": str(lease.until_ms)},
                ":expires": {"N": str(lease.until_ms // 1000 + 3600)},
                ":now": {"N": str(now_ms)},
            },
        )
    except Exception as error:
        if aws.error_code(error) == "ConditionalCheckFailedException":
            return None
        raise
    return lease
