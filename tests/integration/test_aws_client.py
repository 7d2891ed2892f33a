"""The client of AWS's JSON services: closed connections, temporary failures, cached secrets."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.fixtures.http_servers import Handler, Server
from ullgetthejob.platform import aws, secrets, settings
from ullgetthejob.platform.errors import Unavailable


@contextmanager
def serving(handler, monkeypatch):
    """Serve as AWS."""
    with Server(handler) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        aws.reset_connections()
        secrets.clear_cache()
        yield
        aws.reset_connections()


@contextmanager
def scripted(monkeypatch, *answers):
    """Run a service that gives these responses in order: (status, content), or "hang up"; yield the
    requests that it receives."""
    remaining = list(answers)
    seen = []

    class Scripted(Handler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            seen.append((self.headers["x-amz-target"], json.loads(self.read_body())))
            answer = remaining.pop(0)
            if answer == "hang up":
                self.close_connection = True
                return
            status, content = answer
            self.answer(
                status, content if isinstance(content, bytes) else json.dumps(content).encode()
            )

    with serving(Scripted, monkeypatch):
        yield seen


def refusal(code):
    return 400, {"__type": f"com.amazonaws#{code}", "message": "no"}


def test_response_content_is_returned(monkeypatch):
    with scripted(monkeypatch, (200, {"a": 1})) as seen:
        assert aws.call("dynamodb", "UpdateItem", {"TableName": "T"}) == {"a": 1}
    assert seen == [("DynamoDB_20120810.UpdateItem", {"TableName": "T"})]


def test_refusal_is_raised_at_once_with_its_content(monkeypatch):
    failed = refusal("ConditionalCheckFailedException")
    failed[1]["Item"] = {"pk": {"S": "x"}}
    with scripted(monkeypatch, failed) as seen, pytest.raises(aws.AwsError) as raised:
        aws.call("dynamodb", "UpdateItem", {})
    assert raised.value.code == "ConditionalCheckFailedException"
    assert raised.value.content["Item"] == {"pk": {"S": "x"}}
    assert len(seen) == 1


@pytest.mark.parametrize(
    "stumble",
    [
        refusal("ThrottlingException"),
        (500, {"__type": "com.amazonaws#InternalServerError"}),
        (503, b"<html>"),
        "hang up",
    ],
    ids=["throttled", "internal", "not-json", "hang-up"],
)
def test_temporary_failure_is_retried(monkeypatch, stumble):
    with scripted(monkeypatch, stumble, (200, {"a": 1})) as seen:
        assert aws.call("kms", "Encrypt", {}) == {"a": 1}
    assert len(seen) == 2


def test_third_temporary_failure_is_raised(monkeypatch):
    with (
        scripted(monkeypatch, *[refusal("ThrottlingException")] * 3) as seen,
        pytest.raises(aws.AwsError, match="ThrottlingException"),
    ):
        aws.call("dynamodb", "UpdateItem", {})
    assert len(seen) == 3


def test_closed_idle_connection_is_replaced(monkeypatch):
    with scripted(monkeypatch, (200, {}), "hang up", (200, {"a": 2})):
        aws.call("dynamodb", "UpdateItem", {})
        assert aws.call("dynamodb", "UpdateItem", {}) == {"a": 2}


def test_calls_of_two_threads_run_concurrently(monkeypatch):
    """Each gets a response only when both have arrived; a third call opens no third connection."""
    both = threading.Barrier(2, timeout=60)
    opened = []

    class Meeting(Handler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            opened.append(self.client_address)

        def respond(self):
            body = json.loads(self.read_body())
            if body["meet"]:
                both.wait()
            self.answer(200, json.dumps({"given": body["number"]}).encode())

    def give(number, *, meet):
        return aws.call("dynamodb", "UpdateItem", {"number": number, "meet": meet})

    with serving(Meeting, monkeypatch):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda number: give(number, meet=True), (1, 2)))
        assert answers == [{"given": 1}, {"given": 2}]
        assert give(3, meet=False) == {"given": 3}
    assert len(opened) == 2


def test_missing_server_is_unreachable(monkeypatch):
    with scripted(monkeypatch):
        pass
    with pytest.raises(aws.AwsError, match="Unreachable"):
        aws.call("dynamodb", "UpdateItem", {})
    aws.reset_connections()


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
        ("kms", "AWS_ENDPOINT_URL_KMS"),
        ("secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
        ("sqs", "AWS_ENDPOINT_URL_SQS"),
    ],
)
def test_endpoint_of_a_service_applies_to_it_alone(monkeypatch, service, variable):
    own, common = {"endpoint": service}, {"endpoint": "any"}
    with scripted(monkeypatch, (200, own), (200, common)) as seen:
        monkeypatch.setenv(variable, os.environ["AWS_ENDPOINT_URL"])
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert aws.call(service, "Anything", {}) == own
        for other in sorted(aws.PROTOCOLS.keys() - {service}):
            with pytest.raises(aws.AwsError, match="Unreachable"):
                aws.call(other, "Anything", {})
        monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ[variable])
        monkeypatch.setenv(variable, "")
        aws.reset_connections()
        assert aws.call(service, "Anything", {}) == common
    assert len(seen) == 2


A_SECRET = settings.ORCHESTRATOR_SECRET
ANOTHER_SECRET, ANOTHER_PART = settings.HH_CLIENT_ID, settings.HH_CLIENT_SECRET


def secret_of(monkeypatch, reference, *answers):
    monkeypatch.setenv(A_SECRET.name, reference)
    with scripted(monkeypatch, *answers) as seen:
        return secrets.read(A_SECRET), secrets.read(A_SECRET), len(seen)


def test_reference_is_read_once_and_cached(monkeypatch):
    read = secret_of(monkeypatch, "secretsmanager:arn:1", (200, {"SecretString": "s3"}))
    assert read == ("s3", "s3", 1)


def test_key_of_a_json_secret_is_read(monkeypatch):
    answer = (200, {"SecretString": '{"client_id": "app", "port": 5432}'})
    assert secret_of(monkeypatch, "secretsmanager:arn:1#client_id", answer)[0] == "app"
    assert secret_of(monkeypatch, "secretsmanager:arn:1#port", answer)[0] == "5432"
    with pytest.raises(Unavailable):
        secret_of(monkeypatch, "secretsmanager:arn:1#other", answer)


def test_missing_previous_version_is_none(monkeypatch):
    gone = refusal("ResourceNotFoundException")
    assert secret_of(monkeypatch, "secretsmanager:arn:1@AWSPREVIOUS", gone) == (None, None, 1)
    with pytest.raises(Unavailable):
        secret_of(monkeypatch, "secretsmanager:arn:1", gone)
    with pytest.raises(Unavailable):
        secret_of(monkeypatch, "secretsmanager:arn:1@AWSPREVIOUS", refusal("AccessDeniedException"))


def test_literal_value_makes_no_call(monkeypatch):
    assert secret_of(monkeypatch, "literal-value") == ("literal-value", "literal-value", 0)
    assert secret_of(monkeypatch, "") == (None, None, 0)


TWO = {"SecretIdList": ["arn:1", "arn:2"]}


def batch(**secrets):
    """Return Secrets Manager's response to BatchGetSecretValue."""
    found = [{"ARN": f"arn:{name[1:]}", "SecretString": text} for name, text in secrets.items()]
    return 200, {"SecretValues": found, "Errors": []}


