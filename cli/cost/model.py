"""The cost of operations, of an idle stage, and of a person's month.

An operation's cost is the sum of what it makes AWS count (invocations and their GB-seconds, calls,
messages, bytes of logs) times the published prices. The counts are measured (measurements.json, by
``make bench-cost``), the prices read (prices.toml), the memory of the functions the template's. All
amounts are US dollars; free tiers, data transfer and the database's work are left out.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.template.cloudformation import read
from local.template.reader import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(__file__).parent
MEASUREMENTS = FOLDER / "measurements.json"
PRICES = FOLDER / "prices.toml"
ALARMS = TEMPLATE.parent / "monitoring" / "alarms.yaml"

MILLION = 1_000_000
GB = 1_000_000_000
HOURS = 730.0  # of a month, as AWS's calculator has it
DAYS = HOURS / 24
MINUTES = HOURS * 60
# Lambda polls a queue with five connections, each for 20 seconds.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
POLLS_PER_MINUTE = 5 * 3
# A message is sent by a call that is measured; Lambda receives it and deletes it.
REQUESTS_OF_LAMBDA_PER_MESSAGE = 2
READS = ("GetItem", "Query", "BatchGetItem")
PING_MINUTES = 9.0  # API Gateway closes a connection that was silent for ten
SECRETS = 5  # as "ugtj cloud init" creates them
LEAST_ACU = 0.5
STORAGE_GB = 20.0
CALLS = {
    "sqs": "sqs_request",
    "kms": "kms_request",
    "secretsmanager": "secret_request",
    "execute-api": "websocket_message",
}


@dataclass(frozen=True)
class Usage:
    """What a person does. As in docs/retention.md: applications a day, saved searches and their
    interval, which no other person has; and searches and hours at an open page, which are assumed.
    """

    applications_a_day: float = 10
    saved_searches: float = 2
    runs_a_day: float = 48
    searches_a_day: float = 10
    hours_a_day: float = 1
    megabytes_a_month: float = 21 / 12

    def of_month(self) -> dict[str, float]:
        """Return how often each operation happens in a month."""
        return {
            "search": self.searches_a_day * DAYS,
            "run": self.saved_searches * self.runs_a_day * DAYS,
            "application": self.applications_a_day * DAYS,
            "socket_hour": self.hours_a_day * DAYS,
        }


@dataclass
class Cost:
    """US dollars by what is paid for."""

    parts: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, part: str, amount: float) -> None:
        """Add *amount* to *part*."""
        self.parts[part] += amount

    @property
    def total(self) -> float:
        """Return the sum."""
        return sum(self.parts.values())

    def times(self, factor: float) -> Cost:
        """Return this cost *factor* times."""
        made = Cost()
        for part, amount in self.parts.items():
            made.add(part, amount * factor)
        return made


def sum_of(costs: Iterable[Cost]) -> Cost:
    """Return the sum of several costs."""
    made = Cost()
    for cost in costs:
        for part, amount in cost.parts.items():
            made.add(part, amount)
    return made


@cache
def prices() -> dict[str, Any]:
    """Return prices.toml."""
    return tomllib.loads(PRICES.read_text("utf-8"))


def price(name: str) -> float:
    """Return a price for one unit; those per million are divided."""
    entry = prices()[name]
    amount = float(entry["usd"])
    return amount / MILLION if str(entry["per"]).startswith("million ") else amount


@cache
def measurements() -> dict[str, Any]:
    """Return measurements.json."""
    content: dict[str, Any] = json.loads(MEASUREMENTS.read_text("utf-8"))
    return content


@cache
def _resources() -> dict[str, Any]:
    resources: dict[str, Any] = read(TEMPLATE)["Resources"]
    return resources


def memory_mb(function: str) -> int:
    """Return the memory of a function of the template, in MB."""
    return int(_resources()[function]["Properties"]["MemorySize"])


def functions_by_folder() -> dict[str, str]:
    """Return the logical ids of the template's functions by the names of their folders."""
    return {
        Path(resource["Properties"]["CodeUri"]).name: name
        for name, resource in _resources().items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def count_queues() -> int:
    """Return how many queues a function of the template is invoked from."""
    return sum(
        event["Type"] == "SQS"
        for resource in _resources().values()
        for event in resource["Properties"].get("Events", {}).values()
        if resource["Type"] == "AWS::Serverless::Function"
    )


def count_alarms() -> int:
    """Return how many alarms a stage has."""
    resources = read(ALARMS)["Resources"].values()
    return sum(resource["Type"] == "AWS::CloudWatch::Alarm" for resource in resources)


class Model:
    """Costs by measured counts. *durations* of a deployed stage (ms, by function) precede those
    that were recorded."""

    def __init__(self, durations: Mapping[str, float] | None = None) -> None:
        self.durations = dict(durations or {})

    def operation(self, name: str) -> Cost:
        """Return the cost of one operation of measurements.json, without requests of people."""
        measured = measurements()["operations"][name]
        cost = Cost()
        for function, counts in measured["functions"].items():
            ms = self.durations.get(function, counts["ms"])
            seconds = counts["invocations"] * ms / 1000
            cost.add("Lambda", counts["invocations"] * price("lambda_request"))
            memory_gb = memory_mb(function) / 1024
            cost.add("Lambda", seconds * memory_gb * price("lambda_gb_second"))
        for call, count in measured["calls"].items():
            part, name_of_price = _price_of_call(call)
            cost.add(part, count * price(name_of_price))
            if call.startswith("sqs.Send"):
                received = count * REQUESTS_OF_LAMBDA_PER_MESSAGE
                cost.add(part, received * price("sqs_request"))
        cost.add("API Gateway", measured["frames"] * price("websocket_message"))
        cost.add("CloudWatch", measured["log_bytes"] / GB * price("log_gb"))
        return cost

    def search(self) -> Cost:
        """Return the cost of one search, which asks hh.ru."""
        return self._requested("search")

    def run(self) -> Cost:
        """Return the cost of a run of a saved search that announces a vacancy."""
        return self.operation("run")

    def application(self) -> Cost:
        """Return the cost of one application, from the request to hh.ru's answer."""
        return self._requested("application")

    def _requested(self, name: str) -> Cost:
        cost = self.operation(name)
        cost.add("API Gateway", price("http_request"))
        return cost

    def socket_hour(self) -> Cost:
        """Return the cost of a WebSocket that is open for an hour: its ticket, its connection, its
        minutes, and a ping (with its answer) every nine of them."""
        cost = self._requested("connection")
        frames = 4  # the first frame, the answer, a ping and its answer
        pings = 60 / PING_MINUTES * 2
        cost.add("API Gateway", (frames + pings) * price("websocket_message"))
        cost.add("API Gateway", 60 * price("websocket_minute"))
        invocations = 60 / PING_MINUTES
        measured = measurements()["operations"]["connection"]["functions"]["FramesFunction"]
        ms = self.durations.get("FramesFunction", measured["ms"])
        gb_seconds = invocations * ms / 1000 * memory_mb("FramesFunction") / 1024
        cost.add("Lambda", invocations * price("lambda_request"))
        cost.add("Lambda", gb_seconds * price("lambda_gb_second"))
        return cost

    def idle_month(self) -> Cost:
        """Return the cost of a stage in a month in which nothing happens, without database and
        network."""
        cost = self.operation("idle_minute").times(MINUTES)
        polls = count_queues() * POLLS_PER_MINUTE * MINUTES
        cost.add("SQS", polls * price("sqs_request"))
        cost.add("Alarms", count_alarms() * price("alarm"))
        cost.add("Dashboard", price("dashboard"))
        cost.add("KMS", price("kms_key"))
        cost.add("Secrets Manager", SECRETS * price("secret"))
        return cost

    def person_month(self, usage: Usage | None = None) -> Cost:
        """Return the cost of a person's month beside the idle one."""
        usage = usage or Usage()
        operations = {
            "search": self.search(),
            "run": self.run(),
            "application": self.application(),
            "socket_hour": self.socket_hour(),
        }
        cost = sum_of(operations[name].times(count) for name, count in usage.of_month().items())
        cost.add("Postgres", usage.megabytes_a_month / 1000 * price("aurora_gb"))
        return cost


def database_months() -> dict[str, float]:
    """Return the cost of a month of each database and network of database.yaml."""
    return {
        "Aurora Serverless v2, half an ACU": LEAST_ACU * HOURS * price("aurora_acu_hour")
        + STORAGE_GB * price("aurora_gb"),
        "RDS on a db.t4g.micro": HOURS * price("t4g_micro_hour") + STORAGE_GB * price("gp3_gb"),
        "a NAT gateway with its address": HOURS
        * (price("nat_hour") + price("public_address_hour")),
    }


def _price_of_call(call: str) -> tuple[str, str]:
    """Return what a call of AWS, such as ``dynamodb.UpdateItem``, belongs to, and its price."""
    service, _, operation = call.partition(".")
    if service == "dynamodb":
        return "DynamoDB", "dynamodb_read" if operation in READS else "dynamodb_write"
    names = {"sqs": "SQS", "kms": "KMS", "secretsmanager": "Secrets Manager"}
    return names.get(service, "API Gateway"), CALLS[service]
