"""Credentials of Lambda's variables, and of a container's endpoint over real HTTP."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.fixtures.http_servers import Handler, Server
from ullgetthejob.platform import aws, aws_credentials
from ullgetthejob.platform.aws_credentials import CredentialsUnavailable

VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


class Endpoint(Server):
    """The endpoint of a container: *token*: the one that it takes; *life*: of what it returns."""

    def __init__(self):
        super().__init__(EndpointHandler)
        self.token, self.life, self.asked = "the-token", timedelta(hours=6), 0
        self.content = None


class EndpointHandler(Handler):
    def respond(self):
        self.server.asked += 1
        status = 200 if self.headers["authorization"] == self.server.token else 401
        expires_at = datetime.now(UTC) + self.server.life
        content = self.server.content or {
            "AccessKeyId": f"KEY{self.server.asked}",
            "SecretAccessKey": "secret-of-the-endpoint",
            "Token": "session",
            "Expiration": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
        }
        self.answer(status, json.dumps(content).encode())


@pytest.fixture
def endpoint(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with Endpoint() as server:
        url = f"{server.url}/v1/credentials?role=core"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", server.token)
        aws_credentials.forget()
        yield server
    aws_credentials.forget()


def test_variables_come_first(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-lambda")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert aws_credentials.current().access_key == "of-lambda"
    assert endpoint.asked == 0


def test_endpoint_is_asked_once_until_credentials_nearly_expire(endpoint):
    assert {aws_credentials.current().access_key for _ in range(3)} == {"KEY1"}
    aws_credentials.forget()
    endpoint.life = timedelta(minutes=4)
    assert aws_credentials.current().access_key == "KEY2"
    assert aws_credentials.current().access_key == "KEY3"


def test_threads_fetch_once(endpoint):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(aws_credentials.current())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), endpoint.asked) == (8, 1)


def test_token_of_the_file_is_read_again(endpoint, monkeypatch, tmp_path):
    """EKS replaces the file before the token in it expires."""
    file = tmp_path / "token"
    file.write_text("the-token\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "another")  # the file comes first
    endpoint.life = timedelta(minutes=1)
    assert aws_credentials.current().access_key == "KEY1"
    endpoint.token = "the-next-token"
    file.write_text("the-next-token")
    assert aws_credentials.current().access_key == "KEY2"


def test_credentials_stay_in_use_until_they_expire(endpoint):
    endpoint.life = timedelta(minutes=2)
    assert aws_credentials.current().access_key == "KEY1"
    endpoint.token = "another"
    assert aws_credentials.current().access_key == "KEY1"
    aws_credentials.forget()
    with pytest.raises(CredentialsUnavailable, match="answered 401"):
        aws_credentials.current()


def test_request_is_signed_with_them(endpoint):
    headers = aws.signed({"host": "h"}, b"", "sqs", "eu-central-1")
    assert "Credential=KEY1/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "session"


def test_call_without_credentials_is_an_error_of_aws(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setattr(aws, "BACKOFF_S", 0.001)
    aws.reset_connections()
    endpoint.token = "another"
    with pytest.raises(aws.AwsError, match="Unreachable"):
        aws.call("sqs", "SendMessage", {})
    assert endpoint.asked == aws.ATTEMPTS
    aws.reset_connections()


@pytest.mark.parametrize("answer", [{"Code": "no"}, ["x"], {"AccessKeyId": "a"}])
def test_answer_without_credentials_is_not_quoted(endpoint, answer):
    endpoint.content = answer
    with pytest.raises(CredentialsUnavailable, match="endpoint returned no credentials"):
        aws_credentials.current()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x", "neither local nor encrypted"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nHost: evil", "has a line break"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such/file", "cannot be read"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x", "ConnectionRefusedError"),
    ],
)
def test_endpoint_that_cannot_be_asked_is_refused(endpoint, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(CredentialsUnavailable, match=said):
        aws_credentials.current()
    assert endpoint.asked == 0


def test_neither_variables_nor_endpoint_names_the_variable(endpoint, monkeypatch):
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    with pytest.raises(aws.settings.SettingMissing, match="AWS_ACCESS_KEY_ID"):
        aws_credentials.current()