@pytest.fixture
def two_secrets(monkeypatch):
    monkeypatch.setenv(A_SECRET.name, "secretsmanager:arn:1")
    monkeypatch.setenv("ORCHESTRATOR_SECRET_PREVIOUS", "secretsmanager:arn:1@AWSPREVIOUS")
    monkeypatch.setenv(ANOTHER_SECRET.name, "secretsmanager:arn:2#key")
    monkeypatch.setenv(ANOTHER_PART.name, "secretsmanager:arn:2#part")


def operations(seen):
    return [target.partition(".")[2] for target, _ in seen]


def test_secrets_are_read_in_one_call(monkeypatch, two_secrets):
    with scripted(monkeypatch, batch(_1="one", _2='{"key": "two", "part": "three"}')) as seen:
        read = [secrets.read(setting) for setting in (A_SECRET, ANOTHER_SECRET, ANOTHER_PART)]
    assert read == ["one", "two", "three"]
    assert operations(seen) == ["BatchGetSecretValue"]
    assert seen[0][1] == TWO


def test_secret_missing_in_the_batch_is_read_individually(monkeypatch, two_secrets):
    answers = [batch(_1="one"), (200, {"SecretString": '{"key": "two"}'})]
    with scripted(monkeypatch, *answers) as seen:
        assert [secrets.read(A_SECRET), secrets.read(ANOTHER_SECRET)] == ["one", "two"]
    assert operations(seen) == ["BatchGetSecretValue", "GetSecretValue"]


def test_refused_batch_read_is_not_repeated(monkeypatch, two_secrets):
    answers = [
        refusal("AccessDeniedException"),
        (200, {"SecretString": '{"key": "two"}'}),
        (200, {"SecretString": "one"}),
    ]
    with scripted(monkeypatch, *answers) as seen:
        assert [secrets.read(ANOTHER_SECRET), secrets.read(A_SECRET)] == ["two", "one"]
    assert operations(seen) == ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue"]


def test_secret_of_the_local_aws_is_read(monkeypatch, local_aws, dynamodb_tables):
    manager = local_aws.client("secretsmanager")
    arn = manager.create_secret(Name="test/rotating", SecretString="old")["ARN"]
    manager.put_secret_value(SecretId=arn, SecretString="new")
    monkeypatch.setenv("ORCHESTRATOR_SECRET", f"secretsmanager:{arn}")
    monkeypatch.setenv("ORCHESTRATOR_SECRET_PREVIOUS", f"secretsmanager:{arn}@AWSPREVIOUS")
    assert secrets.read(settings.ORCHESTRATOR_SECRET) == "new"
    assert secrets.read(settings.ORCHESTRATOR_SECRET_PREVIOUS) == "old"


def test_secrets_of_the_local_aws_are_read_in_one_call(monkeypatch, local_aws, dynamodb_tables):
    manager = local_aws.client("secretsmanager")
    for name in ("ORCHESTRATOR_SECRET", "SECRET_KEY_BASE"):
        arn = manager.create_secret(Name=f"several/{name}", SecretString=f"of {name}")["ARN"]
        monkeypatch.setenv(name, f"secretsmanager:{arn}")
    made = []
    call = aws.call
    monkeypatch.setattr(aws, "call", lambda *request: made.append(request[1]) or call(*request))
    assert secrets.read(settings.ORCHESTRATOR_SECRET) == "of ORCHESTRATOR_SECRET"
    assert secrets.read(settings.SECRET_KEY_BASE) == "of SECRET_KEY_BASE"
    assert made == ["BatchGetSecretValue"]
