"""The resources of a template that run locally: typed, evaluated, under their local names."""

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
    """A route of the HTTP API, such as ``GET /api/jobs/{id}``."""

    method: str
    path: str
    function: str  # logical id

    @property
    def key(self) -> str:
        """Return the route key as API Gateway writes it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Rule:
    """A rule of EventBridge, which invokes a function on a schedule.

    *input*: JSON text that replaces the event that EventBridge would send.
    """

    name: str
    function: str  # logical id
    expression: str
    schedule: Rate
    enabled: bool = True
    input: str | None = None

    @property
    def arn(self) -> str:
        """Return the local ARN."""
        return f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{self.name}"


@dataclass(frozen=True)
class QueueSource:
    """A queue that Lambda polls for a function."""

    queue: str  # logical ids
    function: str
    batch_size: int = 10
    window_s: int = 0  # the batching window
    maximum_concurrency: int | None = None  # None: the function's own
    reports_item_failures: bool = False
    enabled: bool = True


@dataclass(frozen=True)
class EventInvokeConfig:
    """How Lambda retries asynchronous invocations."""

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
    reserved_concurrency: int | None  # None: the account's
    layers: tuple[str, ...]  # logical ids, in the order in which they are unpacked
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...] = ()
    queue_sources: tuple[QueueSource, ...] = ()
    event_invoke: EventInvokeConfig = EventInvokeConfig()

    @property
    def name(self) -> str:
        """Return the short name in logs: the name of the folder."""
        return self.code.name

    @property
    def arn(self) -> str:
        """Return the local ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.logical_id}"


@dataclass(frozen=True)
class Layer:
    """A layer and its folder in the repository."""

    logical_id: str
    content: Path


@dataclass(frozen=True)
class Table:
    """A DynamoDB table."""

    name: str
    key_schema: tuple[Mapping[str, str], ...]
    attributes: tuple[Mapping[str, str], ...]
    ttl_attribute: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the key attributes of an item: the partition key, then the sort key if any."""
        by_type = {element["KeyType"]: element["AttributeName"] for element in self.key_schema}
        return tuple(by_type[key_type] for key_type in ("HASH", "RANGE") if key_type in by_type)

    def create_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``CreateTable``."""
        return {
            "TableName": self.name,
            "KeySchema": list(self.key_schema),
            "AttributeDefinitions": list(self.attributes),
            "BillingMode": "PAY_PER_REQUEST",
        }


@dataclass(frozen=True)
class Queue:
    """A standard SQS queue. *attributes*: those of ``CreateQueue``, without the redrive policy."""

    logical_id: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    dead_letter_arn: str | None = None
    max_receive_count: int = 0

    @property
    def url(self) -> str:
        """Return the URL as in the cloud: it identifies a queue at any endpoint."""
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{self.name}"

    @property
    def arn(self) -> str:
        """Return the ARN."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self.name}"

    @property
    def visibility_timeout_s(self) -> int:
        """Return how long a received message stays invisible."""
        return int(self.attributes.get("VisibilityTimeout", 30))


@dataclass(frozen=True)
class Key:
    """A symmetric KMS key with a stable id, so that ciphertexts stay readable."""

    logical_id: str
    description: str

    @property
    def key_id(self) -> str:
        """Return the id: a UUID derived from the logical id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"ullgetthejob-core/{self.logical_id}"))

    @property
    def arn(self) -> str:
        """Return the ARN."""
        return f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{self.key_id}"


@dataclass(frozen=True)
class HttpApi:
    """The HTTP API in front of the functions: its throttles (requests per second, and burst) and
    access log. *route_throttles*: ``(rate, burst)`` by route key, for routes with their own."""

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
        """Return its local addresses by the environment variables of the functions."""
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
        """Return a copy without the template's throttles; the account's still apply."""
        api = replace(self.api, throttle_burst=None, throttle_rate=None, route_throttles={})
        websocket = self.websocket
        if websocket is not None:
            websocket = replace(websocket, throttle_burst=None, throttle_rate=None)
        return replace(self, api=api, websocket=websocket)

    def with_concurrency(self, reserved: int) -> Template:
        """Return a copy in which every function reserves this concurrency."""
        functions = {
            logical_id: replace(function, reserved_concurrency=reserved)
            for logical_id, function in self.functions.items()
        }
        return replace(self, functions=functions)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Return every route, in the template's order."""
        return tuple(route for function in self.functions.values() for route in function.routes)
