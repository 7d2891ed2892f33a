"""What a template describes, as far as it runs locally: typed, evaluated, by local names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local.template.cloudformation import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.event_sources.schedule import Rate


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
class Rule:
    """A rule of EventBridge, which invokes a function by the clock.

    *input* takes the place of the event that EventBridge would send, as JSON text.
    """

    name: str
    function: str  # logical id
    expression: str
    schedule: Rate
    enabled: bool = True
    input: str | None = None

    @property
    def arn(self) -> str:
        """The local ARN."""
        return f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{self.name}"


@dataclass(frozen=True)
class QueueSource:
    """A queue that Lambda reads for a function."""

    queue: str  # logical ids
    function: str
    batch_size: int = 10
    window_s: int = 0  # how long a batch may be gathered
    maximum_concurrency: int | None = None  # None: as many as the function has
    reports_item_failures: bool = False
    enabled: bool = True


@dataclass(frozen=True)
class EventInvokeConfig:
    """How long Lambda tries events that nobody waits for."""

    retries: int = 2  # after an error of the function
    maximum_age_s: int = 21_600


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
    rules: tuple[Rule, ...] = ()
    queue_sources: tuple[QueueSource, ...] = ()
    event_invoke: EventInvokeConfig = EventInvokeConfig()

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
class Queue:
    """A standard SQS queue. *attributes* are those of ``CreateQueue``, but for the redrive."""

    logical_id: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    dead_letter_arn: str | None = None
    max_receive_count: int = 0

    @property
    def url(self) -> str:
        """The URL, as in the cloud: SQS knows a queue by it, wherever the endpoint is."""
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{self.name}"

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}"

    @property
    def visibility_timeout_s(self) -> int:
        """How long a message that was received stays hidden from others."""
        return int(self.attributes.get("VisibilityTimeout", 30))


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
    """The HTTP API in front of the functions: throttles (requests a second, and at once) and access
    log. *route_throttles*: ``(rate, burst)`` by route key, where a route has its own."""

    throttle_burst: int | None = None
    throttle_rate: float | None = None
    access_log_format: str | None = None
    route_throttles: Mapping[str, tuple[float | None, int | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class WebSocketApi:
    """The WebSocket API: *routes* are functions (logical ids) by route key."""

    logical_id: str
    stage: str
    route_selection_expression: str  # "$request.body." and the path of a value
    routes: Mapping[str, str]
    throttle_burst: int | None = None
    throttle_rate: float | None = None
    access_log_format: str | None = None

    def addresses(self, port: int) -> dict[str, str]:
        """Where it is served locally, by the variables that functions have for it."""
        return {
            "WEBSOCKET_API_ENDPOINT": f"http://127.0.0.1:{port}/{self.stage}",
            "WEBSOCKET_URL": f"ws://localhost:{port}/{self.stage}",
        }


@dataclass(frozen=True)
class Template:
    """Everything that runs locally."""

    functions: Mapping[str, Function]  # by logical id, as all below
    layers: Mapping[str, Layer]
    tables: Mapping[str, Table]
    keys: Mapping[str, Key]
    api: HttpApi
    queues: Mapping[str, Queue] = field(default_factory=dict)
    websocket: WebSocketApi | None = None

    def without_throttles(self) -> Template:
        """The same without the template's own throttles; the account's stay."""
        api = replace(self.api, throttle_burst=None, throttle_rate=None, route_throttles={})
        socket = self.websocket
        if socket is not None:
            socket = replace(socket, throttle_burst=None, throttle_rate=None)
        return replace(self, api=api, websocket=socket)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route, in the template's order."""
        return tuple(route for function in self.functions.values() for route in function.routes)
