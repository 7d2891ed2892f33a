"""``ugtj cloud check`` and ``init``: moto's server as AWS, and Postgres for the database.

Moto lacks Lambda's account settings (tests/fixtures/operator.py stands in for them). A socket that
offers an untrusted certificate stands in for a Postgres with one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading

import pytest
from psycopg.conninfo import conninfo_to_dict

from cli import aws_client
from cli.commands.cloud import deployment, parameters
from tests.fixtures import certificates

SIGNING = "s" * 40
# moto creates no AWS::ApiGateway::Account, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")
AGENT = "UllGetTheJob/1.0 (me@jobs.test)"
REDIRECT = "https://jobs.test/callback"
APPLICATION = {"client_id": "an-id", "client_secret": "the-application-secret"}


@pytest.fixture
def ready(operator, database_url):
    """An account in which all is as it should be."""
    grant_log_role(operator)
    operator.values = {
        "DatabaseSecretArn": operator.create_secret("db", database_url),
        "CoreSecretArn": operator.create_secret("core", "the-shared-secret"),
        "SigningSecretArn": operator.create_secret("signing", SIGNING),
        "HhApplicationSecretArn": operator.create_secret("hh", APPLICATION),
        "HhUserAgent": AGENT,
        "HhRedirectUri": REDIRECT,
    }
    operator.write(**operator.values)
    return operator


def grant_log_role(operator):
    operator.client("apigateway").update_account(
        patchOperations=[
            {"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::1:role/logs"}
        ]
    )


def only(problems):
    (problem,) = problems
    assert problem["message"].count("\n") == 0
    return problem["message"], problem["step"]


def set_secret(operator, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    operator.client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)


def test_account_in_order_has_no_problem(ready):
    code, out, _ = ready.run("check")
    assert code == 0
    assert "No problems" in out
    assert "Postgres" in out


def test_missing_credentials_are_reported(ready, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    message, step = only(ready.problems())
    assert (message, step) == ("there are no AWS credentials", aws_client.LOG_IN)


def test_missing_region_is_reported(ready, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    message, step = only(ready.problems())
    assert "region" in message
    assert step.startswith("export AWS_REGION=")


@pytest.mark.parametrize(
    ("limit", "concurrency", "needed", "fitting"),
    [(200, "full", "160", "small"), (10, "full", "160", "none"), (110, "small", "63", "none")],
)
def test_low_quota_is_reported_with_what_fits(ready, limit, concurrency, needed, fitting):
    ready.account.limit = ready.account.unreserved = limit
    ready.write(**ready.values, Concurrency=concurrency)
    message, step = only(ready.problems())
    assert f"reserve {needed} of" in message
    assert f"Concurrency: {fitting}" in step
    assert "aws service-quotas request-service-quota-increase" in step
    ready.write(**ready.values, Concurrency=fitting)
    assert ready.problems() == []


def test_quota_that_the_own_stack_uses_is_counted_as_free(ready):
    ready.account.limit, ready.account.unreserved = 260, 103
    assert "reserve 160" in only(ready.problems())[0]
    create_stack(ready, "CREATE_COMPLETE", Concurrency="full")
    assert ready.problems() == []


def test_missing_role_for_logs_is_reported(ready):
    ready.client("apigateway").update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": ""}]
    )
    message, step = only(ready.problems())
    assert "API Gateway has no role" in message
    assert step == "ugtj cloud init --stage dev"


def test_missing_parameter_is_reported(ready):
    del ready.values["HhUserAgent"]
    ready.write(**ready.values)
    assert only(ready.problems())[0] == "parameters-dev.yaml lacks HhUserAgent"


def test_missing_file_is_reported_with_its_command(ready):
    ready.file.unlink()
    message, step = only(ready.problems())
    assert "there is no parameters-dev.yaml" in message
    assert step == "ugtj cloud init --stage dev"


def test_parameter_that_the_stack_remembers_is_not_missing(ready):
    ready.file.unlink()
    create_stack(ready, "CREATE_COMPLETE", **ready.values)
    assert ready.problems() == []


def test_misspelt_parameter_is_reported_with_the_likely_name(ready):
    ready.write(**ready.values, LogRetentionDay="7")
    message, step = only(ready.problems())
    assert "no parameter LogRetentionDay" in message
    assert "LogRetentionDays" in step


def test_secret_instead_of_its_arn_is_not_quoted(ready):
    ready.write(**{**ready.values, "CoreSecretArn": "the-shared-secret"})
    code, out, err = ready.run("check", "--json")
    assert code == 1
    assert "CoreSecretArn must be an ARN of secretsmanager" in out
    assert "the-shared-secret" not in out + err


def test_file_that_is_no_yaml_is_reported_with_its_line(ready):
    ready.file.write_text("A: b\n\tC: [d\n")
    assert only(ready.problems())[0] == "parameters-dev.yaml is not YAML at line 2"


def test_data_of_the_example_is_not_a_registration(ready):
    ready.write(**{**ready.values, "HhUserAgent": "UllGetTheJob/1.0 (operator@example.org)"})
    assert "hh.ru needs the operator's own" in only(ready.problems())[0]


def test_missing_secret_is_reported(ready):
    arn = ready.values["CoreSecretArn"].replace("secret:core-", "secret:other-")
    ready.write(**{**ready.values, "CoreSecretArn": arn})
    message, step = only(ready.problems())
    assert message == f"the secret of CoreSecretArn does not exist: {arn}"
    assert step == "ugtj cloud init --stage dev"


def test_secret_of_another_region_is_reported(ready):
    arn = ready.values["CoreSecretArn"].replace("eu-central-1", "eu-north-1")
    ready.write(**{**ready.values, "CoreSecretArn": arn})
    assert "is in eu-north-1, the stack in eu-central-1" in only(ready.problems())[0]


def test_secret_marked_for_deletion_is_reported(ready):
    ready.client("secretsmanager").delete_secret(SecretId="core")
    message, step = only(ready.problems())
    assert "marked for deletion" in message
    assert "restore-secret" in step


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("hh", {"client_id": "an-id"}, "lacks the key client_secret"),
        ("db", {"host": "h", "username": "u"}, "lacks the key password"),
        ("hh", "plain", "is not a JSON object"),
        ("signing", "too-short", "has 9 characters, and needs 32 or more"),
        ("core", {"value": "x"}, "must be a plain text"),
    ],
)
def test_secret_of_another_shape_is_reported_but_not_quoted(ready, name, content, said):
    set_secret(ready, name, content)
    message, step = only(ready.problems())
    assert said in message
    assert "put-secret-value" in step
    assert "too-short" not in message + step


def test_refused_look_at_the_quota_is_a_warning(ready):
    ready.account.denied = True
    code, out, _ = ready.run("check", "--json")
    assert code == 0
    assert "may not call GetAccountSettings" in out


# ── the database ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said", "step"),
    [
        ({"password": "another"}, "it refuses the password", "username and password"),
        ({"host": "no-such-host.invalid"}, "its host is unknown", "host"),
        ({"port": "9"}, "nothing listens", "port"),
        ({"dbname": "no_such"}, "has no such database", "dbname"),
    ],
)
def test_database_that_refuses_is_reported_without_its_address(
    ready, database_url, change, said, step
):
    fields = {**conninfo_to_dict(database_url), **change}
    address = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format_map(fields)
    set_secret(ready, "db", address)
    message, next_step = only(ready.problems())
    assert said in message
    assert step in next_step
    assert fields["password"] not in message + next_step


def test_certificate_that_is_not_trusted_is_reported(ready, tmp_path):
    port = serve_untrusted(tmp_path)
    fields = {"host": "localhost", "port": port, "username": "u", "password": "pass-word"}
    set_secret(ready, "db", fields)
    message, step = only(ready.problems())
    assert "TLS cannot be agreed upon" in message
    assert "DatabaseTlsRootCertificates" in step


def test_database_in_a_vpc_is_not_connected_to(ready):
    set_secret(ready, "db", {"host": "inside.invalid", "username": "u", "password": "p"})
    ready.write(**ready.values, SubnetIds="subnet-1")
    assert ready.problems() == []


def serve_untrusted(folder):
    """Serve one connection that agrees to TLS, as Postgres does, with a self-signed certificate;
    return the port."""
    pem, _ = certificates.issue(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(8)  # SSLRequest
            connection.sendall(b"S")
            with contextlib.suppress(ssl.SSLError, OSError):
                context.wrap_socket(connection, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


# ── the stack ────────────────────────────────────────────────────────────────────────────────────


def create_stack(operator, status, **values):
    """Create a stack of that status with parameters; moto's stacks are complete at once."""
    from moto.cloudformation.models import cloudformation_backends

    template = {
        "Parameters": {name: {"Type": "String"} for name in values},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    operator.client("cloudformation").create_stack(
        StackName="ullgetthejob-core-dev",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    backend = cloudformation_backends["123456789012"]["eu-central-1"]
    (stack,) = backend.stacks.values()
    stack.status = status


@pytest.mark.parametrize(
    "status", ["UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
)
def test_running_deployment_is_reported(ready, status):
    create_stack(ready, status)
    message, step = only(ready.problems())
    assert "is already running" in message
    assert step.startswith("aws cloudformation wait stack-")


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("ROLLBACK_COMPLETE", "ugtj cloud destroy --stage dev"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback"),
    ],
)
def test_stack_that_takes_no_update_is_reported(ready, status, command):
    create_stack(ready, status)
    message, step = only(ready.problems())
    assert status in message
    assert step.startswith(command)


# ── deploy ends before it builds ─────────────────────────────────────────────────────────────────


def without_credentials(ready, monkeypatch, **_):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def without_region(ready, monkeypatch, **_):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")


def with_a_low_quota(ready, **_):
    ready.account.limit = ready.account.unreserved = 10


def without_a_parameter(ready, **_):
    ready.write(**{k: v for k, v in ready.values.items() if k != "HhRedirectUri"})


def without_a_secret(ready, **_):
    arn = ready.values["SigningSecretArn"].replace("secret:signing-", "secret:other-")
    ready.write(**{**ready.values, "SigningSecretArn": arn})


def with_a_secret_that_lacks_a_key(ready, **_):
    set_secret(ready, "hh", {"client_id": "an-id"})


def with_an_untrusted_certificate(ready, tmp_path, **_):
    port = serve_untrusted(tmp_path)
    fields = {"host": "localhost", "port": port, "username": "u", "password": "pass-word"}
    set_secret(ready, "db", fields)


def with_another_database(ready, database_url, **change):
    fields = {**conninfo_to_dict(database_url), **change}
    address = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format_map(fields)
    set_secret(ready, "db", address)


def with_a_wrong_password(ready, database_url, **_):
    with_another_database(ready, database_url, password="pass-word")


def with_a_wrong_host(ready, database_url, **_):
    with_another_database(ready, database_url, host="no-such-host.invalid")


def while_another_runs(ready, **_):
    create_stack(ready, "UPDATE_IN_PROGRESS")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_credentials, "there are no AWS credentials"),
        (without_region, "no AWS region is set"),
        (with_a_low_quota, "this account can reserve 0 of its 10"),
        (without_a_parameter, "parameters-dev.yaml lacks HhRedirectUri"),
        (without_a_secret, "the secret of SigningSecretArn does not exist"),
        (with_a_secret_that_lacks_a_key, "lacks the key client_secret"),
        (with_an_untrusted_certificate, "TLS cannot be agreed upon"),
        (with_a_wrong_password, "it refuses the password"),
        (with_a_wrong_host, "its host is unknown"),
        (while_another_runs, "a deployment of ullgetthejob-core-dev is already running"),
    ],
)
def test_impossible_deployment_ends_before_it_builds(
    ready, monkeypatch, tmp_path, database_url, spoil, said
):
    ran = []
    monkeypatch.setattr(deployment, "_run", lambda command, failure: ran.append(command))
    spoil(ready, monkeypatch=monkeypatch, tmp_path=tmp_path, database_url=database_url)
    code, out, err = ready.run("deploy", "--yes", "--json")  # fails for a traceback
    assert (code, ran) == (1, [])
    found = [finding for finding in json.loads(out)["findings"] if finding["verdict"] == "problem"]
    message, step = only(found)
    assert said in message
    assert step
    assert "pass-word" not in out + err


