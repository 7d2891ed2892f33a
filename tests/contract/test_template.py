"""Rules for template.yaml that CloudFormation and its linter do not check."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from local.template.cloudformation import read
from ullgetthejob.hh.environment import MAX_QUEUED

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = read(REPOSITORY / "template.yaml")
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
GLOBALS: dict[str, Any] = TEMPLATE["Globals"]["Function"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in RESOURCES.items()
        if resource["Type"] == kind
    }


FUNCTIONS = of_type("AWS::Serverless::Function")
AT_ONCE: dict[str, dict[str, int]] = TEMPLATE["Mappings"]["ReservedConcurrency"]
every_function = pytest.mark.parametrize("name", FUNCTIONS)

# Postgres reserves a few connections for its superuser; the BFF and operators need some too.
CONNECTIONS = 180  # of a small Postgres: RDS gives 2 GB of memory about 190
CONNECTION_HEADROOM = 20
# API Gateway ends an integration after 30 s; the response must have been sent before.
LONGEST_HTTP_TIMEOUT_S = 28
# The allowed fields of an access log line: none can contain a person's id or an OAuth code.
LOGGED = {
    "requestId",
    "routeKey",
    "status",
    "responseLatency",
    "integrationErrorMessage",
    "requestTimeEpoch",
}


def http_routes(name: str) -> set[str]:
    """Return the route keys of a function."""
    events = FUNCTIONS[name].get("Events", {}).values()
    return {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for event in events
        if event["Type"] == "HttpApi"
    }


def routes() -> set[str]:
    return {route for name in FUNCTIONS for route in http_routes(name)}


def number(value: Any) -> float:
    """Return a number of the template, or the default of the parameter that it names."""
    return float(TEMPLATE["Parameters"][value["Ref"]]["Default"] if "Ref" in str(value) else value)


def samples(name: str) -> list[dict[str, Any]]:
    """Return the sample events of a function: events/<folder>.json, events/<folder>-<case>.json."""
    folder = Path(FUNCTIONS[name]["CodeUri"]).name
    files = [REPOSITORY / "events" / f"{folder}.json"]
    files += sorted((REPOSITORY / "events").glob(f"{folder}-*.json"))
    return [json.loads(file.read_text()) for file in files]


def environment(name: str) -> dict[str, Any]:
    own = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    return {**GLOBALS["Environment"]["Variables"], **own}


@every_function
def test_function_logs_to_its_own_group_with_retention(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    users = [f for f, p in FUNCTIONS.items() if p["LoggingConfig"]["LogGroup"]["Ref"] == group]
    assert users == [name]
    assert RESOURCES[group]["Type"] == "AWS::Logs::LogGroup"
    assert RESOURCES[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_every_log_group_has_retention() -> None:
    for name, properties in of_type("AWS::Logs::LogGroup").items():
        assert "RetentionInDays" in properties, name


@every_function
def test_function_sets_timeout_memory_and_concurrency(name: str) -> None:
    own = FUNCTIONS[name]
    assert 1 <= own["Timeout"] <= 900
    assert 128 <= own["MemorySize"] <= 10_240
    assert own["ReservedConcurrentExecutions"] == {
        "Fn::If": ["ReservesConcurrency", at_most(name), {"Ref": "AWS::NoValue"}]
    }
    assert all(number >= 1 for number in AT_ONCE[name].values())
    if http_routes(name):
        assert own["Timeout"] <= LONGEST_HTTP_TIMEOUT_S


def at_most(name: str) -> dict[str, Any]:
    """Return the expression of a function's concurrency in the chosen column."""
    return {"Fn::FindInMap": ["ReservedConcurrency", name, {"Ref": "Concurrency"}]}


def test_concurrency_has_a_column_for_each_choice() -> None:
    parameter = TEMPLATE["Parameters"]["Concurrency"]
    assert set(AT_ONCE) == set(FUNCTIONS)
    for columns in AT_ONCE.values():
        assert set(columns) == set(parameter["AllowedValues"])
        assert columns["small"] <= columns["full"] == columns["none"]


def test_functions_leave_database_connections_for_others() -> None:
    users = [name for name in FUNCTIONS if "DATABASE_URL" in environment(name)]
    assert users
    full, small = (sum(AT_ONCE[name][size] for name in users) for size in ("full", "small"))
    assert small < full <= CONNECTIONS - CONNECTION_HEADROOM
    readme = (REPOSITORY / "README.md").read_text()
    assert f"at most {full} connections" in readme
    assert f"`small` {small}" in readme
    # The former release's environments keep their connections for a while: as database.yaml says.
    assert f"{2 * full + 10}, or {2 * small + 10}." in readme
    said = TEMPLATE["Parameters"]["Concurrency"]["Description"]
    assert f"full {full}, small {small} " in said


