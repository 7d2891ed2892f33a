"""Each function has exactly the permissions that its code needs.

The needed ones are read from the source: every ``aws.call("service", "Operation"``, and every
``dynamodb.operation(``, that a function's ``app.py`` can reach by calls
(:mod:`tests.contract.call_graph`), with the tables, queues and keys of the variables in the same
code. The granted ones are read from the roles that SAM's own transform makes of template.yaml. Both
are sets of ``(action, resource)``.

A new call needs no change here if its operation is a literal and its module names one table.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import yaml
from samcli.lib.translate.sam_template_validator import (  # type: ignore[import-untyped]
    SamTemplateValidator,
)

from local.template.cloudformation import read
from tests.contract.call_graph import CallGraph, Unit, module, source
from ullgetthejob.platform import settings
from ullgetthejob.platform.aws import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = read(REPOSITORY / "template.yaml")
FUNCTIONS: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)

# AWS's own policies that SAM adds for logs, traces, network interfaces and queues.
MANAGED = (
    "AWSLambdaBasicExecutionRole",
    "AWSXrayWriteOnlyAccess",
    "AWSLambdaVPCAccessExecutionRole",
    "AWSLambdaSQSQueueExecutionRole",
)


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        raise AssertionError("a statement names a managed policy; write its statements instead")


@cache
def transformed() -> dict[str, Any]:
    """Return the resources of template.yaml after SAM's transform."""
    validator = SamTemplateValidator(
        copy.deepcopy(TEMPLATE), _NoManagedPolicies(), region="us-east-1"
    )
    resources: dict[str, Any] = yaml.safe_load(validator.get_translated_template_if_valid())
    return dict(resources["Resources"])


def role_of(name: str) -> dict[str, Any]:
    """Return the properties of the function's role."""
    logical_id, attribute = transformed()[name]["Properties"]["Role"]["Fn::GetAtt"]
    assert attribute == "Arn"
    return dict(transformed()[logical_id]["Properties"])


def statements(name: str) -> list[dict[str, Any]]:
    return [
        statement
        for policy in role_of(name).get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def of_kms(name: str) -> list[dict[str, Any]]:
    return [
        statement for statement in statements(name) if "kms:" in json.dumps(statement["Action"])
    ]


def named(resource: Any) -> Iterator[str]:
    """Yield the logical ids and parameters that a Resource element names, in all its branches."""
    match resource:
        case {"Fn::GetAtt": [str(name), "Arn"]} | {"Ref": str(name)}:
            yield name
        case {"Fn::If": [_, *branches]}:
            for branch in branches:
                yield from named(branch)
        case {"Fn::Sub": str(text)}:
            text = re.sub(r"arn:.*:identity/\$\{(\w+)\}", r"\1", text)
            yield re.sub(r".*\$\{(WebSocketApi)\}/ws/(\w+)/@connections/\*", r"\1 \2", text)
        case list():
            for item in resource:
                yield from named(item)
        case _:
            raise AssertionError(f"unknown form of a resource: {resource}")


def granted(name: str) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for statement in statements(name)
        for action in listed(statement["Action"])
        for resource in named(statement["Resource"])
        if resource != "AWS::NoValue"
    }


# ── what the code does ───────────────────────────────────────────────────────────────────────────

AWS = "ullgetthejob.platform.aws"
DYNAMODB = "ullgetthejob.platform.dynamodb"  # its functions have the names of the operations
SOCKETS = "ullgetthejob.realtime.sockets"
# Modules that get the name of their table as an argument: the variable is read elsewhere.
TABLES = {"ullgetthejob.hh.pacer": "PACER_TABLE"}
PREFIXES = {"sesv2": "ses"}  # of the actions of a service with another name
ACTIONS = {"SendMessageBatch": "SendMessage"}  # a batch is allowed by the action of its parts
KEYS = {"Encrypt": ["TOKEN_KEY_ID"], "Decrypt": ["TOKEN_KEY_ID", "TOKEN_KEY_ID_PREVIOUS"]}
SETTINGS = "ullgetthejob.platform.settings"
# Set by Lambda, or read by the libraries and the common code of all functions.
COMMON = ("AWS_", "POWERTOOLS_", "PYDANTIC_", "SSL_CERT_FILE", "_X_AMZN_TRACE_ID")
# The levels of authentication that read a setting: all routes share the code.
LEVELS = {
    "ADMIN_SECRET": {"ADMIN"},
    "ADMIN_SECRET_PREVIOUS": {"ADMIN"},
    "ORCHESTRATOR_SECRET": {"SERVICE", "USER_OR_SERVICE"},
    "ORCHESTRATOR_SECRET_PREVIOUS": {"SERVICE", "USER_OR_SERVICE"},
    "REQUIRE_SIGNATURE": {"SERVICE", "USER_OR_SERVICE"},
    "TELEGRAM_WEBHOOK_SECRET": {"TELEGRAM"},
}
# The client of hh.ru renews a person's token and the application's own through one interface.
OTHER_TOKENS = {
    "SearchFunction": {"TOKEN_KEY_ID_PREVIOUS"},
    "FetchWorkerFunction": {"TOKEN_KEY_ID_PREVIOUS"},
    "OauthFunction": {"HH_ACCESS_TOKEN"},
}


