"""What a template describes, as far as it runs locally: typed, evaluated, by local names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.template.cloudformation import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Route:
    """One route of the HTTP API, such as ``GET /api/jobs/{id}``; *method* may be ``ANY``."""

    method: str
    path: str  # "$default" for the route of everything else
    function: str  # logical id

    @property
    def key(self) -> str:
        """The route key as API Gateway writes it."""
        return self.path if self.path == "$default" else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Function:
    """A Lambda function."""

    logical_id: str
    runtime: str  # such as "python3.13"
    handler: str
    code: Path
    environment: Mapping[str, str]
    memory_mb: int
    timeout_s: float
    reserved_concurrency: int | None  # None: whatever the account allows
    layers: tuple[str, ...]  # logical ids, in the order in which they are unpacked over each other
    routes: tuple[Route, ...]

    @property
    def name(self) -> str:
        """The short name in logs: that of the folder."""
        return self.code.name

    @property
    def arn(self) -> str:
        """The local ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.logical_id}"


@dataclass(frozen=True)
class Layer:
    """A layer, as it lies in the repository."""

    logical_id: str
    content: Path


@dataclass(frozen=True)
class Table:
    """A DynamoDB table."""

    name: str
    key_schema: tuple[Mapping[str, str], ...]
    attributes: tuple[Mapping[str, str], ...]
    ttl_attribute: str | None
    global_indexes: tuple[Mapping[str, Any], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The attributes that make an item's key: the partition key, then the sort key if any."""
        by_kind = {element["KeyType"]: element["AttributeName"] for element in self.key_schema}
        return tuple(by_kind[kind] for kind in ("HASH", "RANGE") if kind in by_kind)

    def create_arguments(self) -> dict[str, Any]:
        """Arguments of ``CreateTable``."""
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeySchema": list(self.key_schema),
            "AttributeDefinitions": list(self.attributes),
            "BillingMode": "PAY_PER_REQUEST",
        }
        if self.global_indexes:
            arguments["GlobalSecondaryIndexes"] = list(self.global_indexes)
        return arguments


@dataclass(frozen=True)
class Key:
    """A symmetric KMS key under an id that never changes, so that ciphertexts stay readable."""

    logical_id: str
    description: str

    @property
    def key_id(self) -> str:
        """The id: a UUID made of the logical id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"ullgetthejob-core/{self.logical_id}"))

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{self.key_id}"


@dataclass(frozen=True)
class HttpApi:
    """The HTTP API in front of the functions: default throttles (a second) and access log."""

    throttle_burst: int | None = None
    throttle_rate: float | None = None
    access_log_format: str | None = None


@dataclass(frozen=True)
class Template:
    """Everything that runs locally."""

    functions: Mapping[str, Function]  # by logical id, as all below
    layers: Mapping[str, Layer]
    tables: Mapping[str, Table]
    keys: Mapping[str, Key]
    api: HttpApi

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route, in the template's order."""
        return tuple(route for function in self.functions.values() for route in function.routes)