def test_search_throttle_does_not_exceed_concurrency() -> None:
    """Lambda's own refusal would be a 503 without Retry-After, which the BFF retries."""
    [api] = of_type("AWS::Serverless::HttpApi").values()
    limit = api["RouteSettings"]["POST /api/jobs/search"]
    assert limit["ThrottlingBurstLimit"] == at_most("SearchFunction")
    assert AT_ONCE["SearchFunction"]["small"] >= number(limit["ThrottlingRateLimit"])
    # waiting searches leave concurrency for refused ones, and for requests of single jobs
    assert AT_ONCE["SearchFunction"]["full"] - 5 > MAX_QUEUED >= 50


def test_pollers_of_queues_take_no_more_than_their_function() -> None:
    """More would be throttled, and a throttled message counts as received until it is dead."""
    for name, function in FUNCTIONS.items():
        for event in function.get("Events", {}).values():
            if event["Type"] == "SQS":
                scaling = event["Properties"]["ScalingConfig"]
                assert scaling == {"MaximumConcurrency": at_most(name)}
                assert min(AT_ONCE[name].values()) >= 2  # the least that Lambda accepts


def test_monitoring_can_be_switched_off() -> None:
    for stack, condition, parameter in (
        ("Alarms", "HasAlarms", "Alarming"),
        ("ApiAlarms", "HasAlarms", "Alarming"),
        ("Dashboard", "HasDashboard", "Dashboards"),
    ):
        assert RESOURCES[stack]["Condition"] == condition
        assert TEMPLATE["Conditions"][condition] == {"Fn::Equals": [{"Ref": parameter}, "on"]}
        assert TEMPLATE["Parameters"][parameter]["Default"] == "on"
    assert GLOBALS["Tracing"] == {"Ref": "Tracing"}


@every_function
def test_function_changes_after_the_schema(name: str) -> None:
    """docs/decisions/0009-schema-first.md"""
    schema = RESOURCES["Schema"]
    if name == "MigratorFunction":
        assert "DependsOn" not in RESOURCES[name]
        assert schema["Properties"]["ServiceToken"] == {"Fn::GetAtt": [name, "Arn"]}
        assert schema["Properties"]["ServiceTimeout"] >= FUNCTIONS[name]["Timeout"] + 30
        assert schema["Properties"]["Migrations"] == {"Ref": "MigrationsLayer"}
        after = {"Fn::If": ["HasSecretsKey", {"Ref": "SecretsKeyPolicy"}, ""]}
        assert schema["Properties"]["After"] == after
    else:
        assert RESOURCES[name]["DependsOn"] == "Schema"


@every_function
def test_function_is_one_file_without_a_build(name: str) -> None:
    folder = REPOSITORY / FUNCTIONS[name]["CodeUri"]
    assert [file.name for file in folder.iterdir() if file.is_file()] == ["app.py"]
    assert RESOURCES[name]["Metadata"] == {"SkipBuild": True}
    assert GLOBALS["Handler"] == "app.handler"


@every_function
def test_function_serves_exactly_its_template_routes(name: str) -> None:
    folder = Path(FUNCTIONS[name]["CodeUri"]).name
    module = importlib.import_module(f"functions.{folder}.app")
    served = set(module.api.routes) if http_routes(name) else set()
    assert callable(module.handler)
    assert served == http_routes(name)


@every_function
def test_function_has_sample_events_for_its_routes(name: str) -> None:
    events = samples(name)
    sampled = {event["routeKey"] for event in events if "routeKey" in event}
    assert sampled == http_routes(name)
    for event in events:
        if "routeKey" in event:
            method, template = event["routeKey"].split(" ")
            parameters = event.get("pathParameters", {})
            assert event["version"] == "2.0"
            assert event["requestContext"]["routeKey"] == event["routeKey"]
            assert event["requestContext"]["http"]["method"] == method
            assert event["rawPath"] == template.format_map(parameters)


def test_every_sample_event_belongs_to_a_function() -> None:
    folders = {Path(properties["CodeUri"]).name for properties in FUNCTIONS.values()}
    for file in (REPOSITORY / "events").iterdir():
        assert file.suffix == ".json"
        assert file.stem.split("-")[0] in folders, file.name


