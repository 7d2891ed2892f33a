"""Single items of DynamoDB, read and changed under conditions, with plain Python values.

Each function is one call of the operation that it is named after. Attributes are texts (``S``),
whole numbers (``N``), lists (``L``) and maps (``M``). In expressions ``#name`` stands for the
attribute ``name``, which may be a reserved word.

A condition that fails is a result, not an error: with it comes the stored item, which tells why.
Of all else that fails the caller names the error: *unavailable* makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ullgetthejob.platform import aws

Item = dict[str, Any]
MakeError = Callable[[], Exception]

_NAME = re.compile(r"#(\w+)")


def update_item(
    table: str, key: Item, update: str, values: Item, unavailable: MakeError, *, condition: str = ""
) -> tuple[bool, Item]:
    """Update an item if *condition* holds; return whether it did, and the item as it is afterwards.

    The item is ``{}`` where the condition failed for want of one. A request may arrive twice: the
    item then shows the first arrival's change.
    """
    request: dict[str, Any] = {
        "TableName": table,
        "Key": _to_attributes(key),
        "UpdateExpression": update,
        "ReturnValues": "ALL_NEW",
    }
    if values:
        request["ExpressionAttributeValues"] = _to_attributes(values)
    if condition:
        request["ConditionExpression"] = condition
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if names := _NAME.findall(f"{update} {condition}"):
        request["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    try:
        item = aws.call("dynamodb", "UpdateItem", request)["Attributes"]
    except aws.AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise unavailable() from error
        return False, _to_item(error.content.get("Item", {}))
    return True, _to_item(item)


def put_item(table: str, item: Item, unavailable: MakeError) -> None:
    """Store an item, in place of one with the same key."""
    try:
        aws.call("dynamodb", "PutItem", {"TableName": table, "Item": _to_attributes(item)})
    except aws.AwsError as error:
        raise unavailable() from error


def delete_item(table: str, key: Item, unavailable: MakeError) -> None:
    """Delete an item; one that is not stored is no error."""
    try:
        aws.call("dynamodb", "DeleteItem", {"TableName": table, "Key": _to_attributes(key)})
    except aws.AwsError as error:
        raise unavailable() from error


def get_item(table: str, key: Item, unavailable: MakeError) -> Item:
    """Return the item as the last write left it; ``{}`` without one."""
    request = {"TableName": table, "Key": _to_attributes(key), "ConsistentRead": True}
    try:
        return _to_item(aws.call("dynamodb", "GetItem", request).get("Item", {}))
    except aws.AwsError as error:
        raise unavailable() from error


def query(table: str, condition: str, values: Item, unavailable: MakeError) -> list[Item]:
    """Return the first page (1 MB) of the items for which the condition on their key holds."""
    request = {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": _to_attributes(values),
    }
    try:
        return [_to_item(item) for item in aws.call("dynamodb", "Query", request)["Items"]]
    except aws.AwsError as error:
        raise unavailable() from error


def _to_attributes(values: Item) -> dict[str, Any]:
    return {name: _to_attribute(value) for name, value in values.items()}


def _to_attribute(value: object) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [_to_attribute(part) for part in value]}
        case dict():
            return {"M": _to_attributes(value)}
        case _:
            raise TypeError(f"no attribute of DynamoDB for {type(value).__name__}")


def _to_item(attributes: dict[str, dict[str, Any]]) -> Item:
    return {name: _to_value(attribute) for name, attribute in attributes.items()}


def _to_value(attribute: dict[str, Any]) -> Any:
    ((kind, content),) = attribute.items()
    match kind:
        case "S":
            return content
        case "N":
            return int(content)
        case "L":
            return [_to_value(part) for part in content]
        case "M":
            return _to_item(content)
        case _:
            raise TypeError(f"an attribute of DynamoDB of type {kind} is not expected")
