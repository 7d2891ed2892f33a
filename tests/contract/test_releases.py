"""Versions behind an alias: callers, event sources and permissions use it, CodeDeploy moves it.

docs/decisions/0010-versions-behind-an-alias.md
"""

from __future__ import annotations

import copy
import json
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml
from samcli.lib.translate.sam_template_validator import (  # type: ignore[import-untyped]
    SamTemplateValidator,
)

from local.template.cloudformation import intrinsic, read
from local.template.reader import load

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = read(REPOSITORY / "template.yaml")
ALARMS = read(REPOSITORY / "monitoring" / "alarms.yaml")
FUNCTIONS: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
MOVED = sorted(set(FUNCTIONS) - {"MigratorFunction"})
every_moved_function = pytest.mark.parametrize("name", MOVED)
LONGEST_DESCRIPTION = 256  # of a function
CODEDEPLOY_MOST_ALARMS = 10  # of a deployment group


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        raise AssertionError("a statement names a managed policy")


def transform(template: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """Return the resources that SAM makes of a template."""
    copied = copy.deepcopy(template)
    for name, value in parameters.items():
        copied["Parameters"][name]["Default"] = value
    validator = SamTemplateValidator(copied, _NoManagedPolicies(), region="eu-central-1")
    content = yaml.safe_load(validator.get_translated_template_if_valid())
    return dict(content["Resources"])


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return transform(TEMPLATE)


def alias_of(name: str) -> str:
    return f"{name}Aliaslive"


@every_moved_function
def test_version_is_published_and_moved_by_codedeploy(resources: Any, name: str) -> None:
    alias = resources[alias_of(name)]
    policy = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert policy["DeploymentGroupName"] == {"Ref": f"{name}DeploymentGroup"}
    group = resources[f"{name}DeploymentGroup"]["Properties"]
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert group["DeploymentConfigName"]["Fn::If"][0] == "ShiftsGradually"
    assert "Canary10Percent10Minutes" in json.dumps(group["DeploymentConfigName"]["Fn::If"][1])
    assert "AllAtOnce" in json.dumps(group["DeploymentConfigName"]["Fn::If"][2])


@every_moved_function
def test_deployment_is_stopped_by_alarms_on_the_function(name: str) -> None:
    condition, alarms, others = FUNCTIONS[name]["DeploymentPreference"]["Alarms"]["Fn::If"]
    assert (condition, others) == ("HasAlarms", [{"Ref": "AWS::NoValue"}])
    names = [alarm["Fn::GetAtt"][1].removeprefix("Outputs.") for alarm in alarms]
    assert 0 < len(names) <= CODEDEPLOY_MOST_ALARMS
    for alarm in names:
        assert ALARMS["Outputs"][alarm]["Value"] == {"Ref": alarm}
        assert ALARMS["Resources"][alarm]["Type"] == "AWS::CloudWatch::Alarm"
    own, *general = names
    watched = ALARMS["Resources"][own]["Properties"]["Dimensions"]
    assert watched == [{"Name": "FunctionName", "Value": {"Ref": name}}]
    events = {event["Type"] for event in FUNCTIONS[name].get("Events", {}).values()}
    # What a handler answers with a 500, or leaves to be retried, is no error of Lambda's.
    expected = {"Schedule": [], "SQS": ["WorkFailed"]}
    wanted = [expected.get(event, ["UnexpectedError"]) for event in events or {"WebSocket"}]
    assert wanted == [general]


def test_dev_and_stacks_without_alarms_move_all_at_once() -> None:
    conditions = TEMPLATE["Conditions"]
    assert conditions["ShiftsGradually"] == {
        "Fn::And": [{"Condition": "HasAlarms"}, {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}]
    }


def test_migrator_is_not_moved_gradually(resources: Any) -> None:
    """The custom resource invokes its newest code, before any other function changes."""
    assert "MigratorFunctionDeploymentGroup" not in resources
    assert resources["Schema"]["Properties"]["ServiceToken"] == {
        "Fn::GetAtt": ["MigratorFunction", "Arn"]
    }


def test_callers_and_event_sources_use_the_alias(resources: Any) -> None:
    """Whatever invokes a function names its alias, and the permission is the alias's."""
    invoked: dict[str, set[str]] = {name: set() for name in MOVED}
    for logical_id, resource in resources.items():
        properties = resource["Properties"]
        match resource["Type"]:
            case "AWS::Lambda::Permission" | "AWS::Lambda::EventSourceMapping":
                target = properties["FunctionName"]["Ref"]
            case "AWS::Events::Rule":
                (only,) = properties["Targets"]
                target = only["Arn"]["Ref"]
            case "AWS::ApiGatewayV2::Integration":
                target = properties["IntegrationUri"]["Fn::Sub"][1]["FunctionArn"]["Ref"]
            case _:
                continue
        assert target.endswith("Aliaslive"), logical_id
        invoked[target.removesuffix("Aliaslive")].add(resource["Type"])
    for name, kinds in invoked.items():
        assert kinds, name
    for methods in resources["HttpApi"]["Properties"]["Body"]["paths"].values():
        for operation in methods.values():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            assert "Aliaslive}/invocations" in uri


def test_asynchronous_invocations_are_configured_on_the_alias(resources: Any) -> None:
    for name in ("SweeperFunction", "FetcherFunction"):
        assert resources[f"{name}EventInvokeConfig"]["Properties"]["Qualifier"] == "live"


# ── what publishes a version ─────────────────────────────────────────────────────────────────────


def versions(resources: dict[str, Any]) -> dict[str, str]:
    """Return the logical id of each function's version: another one is another version."""
    return {
        name: resources[alias_of(name)]["Properties"]["FunctionVersion"]["Fn::GetAtt"][0]
        for name in FUNCTIONS
    }


def built(core: str = "a") -> dict[str, Any]:
    """Return the template as "sam build" and "sam deploy" leave it: code is in S3, named by its
    content."""
    template = copy.deepcopy(TEMPLATE)
    for name, resource in template["Resources"].items():
        content = core if name == "CoreLayer" else "0"
        for key in ("ContentUri", "CodeUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://artifacts/{name}-{content}"
    return template


def test_another_layer_publishes_a_version_of_every_function() -> None:
    """The functions' own files change rarely: without this a deployment would change nothing."""
    before, after = versions(transform(built("a"))), versions(transform(built("b")))
    assert {name for name in FUNCTIONS if before[name] == after[name]} == set()


def test_another_build_publishes_a_version_of_every_function() -> None:
    """SAM does not see a parameter that changes, such as a variable's: "deploy" hashes them."""
    one = transform(built(), Build="1" * 64)
    assert versions(transform(built(), Build="1" * 64)) == versions(one)
    after = versions(transform(built(), Build="2" * 64))
    assert {name for name in FUNCTIONS if versions(one)[name] == after[name]} == set()
    # Lambda publishes no version of a function that has not changed: its description does.
    for name in FUNCTIONS:
        assert str(one[name]["Properties"]["Description"]).endswith("1" * 64)
        assert len(one[name]["Properties"]["Description"]) <= LONGEST_DESCRIPTION


def test_resources_have_no_circular_dependency(resources: Any) -> None:
    """Alarms watch functions, deployments watch alarms, and APIs call what is deployed."""
    graph = {name: set(references(resource)) for name, resource in resources.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("Alarms") < order.index("HealthFunctionDeploymentGroup")
    assert order.index("HealthFunctionDeploymentGroup") < order.index("HttpApi")
    assert order.index("HttpApi") < order.index("ApiAlarms")


def references(node: Any) -> set[str]:
    """Return the resources that a node names, in its properties and its update policy."""
    found: set[str] = set()
    match node:
        case {"DependsOn": str(name), **rest} if "Type" in node:
            found = {name} | references(rest)
        case {"DependsOn": list(names), **rest} if "Type" in node:
            found = set(names) | references(rest)
        case dict():
            for key, value in node.items():
                if key == "Ref":
                    found.add(str(value))
                elif key == "Fn::GetAtt":
                    found.add(str(value[0] if isinstance(value, list) else value.split(".")[0]))
                elif key == "Fn::Sub":
                    text = value if isinstance(value, str) else value[0]
                    found |= {part.split("}")[0].split(".")[0] for part in text.split("${")[1:]}
                    found |= references(value[1]) if isinstance(value, list) else set()
                else:
                    found |= references(value)
        case list():
            for item in node:
                found |= references(item)
    return {name for name in found if name in TEMPLATE["Resources"] or name.endswith(MADE)}


MADE = ("Aliaslive", "DeploymentGroup", "DefaultStage", "DeploymentApplication", "Role", "Stage")


# ── the edge ─────────────────────────────────────────────────────────────────────────────────────


def test_cors_allows_no_origin_by_default_and_no_secret(resources: Any) -> None:
    body = resources["HttpApi"]["Properties"]["Body"]
    condition, cors, otherwise = body["x-amazon-apigateway-cors"]["Fn::If"]
    assert (condition, otherwise) == ("HasCors", {"Ref": "AWS::NoValue"})
    assert TEMPLATE["Parameters"]["CorsOrigins"]["Default"] == ""
    assert cors["allowOrigins"] == {"Fn::Split": [",", ""]}  # the parameter's value
    assert "authorization" in cors["allowHeaders"]
    assert not [name for name in cors["allowHeaders"] if "secret" in name]
    assert "allowCredentials" not in cors
    methods = {route.method for f in load().functions.values() for route in f.routes}
    assert set(cors["allowMethods"]) == methods


def test_domains_are_made_only_when_they_are_set() -> None:
    made = {
        name: resource
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"].startswith(("AWS::ApiGatewayV2::", "AWS::Route53::"))
    }
    assert len(made) == 6
    for name, resource in made.items():
        kind = "Api" if name.startswith("Api") else "WebSocket"
        suffix = "Record" if name.endswith("Record") else "Domain"
        assert resource["Condition"] == f"Has{kind}{suffix}"
    (rule,) = TEMPLATE["Rules"].values()
    assert "DomainCertificateArn" in json.dumps(rule["Assertions"])


def test_tickets_lead_to_the_own_domain_where_there_is_one() -> None:
    plain = load().functions["RealtimeFunction"].environment["WEBSOCKET_URL"]
    own = load(parameters={"WebSocketDomainName": "events.jobs.test"})
    assert plain.endswith("/ws")
    assert own.functions["RealtimeFunction"].environment["WEBSOCKET_URL"] == (
        "wss://events.jobs.test"
    )


def test_every_throttle_is_a_parameter() -> None:
    http, socket = (
        TEMPLATE["Resources"][name]["Properties"] for name in ("HttpApi", "WebSocketApi")
    )
    limits = [
        http["DefaultRouteSettings"],
        socket["DefaultRouteSettings"],
        *http["RouteSettings"].values(),
    ]
    for limit in limits:
        assert set(limit) == {"ThrottlingBurstLimit", "ThrottlingRateLimit"}
        for value in limit.values():
            assert intrinsic(value) in ("Ref", "Fn::FindInMap")