# ── init ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def given(monkeypatch, database_url):
    """What only the operator knows, in the environment."""
    monkeypatch.setenv("UGTJ_DATABASE_URL", database_url)
    monkeypatch.setenv("UGTJ_HH_CLIENT_ID", APPLICATION["client_id"])
    monkeypatch.setenv("UGTJ_HH_CLIENT_SECRET", APPLICATION["client_secret"])


def test_empty_account_is_ready_after_init(operator, given):
    arguments = ("--user-agent", AGENT, "--redirect-uri", REDIRECT)
    code, out, err = operator.run("init", *arguments)
    assert code == 0, err
    written = parameters.read_parameters(operator.file)
    assert set(parameters.find_missing({}, {})) <= set(written)
    for name in parameters.declarations():  # complete: each is there, with a value or its default
        assert f"{name}: " in operator.file.read_text()
    vault = operator.client("secretsmanager")
    contents = [
        vault.get_secret_value(SecretId=secret["ARN"])["SecretString"]
        for secret in vault.list_secrets()["SecretList"]
    ]
    assert len(contents) == 5
    for content in (*contents, *APPLICATION.values()):
        assert content not in out + err + operator.file.read_text()
    assert written["Concurrency"] == "full"
    grant_log_role(operator)  # moto creates no AWS::ApiGateway::Account
    assert operator.problems() == []