def app(name: str) -> str:
    return f"{FUNCTIONS[name]['CodeUri'].replace('/', '.')}.app"


@cache
def graph(name: str) -> CallGraph:
    return CallGraph(app(name))


def variables(name: str) -> dict[str, Any]:
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    return {**shared, **FUNCTIONS[name].get("Environment", {}).get("Variables", {})}


def aws_calls(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield ``(module, service, operation)`` of each ``aws.call("service", "Operation", …)``, and
    of each ``dynamodb.operation(…)``."""
    for unit, node in graph(name).nodes():
        if not isinstance(node, ast.Call) or unit.module in (AWS, DYNAMODB):
            continue
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="aws"), attr="call"),
                args=[ast.Constant(value=str(service)), ast.Constant(value=str(operation)), *_],
            ):
                model = botocore.session.get_session().get_service_model(service)
                assert operation in model.operation_names, ast.unparse(node)
                yield unit.module, service, operation
            case ast.Call(func=ast.Attribute(value=ast.Name(id="dynamodb"), attr=function)):
                yield unit.module, "dynamodb", operation_of(function)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="aws"), attr="call")):
                raise AssertionError(f"service and operation are no literals: {ast.unparse(node)}")


def operation_of(function: str) -> str:
    """Return the operation of a function of platform/dynamodb.py: ``put_item`` is ``PutItem``."""
    return function.title().replace("_", "")


def settings_required(name: str) -> set[str]:
    """Return the settings that the function's app.py passes to ``settings.require``, and
    those that are always checked."""
    path = source(app(name))
    assert path is not None
    (call,) = re.findall(r"^settings\.require\((.*?)\)$", path.read_text(), re.M | re.S)
    found: list[str] = []
    for constant in ("EVERY_FUNCTION", *re.findall(r"settings\.(\w+)", call)):
        value = getattr(settings, constant)
        found += [node.name for node in (value if isinstance(value, tuple) else (value,))]
    assert len(found) == len(set(found)), f"{name} requires a setting twice"
    return set(found)


@cache
def settings_read(name: str) -> set[str]:
    """Return the settings that the function's code may read, but for those of all functions."""
    return {
        node.attr
        for unit, node in graph(name).nodes()
        if unit.module != SETTINGS and unit != Unit(app(name), "")
        if isinstance(node, ast.Attribute)
        if ast.unparse(node.value) == "settings" and node.attr.isupper()
        if not node.attr.startswith(COMMON) and not _is_other_level(name, node.attr)
    } - OTHER_TOKENS.get(name, set())


def _is_other_level(name: str, setting: str) -> bool:
    """Return whether only routes with another authentication than the function's read it."""
    path = source(app(name))
    assert path is not None
    own = set(re.findall(r"auth=(\w+)", path.read_text()))
    return bool(own) and setting in LEVELS and not own & LEVELS[setting]


def _encrypts(unit: Unit) -> bool:
    owner = module(unit.module)
    return owner is not None and "encryption" in owner.imports


def table_of(module_name: str) -> str:
    """Return the variable of the one table that a module uses."""
    path = source(module_name)
    assert path is not None
    found = set(re.findall(r"settings\.([A-Z_]+_TABLE)", path.read_text())) or {
        TABLES.get(module_name, "")
    }
    assert len(found) == 1, f"{module_name} must name exactly one table"
    return str(found.pop())


def needed(name: str) -> set[tuple[str, str]]:
    found = {
        (f"{PREFIXES.get(service, service)}:{ACTIONS.get(operation, operation)}", resource)
        for module_name, service, operation in aws_calls(name)
        if operation != "BatchGetSecretValue"  # has its own policy and test
        for resource in resources(name, module_name, service, operation)
    }
    for method, verb in (("post", "POST"), ("close", "DELETE"), ("is_gone", "GET")):
        if Unit(SOCKETS, f"Sockets.{method}") in graph(name).units:
            found.add(("execute-api:ManageConnections", f"WebSocketApi {verb}"))
    return found


def resources(name: str, module_name: str, service: str, operation: str) -> Iterator[str]:
    """Yield the resources of a call in the module *module_name*, by logical id or parameter."""
    own = variables(name)
    match service:
        case "dynamodb":
            yield from named(own[table_of(module_name)])
        case "sqs":
            for queue in settings_read(name):
                if queue.endswith("_QUEUE_URL"):
                    yield from named(own[queue])
        case "kms":
            for key in set(KEYS[operation]) & set(own):
                yield from named(own[key])
        case "sesv2":  # the sender's identity, whose name is a parameter
            yield from re.findall(r"identity/\$\{(\w+)\}", json.dumps(FUNCTIONS[name]["Policies"]))
        case "secretsmanager":
            yield from re.findall(r"secretsmanager:\$\{(\w+)\}", json.dumps(own))
        case _:
            raise AssertionError(f"{module_name}: resources of {service} are unknown here")


# ── the tests ────────────────────────────────────────────────────────────────────────────────────


def test_every_function_has_its_own_role() -> None:
    roles = [transformed()[name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in FUNCTIONS]
    assert len(set(roles)) == len(FUNCTIONS)
    assert all("Role" not in properties for properties in FUNCTIONS.values())


@every_function
def test_role_trusts_only_lambda(name: str) -> None:
    (statement,) = role_of(name)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": ["lambda.amazonaws.com"]}


@every_function
def test_own_policies_have_no_wildcard(name: str) -> None:
    for statement in statements(name):
        assert statement["Effect"] == "Allow"
        # The id of a connection is assigned by API Gateway and cannot be known in advance.
        assert "*" not in json.dumps(statement).replace('/@connections/*"', '/@connections/id"')
        assert not {"NotAction", "NotResource"} & set(statement)


@every_function
def test_managed_policies_are_those_that_sam_adds(name: str) -> None:
    for arn in map(json.dumps, role_of(name)["ManagedPolicyArns"]):
        assert any(policy in arn for policy in MANAGED), arn


@every_function
def test_function_may_call_exactly_what_its_code_calls(name: str) -> None:
    assert granted(name) == needed(name)


@every_function
def test_function_requires_exactly_the_settings_it_reads(name: str) -> None:
    assert settings_required(name) == settings_read(name)


@every_function
def test_template_sets_exactly_the_required_settings(name: str) -> None:
    """A variable may name a secret, to which the function then has access. One with a default may
    be left to it."""
    given = {variable for variable in variables(name) if not variable.startswith(COMMON)}
    required = settings_required(name)
    assert given <= required
    assert {v for v in required - given if getattr(settings, v).default is None} == set()


@every_function
def test_key_is_allowed_for_used_contexts_only(name: str) -> None:
    """The converse cannot be derived from the source: the client of hh.ru renews a person's token
    and the application's own through the same interface."""
    used = {
        key.value
        for unit, node in graph(name).nodes()
        if isinstance(node, ast.Dict) and _encrypts(unit)
        for key in node.keys
        if isinstance(key, ast.Constant) and len(node.keys) == 1
    }
    for statement in of_kms(name):
        keys = statement["Condition"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"]
        assert set(keys) <= used


def test_secrets_key_is_used_through_secrets_manager_only() -> None:
    policy = TEMPLATE["Resources"]["SecretsKeyPolicy"]
    assert policy["Condition"] == "HasSecretsKey"
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Resource"] == {"Ref": "SecretsKeyArns"}
    assert statement["Condition"]["StringEquals"]["kms:ViaService"] == {
        "Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"
    }
    readers = {name for name in FUNCTIONS if "secretsmanager:" in json.dumps(variables(name))}
    roles = {role["Ref"] for role in policy["Properties"]["Roles"]}
    assert roles == {f"{name}Role" for name in readers}
    assert roles <= set(transformed())


def test_functions_with_several_secrets_may_batch_read() -> None:
    policy = TEMPLATE["Resources"]["SecretsBatchPolicy"]["Properties"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:BatchGetSecretValue"
    assert statement["Resource"] == "*"  # AWS: this action cannot be limited to a resource
    reads = {
        name: set(re.findall(r"secretsmanager:\$\{(\w+)\}", json.dumps(variables(name))))
        for name in FUNCTIONS
    }
    several = {f"{name}Role" for name, arns in reads.items() if len(arns) > 1}
    assert several
    assert {role["Ref"] for role in policy["Roles"]} == several


def test_key_needs_a_named_encryption_context() -> None:
    found = [statement for name in FUNCTIONS for statement in of_kms(name)]
    assert found
    for statement in found:
        keys = statement["Condition"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"]
        assert keys
        # "ForAllValues" is true without any value; "Null" demands one.
        assert statement["Condition"]["Null"] == {"kms:EncryptionContextKeys": "false"}


def test_service_protocol_matches_its_botocore_model() -> None:
    for service, (target, version) in PROTOCOLS.items():
        metadata = botocore.session.get_session().get_service_model(service).metadata
        assert metadata["targetPrefix"] == target
        assert metadata["jsonVersion"] == version
        assert metadata["endpointPrefix"] == service


def test_functions_for_dynamodb_call_operations_of_their_name() -> None:
    found = module(DYNAMODB)
    assert found is not None
    called = {
        (name, call)
        for name, trees in found.units.items()
        for tree in trees
        for call in re.findall(r"aws\.call\('dynamodb', '(\w+)'", ast.unparse(tree))
    }
    assert len(called) == 5
    assert called == {(name, operation_of(name)) for name, _ in called}


def test_deployed_code_does_not_use_the_sdk() -> None:
    for folder in ("layers/core/ullgetthejob", "functions", "migrations"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            assert not re.search(r"^\s*(import|from) boto(3|core)", file.read_text(), re.M), file
