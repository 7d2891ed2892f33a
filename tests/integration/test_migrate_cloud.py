"""The operator's migration of a stack: moto's CloudFormation, and a stub of Lambda."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import botocore.exceptions
import pytest
from moto import mock_aws

from local import migrate_cloud
from tests.fixtures.http_servers import Handler, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = "ullgetthejob-core-test"


class Lambda(Server):
    """A stub of ``Invoke`` with scripted responses, which records its requests."""

    response: tuple[int, dict[str, str], Any] = (200, {}, None)

    def __init__(self) -> None:
        super().__init__(LambdaHandler)
        self.asked: list[tuple[str, Any]] = []


class LambdaHandler(Handler):
    server: Lambda

    def respond(self) -> None:
        self.server.asked.append((self.path, json.loads(self.read_body())))
        status, headers, content = self.server.response
        self.answer(status, json.dumps(content).encode(), headers)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def lambda_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    with Lambda() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
        yield server


def deploy(output: str) -> None:
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": "the-migrator",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        },
    }
    template = {"Resources": {"It": table}, "Outputs": {output: {"Value": {"Ref": "It"}}}}
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))


@mock_aws
def test_migrator_is_found_by_the_stack_output() -> None:
    deploy("MigratorFunctionName")
    assert migrate_cloud.migrator_of(STACK) == "the-migrator"


@mock_aws
def test_stack_without_a_migrator_is_reported() -> None:
    deploy("SomethingElse")
    with pytest.raises(LookupError, match=STACK):
        migrate_cloud.migrator_of(STACK)


def test_result_of_the_function_is_returned(lambda_service: Lambda) -> None:
    lambda_service.response = (200, {}, {"revision_after": "0003"})
    assert migrate_cloud.migrate("it", {"revision": "head"}) == {"revision_after": "0003"}
    path = "/2015-03-31/functions/it/invocations"
    assert lambda_service.asked == [(path, {"revision": "head"})]


def test_function_error_is_reported_with_its_message(lambda_service: Lambda) -> None:
    headers = {"x-amz-function-error": "Unhandled"}
    lambda_service.response = (200, headers, {"errorMessage": "another migrator is at work"})
    with pytest.raises(migrate_cloud.MigrationFailed, match="another migrator is at work"):
        migrate_cloud.migrate("it", {})


def test_migration_is_never_retried(lambda_service: Lambda) -> None:
    lambda_service.response = (500, {}, {"message": "Service failure"})
    with pytest.raises(botocore.exceptions.ClientError):
        migrate_cloud.migrate("it", {})
    assert len(lambda_service.asked) == 1
