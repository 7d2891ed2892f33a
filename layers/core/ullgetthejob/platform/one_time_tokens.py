"""One-time keys: random texts that somebody brings back once, such as OAuth's ``state``.

Kept in DynamoDB under their hash, never as they are. Item: ``pk`` (kind and SHA-256), ``content``
(a map of texts), ``until`` (ms; compared in the condition), ``burnt_by``, ``expires_at`` (s; TTL,
only tidiness).

A key is burnt *by* something, such as the request that it came with: the same again may burn it
again, so that a lost answer can be asked for once more, and nothing else can.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime, timedelta

IS_VALID = "#until > :now AND (attribute_not_exists(burnt_by) OR burnt_by = :by)"


class InvalidToken(Exception):
    """The key is no good; *reason*: ``unknown``, ``used`` or ``expired``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def issue(kind: str, content: dict[str, str], *, life: timedelta, now: datetime) -> str:
    """A new key that brings *content* back once, within *life*."""
    key = secrets.token_urlsafe(32)
    until = now + life
    item = {
        "pk": {"S": _pk(kind, key)},
        "content": {"M": {name: {"S": value} for name, value in content.items()}},
        "until": {"N": str(_ms(until))},
        "expires_at": {"N": str(int(until.timestamp()) + 86_400)},
    }
    try:
        aws.call("dynamodb", "PutItem", {"TableName": _table(), "Item": item})
    except aws.AwsError as error:
        raise _unavailable() from error
    return key


def consume(kind: str, key: str, *, by: str, now: datetime) -> dict[str, str]:
    """The content of *key*, which is used up now. Raises :class:`NotGood`."""
    request = {
        "TableName": _table(),
        "Key": {"pk": {"S": _pk(kind, key)}},
        "UpdateExpression": "SET burnt_by = :by",
        "ConditionExpression": IS_VALID,
        "ExpressionAttributeNames": {"#until": "until"},
        "ExpressionAttributeValues": {":by": {"S": by}, ":now": {"N": str(_ms(now))}},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        item = aws.call("dynamodb", "UpdateItem", request)["Attributes"]
    except aws.AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise _unavailable() from error
        raise InvalidToken(_reason(error.content.get("Item"), by)) from None
    return {name: value["S"] for name, value in item["content"]["M"].items()}


def _reason(item: dict[str, Any] | None, by: str) -> str:
    if not item:
        return "unknown"
    return "used" if item.get("burnt_by", {"S": by})["S"] != by else "expired"


def _pk(kind: str, key: str) -> str:
    return f"{kind}#{hashlib.sha256(key.encode()).hexdigest()}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _table() -> str:
    return settings.text("ONE_TIME_TABLE")


def _unavailable() -> Unavailable:
    return Unavailable(
        "one-time keys are not available at the moment", code="one_time_keys_unavailable"
    )