def test_repeated_init_changes_nothing(operator, given):
    arguments = ("--user-agent", AGENT, "--redirect-uri", REDIRECT)
    operator.run("init", *arguments)
    grant_log_role(operator)
    before = operator.file.read_text()
    core = operator.client("secretsmanager").get_secret_value(SecretId="ullgetthejob-core-dev/core")
    code, out, _ = operator.run("init", "--json")
    assert code == 0
    assert json.loads(out)["created"] == []
    assert operator.file.read_text() == before
    operator.file.unlink()  # the secrets are found again
    code, out, _ = operator.run("init", "--json", *arguments)
    assert json.loads(out)["created"] == []
    assert len(json.loads(out)["existing"]) == 5
    assert operator.file.read_text() == before
    again = operator.client("secretsmanager").get_secret_value(
        SecretId="ullgetthejob-core-dev/core"
    )
    assert again["SecretString"] == core["SecretString"]


def test_init_keeps_what_the_file_says_and_adds_the_rest(operator, given):
    operator.file.write_text(f'# mine\nHhUserAgent: "{AGENT}"\nConcurrency: none\n')
    assert operator.run("init", "--redirect-uri", REDIRECT)[0] == 0
    text = operator.file.read_text()
    assert text.startswith("# mine\n")
    assert text.count("Concurrency") == 1
    assert parameters.find_missing(parameters.read_parameters(operator.file), {}) == []


def test_init_takes_the_largest_concurrency_that_fits(operator, given):
    operator.account.limit = operator.account.unreserved = 50
    operator.run("init", "--user-agent", AGENT, "--redirect-uri", REDIRECT)
    assert parameters.read_parameters(operator.file)["Concurrency"] == "none"


def test_init_without_a_value_names_the_variable(operator):
    code, _, err = operator.run("init", "--user-agent", AGENT, "--redirect-uri", REDIRECT)
    assert code == 2
    assert "UGTJ_DATABASE_URL" in err
    assert not operator.file.exists()
