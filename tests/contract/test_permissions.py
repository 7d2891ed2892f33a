"""Each function may do what its code does, and nothing else.

Needed is read from the source: every ``aws.call("service", "Operation"`` in the modules that a
function's ``app.py`` reaches. Granted is read from the roles that SAM's own transform makes of
template.yaml.
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
    """template.yaml as CloudFormation sees it after SAM's transform."""
    validator = SamTemplateValidator(
        copy.deepcopy(TEMPLATE), _NoManagedPolicies(), region="us-east-1"
    )
    resources: dict[str, Any] = yaml.safe_load(validator.get_translated_template_if_valid())
    return dict(resources["Resources"])


def role_of(name: str) -> dict[str, Any]:
    """The properties of the function's role."""
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


def granted(name: str) -> set[str]:
    return {action for statement in statements(name) for action in listed(statement["Action"])}


def resources_of(name: str, service: str) -> str:
    """All that the function may use of a service, as JSON text."""
    found = [
        statement["Resource"]
        for statement in statements(name)
        if any(action.startswith(f"{service}:") for action in listed(statement["Action"]))
    ]
    return json.dumps(found)


# ── what the code does ───────────────────────────────────────────────────────────────────────────


def source(module: str) -> Path | None:
    """The file of one of our modules; ``None`` for other people's."""
    root = REPOSITORY / ("layers/core" if module.startswith("ullgetthejob") else "")
    if module.split(".")[0] not in ("ullgetthejob", "migrations"):
        return None
    path = root.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from executed(child)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(app: Path) -> dict[Path, ast.AST]:
    """Every file of ours that running *app* can load."""
    found: dict[Path, ast.AST] = {}
    waiting = [app]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = ast.parse(file.read_text())
            waiting += [path for path in map(source, imports(found[file])) if path is not None]
    return found


def aws_calls(tree: ast.AST) -> Iterator[str]:
    """The IAM action of each ``aws.call("service", "Operation", …)`` in a file."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="aws"), attr="call"), args=named):
                match named[:2]:
                    case [ast.Constant(value=str(service)), ast.Constant(value=str(operation))]:
                        model = botocore.session.get_session().get_service_model(service)
                        assert operation in model.operation_names, ast.unparse(node)
                        yield f"{model.signing_name}:{operation}"
                    case _:
                        raise AssertionError(f"what does it call? {ast.unparse(node)}")


def needed(name: str) -> set[str]:
    app = REPOSITORY / FUNCTIONS[name]["CodeUri"] / "app.py"
    found = reached(app)
    actions = {action for tree in found.values() for action in aws_calls(tree)}
    if source("ullgetthejob.realtime.sockets") in found:  # no JSON service: it speaks HTTP
        actions.add("execute-api:ManageConnections")
    return actions


# ── the tests ────────────────────────────────────────────────────────────────────────────────────


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [transformed()[name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in FUNCTIONS]
    assert len(set(roles)) == len(FUNCTIONS)
    assert all("Role" not in properties for properties in FUNCTIONS.values())


@every_function
def test_a_role_trusts_lambda_alone(name: str) -> None:
    (statement,) = role_of(name)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": ["lambda.amazonaws.com"]}


@every_function
def test_what_we_write_has_no_wildcard(name: str) -> None:
    for statement in statements(name):
        assert statement["Effect"] == "Allow"
        # The id of a connection is API Gateway's: nobody can name it beforehand.
        assert "*" not in json.dumps(statement).replace('/@connections/*"', '/@connections/id"')
        assert not {"NotAction", "NotResource"} & set(statement)


@every_function
def test_managed_policies_are_those_that_sam_adds(name: str) -> None:
    for arn in map(json.dumps, role_of(name)["ManagedPolicyArns"]):
        assert any(policy in arn for policy in MANAGED), arn


@every_function
def test_a_function_may_call_exactly_what_its_code_calls(name: str) -> None:
    assert granted(name) == needed(name)


@every_function
def test_a_function_may_read_exactly_the_secrets_that_its_variables_name(name: str) -> None:
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    named = re.findall(r"secretsmanager:\$\{(\w+)\}", json.dumps({**shared, **own}))
    allowed = re.findall(r'"Ref": "(\w+Arn)"', resources_of(name, "secretsmanager"))
    assert set(allowed) == set(named)


@every_function
def test_a_function_may_touch_exactly_the_tables_that_its_variables_name(name: str) -> None:
    own = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    named = {value["Ref"] for key, value in own.items() if key.endswith("_TABLE")}
    allowed = re.findall(r'"Fn::GetAtt": \["(\w+)", "Arn"\]', resources_of(name, "dynamodb"))
    assert set(allowed) == named


def test_the_key_is_used_only_under_a_named_encryption_context() -> None:
    of_kms = [
        statement
        for name in FUNCTIONS
        for statement in statements(name)
        if any(action.startswith("kms:") for action in listed(statement["Action"]))
    ]
    assert of_kms
    for statement in of_kms:
        keys = statement["Condition"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"]
        assert keys
        # "for all values" holds when there are none; Null demands one.
        assert statement["Condition"]["Null"] == {"kms:EncryptionContextKeys": "false"}


def test_the_protocol_of_each_service_is_what_its_model_says() -> None:
    for service, (target, version) in PROTOCOLS.items():
        metadata = botocore.session.get_session().get_service_model(service).metadata
        assert metadata["targetPrefix"] == target
        assert metadata["jsonVersion"] == version
        assert metadata["endpointPrefix"] == service


def test_nothing_that_is_deployed_uses_the_sdk() -> None:
    for folder in ("layers/core/ullgetthejob", "functions", "migrations"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            assert not re.search(r"^\s*(import|from) boto(3|core)", file.read_text(), re.M), file
