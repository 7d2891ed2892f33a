"""The reader of template.yaml: functions and their event sources, tables, queues, keys, layers.

The template is the only description of the system: the local cloud and the tests read it here, so
that the local system is the deployed one. Names are local: a table is named by its logical id, a
key has a fixed ARN, a queue has its URL in the cloud.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.template import event_sources
from local.template.cloudformation import (
    ACCOUNT_ID,
    NO_VALUE,
    REGION,
    Evaluator,
    TemplateError,
    intrinsic,
    read,
)
from local.template.resources import Function, HttpApi, Key, Layer, Queue, Route, Table, Template
from local.template.websocket_api import websocket_api

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# SAM creates these from a function's events; declared as resources they would not run locally.
_ONLY_AS_EVENTS = {
    "AWS::Events::Rule",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Scheduler::Schedule",
}

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "template.yaml"


def load(path: Path = TEMPLATE, parameters: Mapping[str, str] | None = None) -> Template:
    """Read the template at *path*; *parameters* override its defaults.

    Raises :class:`~local.template.cloudformation.TemplateError` for an element that cannot run
    locally.
    """
    return _Reader(path, parameters or {}).template()


class _Reader:
    """Reads a template and resolves its ``!Ref`` and ``!GetAtt`` to local values."""

    def __init__(self, path: Path, parameters: Mapping[str, str]) -> None:
        self._folder = path.resolve().parent
        self._document = read(path)
        self._globals: Mapping[str, Any] = self._document.get("Globals", {})
        self._evaluate = Evaluator(self._document, parameters, self)
        self._resources: dict[str, Any] = {
            logical_id: resource
            for logical_id, resource in self._document["Resources"].items()
            if "Condition" not in resource
            or self._evaluate.condition(resource["Condition"], f"Resources.{logical_id}.Condition")
        }

    def template(self) -> Template:
        known = {"Function", "LayerVersion", "HttpApi", "WebSocketApi"}
        for logical_id, resource in self._resources.items():
            resource_type = str(resource["Type"])
            is_serverless = resource_type.startswith("AWS::Serverless::")
            if is_serverless and resource_type.rpartition(":")[2] not in known:
                raise TemplateError(f"Resources.{logical_id}: {resource_type} does not run locally")
            if resource_type in _ONLY_AS_EVENTS:
                raise TemplateError(
                    f"Resources.{logical_id}: {resource_type} runs locally only as a function's"
                    " property"
                )
        apis = [self._api(name) for name in self._of_type("AWS::Serverless::HttpApi")]
        if len(apis) > 1:
            raise TemplateError("Resources: more than one AWS::Serverless::HttpApi")
        queues = {name: self._queue(name) for name in self._of_type("AWS::SQS::Queue")}
        event_sources.check_dead_letters(queues)
        functions = {
            name: self._function(name, queues)
            for name in self._of_type("AWS::Serverless::Function")
        }
        for function in functions.values():
            event_sources.check_visibility(function, queues)
        sockets = [
            websocket_api(name, self._properties(name), functions, f"Resources.{name}.Properties")
            for name in self._of_type("AWS::Serverless::WebSocketApi")
        ]
        if len(sockets) > 1:
            raise TemplateError("Resources: more than one AWS::Serverless::WebSocketApi")
        return Template(
            functions=functions,
            layers={
                name: Layer(name, self._content(name, "ContentUri"))
                for name in self._of_type("AWS::Serverless::LayerVersion")
            },
            tables={name: self._table(name) for name in self._of_type("AWS::DynamoDB::Table")},
            keys={name: self._key(name) for name in self._of_type("AWS::KMS::Key")},
            api=apis[0] if apis else HttpApi(),
            queues=queues,
            websocket=sockets[0] if sockets else None,
        )

    # ── references ───────────────────────────────────────────────────────────────────────────

    def ref(self, logical_id: str, place: str) -> str:
        """Return the local name of a resource, the ARN of a function's alias."""
        owner, _, part = logical_id.partition(".")
        if part == "Alias" and self._type(owner, place) == "AWS::Serverless::Function":
            return self.attribute(owner, "Arn", place)  # locally the one version there is
        if self._type(logical_id, place) == "AWS::KMS::Key":
            return Key(logical_id, "").key_id
        if self._type(logical_id, place) == "AWS::SQS::Queue":
            return self._named_queue(logical_id).url
        return logical_id

    def attribute(self, logical_id: str, name: str, place: str) -> str:
        """Return the ARN of a resource; other attributes exist locally for queues alone."""
        match self._type(logical_id, place), name:
            case "AWS::KMS::Key", "Arn":
                return Key(logical_id, "").arn
            case "AWS::DynamoDB::Table", "Arn":
                return f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{logical_id}"
            case "AWS::Serverless::Function", "Arn":
                return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{logical_id}"
            case "AWS::Logs::LogGroup", "Arn":
                return f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{logical_id}:*"
            case "AWS::SQS::Queue", "Arn":
                return self._named_queue(logical_id).arn
            case "AWS::SQS::Queue", "QueueName":
                return self._named_queue(logical_id).name
            case "AWS::SQS::Queue", "QueueUrl":
                return self._named_queue(logical_id).url
            case resource_type, _:
                raise TemplateError(f"{place}: {resource_type} has no {name} locally")

    def _type(self, logical_id: str, place: str) -> str:
        if logical_id not in self._resources:
            raise TemplateError(f"{place}: there is no parameter or resource {logical_id!r}")
        return str(self._resources[logical_id]["Type"])

    # ── resources ────────────────────────────────────────────────────────────────────────────

    def _of_type(self, resource_type: str) -> list[str]:
        return [
            name for name, resource in self._resources.items() if resource["Type"] == resource_type
        ]

    def _property(self, logical_id: str, name: str, default: Any = None) -> Any:
        """Return a property, with the Globals of its type merged in as SAM does."""
        resource = self._resources[logical_id]
        section = self._globals.get(str(resource["Type"]).rpartition(":")[2], {})
        properties = resource.get("Properties", {})
        if name not in properties and name not in section:
            return default
        node = merged(section.get(name), properties.get(name))
        value = self._evaluate.value(node, f"Resources.{logical_id}.Properties.{name}")
        return default if value is NO_VALUE else value

    def _properties(self, logical_id: str) -> dict[str, Any]:
        """Return every property, with the Globals of its type merged in."""
        resource = self._resources[logical_id]
        section = self._globals.get(str(resource["Type"]).rpartition(":")[2], {})
        node = merged(section, resource.get("Properties", {}))
        return dict(self._evaluate.value(node, f"Resources.{logical_id}.Properties"))

    def _content(self, logical_id: str, name: str) -> Path:
        place = f"Resources.{logical_id}.Properties.{name}"
        uri = self._property(logical_id, name)
        if not isinstance(uri, str) or "://" in uri:
            raise TemplateError(f"{place}: only a folder of the repository runs locally")
        folder = (self._folder / uri).resolve()
        if not folder.is_dir():
            raise TemplateError(f"{place}: there is no folder {uri}")
        return folder

    def _function(self, logical_id: str, queues: Mapping[str, Queue]) -> Function:
        place = f"Resources.{logical_id}.Properties"
        runtime = self._property(logical_id, "Runtime", "")
        if not str(runtime).startswith("python"):
            raise TemplateError(f"{place}.Runtime: {runtime or 'none'} does not run locally")
        handler = self._property(logical_id, "Handler")
        if not handler:
            raise TemplateError(f"{place}.Handler: is missing")
        environment = self._property(logical_id, "Environment", {}).get("Variables", {})
        reserved = self._property(logical_id, "ReservedConcurrentExecutions")
        if self._property(logical_id, "DeadLetterQueue") is not None:
            raise TemplateError(f"{place}.DeadLetterQueue: does not run locally")
        event_invoke = self._property(logical_id, "EventInvokeConfig", {})
        events = list(self._events(logical_id))
        return Function(
            logical_id=logical_id,
            runtime=runtime,
            handler=handler,
            code=self._content(logical_id, "CodeUri"),
            environment={name: _text(value) for name, value in environment.items()},
            memory_mb=int(self._property(logical_id, "MemorySize", 128)),
            timeout_s=float(self._property(logical_id, "Timeout", 3)),
            reserved_concurrency=None if reserved is None else int(reserved),
            layers=tuple(self._property(logical_id, "Layers", [])),
            routes=tuple(
                self._route(logical_id, properties, place)
                for event_type, _, properties, place in events
                if event_type == "HttpApi"
            ),
            rules=tuple(
                event_sources.rule(logical_id, name, properties, place)
                for event_type, name, properties, place in events
                if event_type == "Schedule"
            ),
            queue_sources=tuple(
                event_sources.queue_source(logical_id, properties, queues, place)
                for event_type, _, properties, place in events
                if event_type == "SQS"
            ),
            event_invoke=event_sources.event_invoke_config(
                event_invoke, f"{place}.EventInvokeConfig"
            ),
        )

    def _events(self, logical_id: str) -> Iterator[tuple[str, str, dict[str, Any], str]]:
        """Return type, name, properties and place of each event of the function."""
        for name, event in self._property(logical_id, "Events", {}).items():
            place = f"Resources.{logical_id}.Properties.Events.{name}"
            if event["Type"] not in ("HttpApi", "SQS", "Schedule"):
                raise TemplateError(f"{place}: events of type {event['Type']} do not run locally")
            yield event["Type"], name, event.get("Properties", {}), place

    def _route(self, logical_id: str, properties: Mapping[str, Any], place: str) -> Route:
        if unknown := set(properties) - {"ApiId", "Method", "Path", "PayloadFormatVersion"}:
            raise TemplateError(f"{place}: {', '.join(sorted(unknown))} does not run locally")
        if properties.get("PayloadFormatVersion", "2.0") != "2.0":
            raise TemplateError(f"{place}: only payload format 2.0 runs locally")
        path, method = str(properties.get("Path", "")), str(properties.get("Method", "")).upper()
        if not path or not method.isalpha() or method == "ANY" or "+}" in path:
            raise TemplateError(f"{place}: only routes of one method and no {{proxy+}} run locally")
        return Route(method, path, logical_id)

    def _queue(self, logical_id: str) -> Queue:
        place = f"Resources.{logical_id}.Properties"
        properties = self._resources[logical_id].get("Properties", {})
        return event_sources.queue(logical_id, self._evaluate.value(properties, place), place)

    def _named_queue(self, logical_id: str) -> Queue:
        """Return the queue with its name alone, all that a reference needs: a queue may refer to
        itself."""
        return Queue(logical_id, str(self._property(logical_id, "QueueName", logical_id)))

    def _table(self, logical_id: str) -> Table:
        place = f"Resources.{logical_id}.Properties"
        for unsupported in (
            *("GlobalSecondaryIndexes", "LocalSecondaryIndexes"),
            *("StreamSpecification", "TableName"),
        ):
            if self._property(logical_id, unsupported) is not None:
                raise TemplateError(f"{place}.{unsupported}: does not run locally")
        ttl = self._property(logical_id, "TimeToLiveSpecification", {})
        return Table(
            name=logical_id,
            key_schema=tuple(self._property(logical_id, "KeySchema")),
            attributes=tuple(self._property(logical_id, "AttributeDefinitions")),
            ttl_attribute=ttl["AttributeName"] if ttl.get("Enabled") else None,
        )

    def _key(self, logical_id: str) -> Key:
        spec = self._property(logical_id, "KeySpec", "SYMMETRIC_DEFAULT")
        if spec != "SYMMETRIC_DEFAULT":
            raise TemplateError(f"Resources.{logical_id}.Properties.KeySpec: {spec} is not kept")
        return Key(logical_id, self._property(logical_id, "Description", ""))

    def _api(self, logical_id: str) -> HttpApi:
        rate, burst = _throttle(self._property(logical_id, "DefaultRouteSettings", {}))
        log = self._property(logical_id, "AccessLogSettings", {})
        own = self._property(logical_id, "RouteSettings", {})
        return HttpApi(
            throttle_burst=burst,
            throttle_rate=rate,
            access_log_format=log.get("Format"),
            route_throttles={key: _throttle(settings) for key, settings in own.items()},
        )


def _throttle(settings: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """Return rate (requests per second) and burst from the settings of a route or of all routes."""
    rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
    return None if rate is None else float(rate), None if burst is None else int(burst)


def merged(base: Any, own: Any) -> Any:
    """Merge a property of Globals with a resource's own, as SAM does.

    Maps merge, lists are concatenated, any other value (also an intrinsic function) is replaced:
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    """
    if base is None or own is None:
        return base if own is None else own
    if isinstance(base, list) and isinstance(own, list):
        return [*base, *own]
    if (
        isinstance(base, dict)
        and isinstance(own, dict)
        and not intrinsic(base)
        and not intrinsic(own)
    ):
        return {**base, **{name: merged(base.get(name), value) for name, value in own.items()}}
    return own


def _text(value: Any) -> str:
    """Return the value of an environment variable as CloudFormation writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