@every_function
def test_function_has_exactly_the_layers_it_needs(name: str) -> None:
    layers = [layer["Ref"] for layer in FUNCTIONS[name]["Layers"]]
    migrates = ["MigrationsLayer"] if name == "MigratorFunction" else []
    assert layers == ["DependenciesLayer", "CoreLayer", *migrates]


def test_layers_and_functions_share_machine_and_runtime() -> None:
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Architectures"] == [{"Ref": "Architecture"}]
    for name, layer in of_type("AWS::Serverless::LayerVersion").items():
        assert layer["CompatibleRuntimes"] == [GLOBALS["Runtime"]]
        assert layer["CompatibleArchitectures"] == GLOBALS["Architectures"]
        assert RESOURCES[name]["Metadata"] == {"BuildMethod": "makefile"}
    overriding = {"Runtime", "Architectures", "Handler", "VpcConfig"}
    for properties in FUNCTIONS.values():
        assert not overriding & set(properties)


def test_parameters_have_no_secrets() -> None:
    secretive = re.compile(r"secret|token|password|key", re.IGNORECASE)
    for name, parameter in TEMPLATE["Parameters"].items():
        if secretive.search(name):
            assert name.endswith(("SecretArn", "KeyArn", "KeyArns"))
            assert parameter.get("Default", "") == ""
            assert re.fullmatch(parameter["AllowedPattern"], "the secret itself") is None


def test_secret_variables_are_references() -> None:
    for name in FUNCTIONS:
        for variable, value in environment(name).items():
            if re.search(r"SECRET|TOKEN$|CLIENT_ID|DATABASE_URL", variable):
                assert "secretsmanager:${" in json.dumps(value), variable


def test_api_and_its_costly_routes_are_throttled() -> None:
    (api,) = of_type("AWS::Serverless::HttpApi").values()
    limits = [api["DefaultRouteSettings"], *api["RouteSettings"].values()]
    for limit in limits:
        burst = limit["ThrottlingBurstLimit"]
        if burst == at_most("SearchFunction"):
            burst = min(AT_ONCE["SearchFunction"].values())
        assert 0 < number(limit["ThrottlingRateLimit"]) <= number(burst)
    assert set(api["RouteSettings"]) <= routes()


def test_access_logs_have_neither_path_nor_query() -> None:
    (api,) = of_type("AWS::Serverless::HttpApi").values()
    line = api["AccessLogSettings"]["Format"]
    assert "AccessLogGroup.Arn" in ".".join(
        api["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"]
    )
    assert set(json.loads(line)) >= {"request_id", "route", "status"}
    assert set(re.findall(r"\$context\.([\w.]+)", line)) <= LOGGED


def test_tables_and_token_key_are_encrypted_and_retained() -> None:
    for table in of_type("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["TimeToLiveSpecification"]["Enabled"] is True
    assert RESOURCES["TokenKey"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES["TokenKey"]["UpdateReplacePolicy"] == "Retain"
    assert RESOURCES["TokenKey"]["Properties"]["EnableKeyRotation"] is True


def test_production_deployment_asks_for_confirmation() -> None:
    config = tomllib.loads((REPOSITORY / "samconfig.toml").read_text())
    for stage in TEMPLATE["Parameters"]["Stage"]["AllowedValues"]:
        deploy = config[stage]["deploy"]["parameters"]
        assert deploy["parameter_overrides"] == f"Stage={stage}"
        assert deploy["confirm_changeset"] is (stage == "prod")


QUEUES = of_type("AWS::SQS::Queue")
READ_BY_A_FUNCTION = [name for name, queue in QUEUES.items() if "RedrivePolicy" in queue]


@pytest.mark.parametrize("name", READ_BY_A_FUNCTION)
def test_failing_message_is_dead_lettered_before_it_expires(name: str) -> None:
    """A message that expires in its queue is never dead-lettered, and raises no alarm. SQS
    counts its age from when it was sent, throughout:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """
    queue = QUEUES[name]
    aside_after_s = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
    assert aside_after_s <= queue["MessageRetentionPeriod"] / 2
    dead_letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert QUEUES[dead_letters]["MessageRetentionPeriod"] == 1_209_600  # 14 days, the longest


def test_every_consumed_queue_has_a_dead_letter_queue() -> None:
    read = {
        event["Properties"]["Queue"]["Fn::GetAtt"][0]
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    }
    assert read == set(READ_BY_A_FUNCTION)
