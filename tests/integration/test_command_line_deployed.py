"""``ugtj --profile`` for a deployed Core, against moto's server over HTTP.

Stand-ins, where moto has gaps: CloudWatch Logs Insights' ``filter`` (:func:`run_query`), the
migrator behind Lambda's ``Invoke`` (:class:`Answers`, since moto runs functions in Docker), and
AWS's refusals, which moto does not make.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import boto3
import botocore.exceptions
import moto.logs.models
import pytest
from moto.logs.models import LogQuery
from moto.server import ThreadedMotoServer

from cli import app as command_line
from cli import aws_client
from cli.commands import queues as queue_commands
from local.settings import REPOSITORY
from tests.fixtures.http_servers import Handler, Server

STACK, REGION = "ullgetthejob-core-test", "eu-central-1"
TRACE, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
APPLICATION = "0b6c1c5e-6a5b-4c3c-9f5e-0d4f3d8a2b11"
# The parts of the stack that the command line reads, under the names of the template.
TEMPLATE = {
    "Resources": {
        "ApplierQueue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "RedrivePolicy": {
                    "deadLetterTargetArn": {"Fn::GetAtt": ["ApplierDeadLetters", "Arn"]},
                    "maxReceiveCount": 5,
                }
            },
        },
        "ApplierDeadLetters": {"Type": "AWS::SQS::Queue"},
        **{
            f"{name}LogGroup": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": f"{STACK}-{name}LogGroup-ABC"},
            }
            for name in ("Submit", "FetchWorker", "Access")
        },
    },
    "Outputs": {"MigratorFunctionName": {"Value": "migrator"}},
}


def run_query(log_groups, query, start_time, end_time):
    """Stand in for CloudWatch Logs Insights: moto ignores ``filter``, and its timestamps are
    numbers. The form of the rows is that of GetQueryResults."""
    pattern = re.search(r"filter @message like /(.+?)/", query)[1]
    found = [
        (event.timestamp, group.name, event.message)
        for group in log_groups
        for stream in group.streams.values()
        for event in stream.events
        if re.search(pattern, event.message)
        and start_time * 1000 <= event.timestamp <= (end_time + 1) * 1000
    ]
    return [
        {
            "@timestamp": f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3],
            "@log": f"123456789012:{group}",
            "@message": message + "\n",
        }
        for at, group, message in sorted(found)
    ]


@pytest.fixture(scope="module")
def aws():
    """Return the address of a moto server with the stack."""
    with pytest.MonkeyPatch.context() as patch:
        asked, to_json = {}, LogQuery.to_result_json

        def result(query):
            asked[query.query_id] = asked.get(query.query_id, 0) + 1
            is_first = asked[query.query_id] == 1
            return {"results": [], "status": "Running"} if is_first else to_json(query)

        patch.setattr(moto.logs.models, "execute_query", run_query)
        patch.setattr(LogQuery, "to_result_json", result)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        server = ThreadedMotoServer(port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        client(address, "cloudformation").create_stack(
            StackName=STACK, TemplateBody=json.dumps(TEMPLATE)
        )
        try:
            yield address
        finally:
            server.stop()


def client(address, service):
    return boto3.client(service, endpoint_url=address, region_name=REGION,
                        aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip


class Answers(Server):
    """A server that gives every request the same *response* (status, headers, JSON), and records
    it: of Lambda as the migrator, or of AWS as it refuses."""

    def __init__(self, response):
        super().__init__(AnswersHandler)
        self.response, self.bodies = response, []


class AnswersHandler(Handler):
    def respond(self):
        self.server.bodies.append(self.read_body())
        status, headers, content = self.server.response
        self.answer(status, content.encode(), headers)


@pytest.fixture
def ugtj(aws, monkeypatch, tmp_path, capsys):
    """Return a function that runs ``ugtj --profile prod`` with arguments, and returns exit code,
    standard output and standard error."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        f'[prod]\nurl = "https://core.example.org"\nregion = "{REGION}"\nstack = "{STACK}"\n'
    )
    for name, value in {
        "UGTJ_PROFILES": str(profiles),
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "UGTJ_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, profile="prod"):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            command_line.main(["--profile", profile, *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code, out, err

    run.profiles = profiles
    return run


def refused(ugtj, code, *texts, arguments=("queues", "list")):
    """Check that a command fails with *code*, one sentence that has *texts*, and nothing else."""
    ended, out, err = ugtj(*arguments)
    assert (ended, out) == (code, ""), err
    assert err.startswith("Error: ")
    assert len(err.splitlines()) <= 2, err
    for text in texts:
        assert text in err
    return err


# ── CloudWatch ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def logged(aws):
    """Write the lines of a trail into two log groups, and of another trail."""
    logs, now = client(aws, "logs"), int(time.time() * 1000)
    lines = {
        "Submit": [
            (3, {"message": "invocation", "trace_id": TRACE, "route": "POST /x", "result": "ok",
                 "started_at": iso(now - 3000), "ms": 20.0}),
            (2, {"message": "application changed", "trace_id": TRACE, "from": None, "to": "queued",
                 "application_id": APPLICATION}),
            (1, {"message": "request", "trace_id": OTHER, "ms": "not a number"}),
            (1, "REPORT RequestId: 1 Duration: 20 ms"),
        ],
        "FetchWorker": [
            (1, {"message": "application changed", "trace_id": TRACE, "from": "queued",
                 "to": "submitted"}),
        ],
        "Access": [],
    }  # fmt: skip
    for name, events in lines.items():
        group = f"{STACK}-{name}LogGroup-ABC"
        logs.create_log_stream(logGroupName=group, logStreamName=str(now))
        if events:
            logs.put_log_events(
                logGroupName=group,
                logStreamName=str(now),
                logEvents=[
                    {
                        "timestamp": now - ago * 1000,
                        "message": e if isinstance(e, str) else json.dumps(e),
                    }
                    for ago, e in events
                ],
            )
    yield logs
    for name in lines:
        if name == "Access":
            continue  # a test deletes its group
        logs.delete_log_stream(logGroupName=f"{STACK}-{name}LogGroup-ABC", logStreamName=str(now))


def iso(ms):
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@pytest.mark.parametrize("id", [TRACE, APPLICATION])
def test_trail_comes_from_the_log_groups_of_the_stack(ugtj, logged, id):
    code, out, err = ugtj("trail", id, "--json")
    assert code == 0, err
    lines = json.loads(out)["lines"]
    assert [(line["source"], line["message"], line.get("to")) for line in lines] == [
        ("submit", "invocation", None),
        ("submit", "application changed", "queued"),
        ("fetch_worker", "application changed", "submitted"),
    ]
    assert ugtj("trail", id)[0] == 0


def test_trail_of_an_odd_line_is_shown(ugtj, logged):
    code, out, _ = ugtj("trail", OTHER)
    assert code == 0
    assert "request" in out


def test_unknown_trail_is_an_error(ugtj, logged):
    refused(ugtj, 1, "no line", arguments=("trail", "f" * 32))


def test_logs_are_merged_in_time_and_limited(ugtj, logged):
    code, out, err = ugtj("logs", "--json")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert {line["source"] for line in lines} == {"submit", "fetch_worker"}
    assert next(line for line in lines if line["text"])["text"].startswith("REPORT")
    assert len(ugtj("logs", "-n", "2")[1].splitlines()) == 2
    assert len(ugtj("logs", "fetch_worker")[1].splitlines()) == 1
    refused(ugtj, 2, "there are: submit, fetch_worker", arguments=("logs", "none"))


def test_followed_logs_show_late_lines_once(ugtj, logged, monkeypatch):
    group, written = f"{STACK}-SubmitLogGroup-ABC", []

    def write_late(_seconds):
        if len(written) == 3:
            raise KeyboardInterrupt
        # Older than the latest line that was shown, as CloudWatch may take it in.
        at = int(time.time() * 1000) - 10_000
        logged.create_log_stream(logGroupName=group, logStreamName=f"late {len(written)}")
        event = {"timestamp": at, "message": f"late {len(written)}"}
        logged.put_log_events(
            logGroupName=group, logStreamName=f"late {len(written)}", logEvents=[event]
        )
        written.append(at)

    monkeypatch.setattr("cli.log_lines.time.sleep", write_late)
    code, out, _ = ugtj("logs", "submit", "-f", "-n", "1")
    assert code == 130
    assert re.findall(r"late \d", out) == ["late 0", "late 1", "late 2"]
    for number in range(3):
        logged.delete_log_stream(logGroupName=group, logStreamName=f"late {number}")


def test_missing_log_group_hides_only_itself(ugtj, logged):
    name = f"{STACK}-AccessLogGroup-ABC"
    logged.delete_log_group(logGroupName=name)
    try:
        assert ugtj("trail", TRACE)[0] == 0
        assert ugtj("logs")[0] == 0
    finally:
        logged.create_log_group(logGroupName=name)


# ── SQS ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sqs(aws):
    found = client(aws, "sqs")
    urls = {
        name: next(url for url in found.list_queues()["QueueUrls"] if name in url)
        for name in ("ApplierQueue", "ApplierDeadLetters")
    }
    yield found, urls
    for url in urls.values():
        while messages := found.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_queues_have_the_names_of_the_template(ugtj, sqs):
    code, out, err = ugtj("queues", "list", "--json")
    assert code == 0, err
    found = {queue["name"]: queue["dead_letters_of"] for queue in json.loads(out)["queues"]}
    assert found == {"ApplierQueue": None, "ApplierDeadLetters": "ApplierQueue"}


def test_redrive_sends_all_dead_letters_as_they_were(ugtj, sqs):
    queues, urls = sqs
    position = {"traceparent": {"DataType": "String", "StringValue": f"00-{TRACE}-{'1' * 16}-01"}}
    for number in range(queue_commands.MOST_SHOWN + 15):
        body = json.dumps({"account_id": str(number)})
        queues.send_message(
            QueueUrl=urls["ApplierDeadLetters"], MessageBody=body, MessageAttributes=position
        )
    code, out, err = ugtj("queues", "show", "ApplierDeadLetters", "--json")
    assert code == 0, err
    assert len(json.loads(out)["messages"]) >= queue_commands.MOST_SHOWN
    code, out, err = ugtj("queues", "redrive", "ApplierQueue", "--json")
    assert (code, json.loads(out)["sent_again"]) == (0, queue_commands.MOST_SHOWN + 15), err
    received = queues.receive_message(QueueUrl=urls["ApplierQueue"], MessageAttributeNames=["All"])
    attributes = received["Messages"][0]["MessageAttributes"]
    assert attributes["traceparent"]["StringValue"] == position["traceparent"]["StringValue"]
    assert json.loads(ugtj("queues", "redrive", "ApplierQueue", "--json")[1])["sent_again"] == 0


def test_live_messages_are_not_looked_at(ugtj, sqs):
    queues, urls = sqs
    queues.send_message(QueueUrl=urls["ApplierQueue"], MessageBody="{}")
    refused(ugtj, 2, "not a queue of dead letters", arguments=("queues", "show", "ApplierQueue"))
    got = queues.receive_message(
        QueueUrl=urls["ApplierQueue"], MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )
    assert got["Messages"][0]["Attributes"]["ApproximateReceiveCount"] == "1"


def test_deleted_queue_is_named(ugtj, sqs):
    queues, urls = sqs
    dead = urls["ApplierDeadLetters"].rpartition("/")[2]
    queues.delete_queue(QueueUrl=urls["ApplierDeadLetters"])
    try:
        refused(ugtj, 1, "the queue is missing", "make deploy")
    finally:
        queues.create_queue(QueueName=dead)


# ── the migrator ─────────────────────────────────────────────────────────────────────────────────


DONE = {"revision_before": "0013", "revision_after": "0014", "applied": ["0014"]}


@pytest.mark.parametrize(
    ("arguments", "event", "said"),
    [
        (("db", "status"), {"action": "current"}, "0014"),
        (("db", "migrate"), {"action": "upgrade", "revision": None}, "0013 → 0014"),
        (("db", "migrate", "0014"), {"action": "upgrade", "revision": "0014"}, "0013 → 0014"),
        (
            ("db", "rollback", "-1", "--yes"),
            {"action": "downgrade", "revision": "-1", "confirm": True, "drop_data": False},
            "0013 → 0014",
        ),
    ],
)
def test_migrator_is_invoked_with_an_event_that_it_takes(ugtj, monkeypatch, arguments, event, said):
    with Answers((200, {}, json.dumps(DONE))) as migrator:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", migrator.url)
        code, out, err = ugtj(*arguments)
    assert (code, said in out) == (0, True), err
    assert [json.loads(body) for body in migrator.bodies] == [event]
    program = "import json, sys; from functions.migrator.app import Command; "
    checked = subprocess.run(  # a function's module reads the settings of its process
        [sys.executable, "-c", program + "Command.model_validate(json.load(sys.stdin))"],
        input=json.dumps(event),
        text=True,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'layers' / 'core'}",
             "DATABASE_URL": "postgresql://x", "AWS_REGION": REGION},
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((200, {"x-amz-function-error": "Unhandled"}, '{"errorMessage": "it would lose rows"}'),
         "not migrated: it would lose rows"),
        ((200, {}, "null"), "did not answer as the migrator"),
    ],
)  # fmt: skip
def test_failed_migration_is_told_once(ugtj, monkeypatch, answer, text):
    with Answers(answer) as migrator:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", migrator.url)
        refused(ugtj, 1, text, arguments=("db", "migrate"))
    assert len(migrator.bodies) == 1


def test_failing_lambda_is_not_invoked_again(ugtj, monkeypatch):
    with Answers((500, {}, "{}")) as migrator:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", migrator.url)
        refused(ugtj, 3, "AWS failed", arguments=("db", "migrate"))
    assert len(migrator.bodies) == 1


# ── AWS refuses ──────────────────────────────────────────────────────────────────────────────────


def test_missing_credentials_are_named(ugtj, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(ugtj, 4, "no AWS credentials", "aws sso login")


def test_missing_region_is_named(ugtj, monkeypatch):
    ugtj.profiles.write_text(f'[prod]\nurl = "https://core.example.org"\nstack = "{STACK}"\n')
    refused(ugtj, 2, "no region", "AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert ugtj("queues", "list")[0] == 0


def test_unknown_aws_profile_is_named(ugtj):
    with ugtj.profiles.open("a") as file:
        file.write('aws_profile = "nobody"\n')
    refused(ugtj, 2, "nobody", "aws_profile")


def test_missing_stack_is_named(ugtj):
    ugtj.profiles.write_text(f'[prod]\nurl = "https://x.org"\nregion = "{REGION}"\nstack = "no"\n')
    for arguments in (("queues", "list"), ("trail", TRACE), ("logs",), ("db", "migrate")):
        refused(ugtj, 2, "no", "does not exist", arguments=arguments)


@pytest.mark.parametrize(
    ("status", "error", "code", "text"),
    [
        (403, "ExpiredToken", 4, "have expired"),
        (403, "InvalidClientTokenId", 4, "refuses the credentials"),
        (403, "SignatureDoesNotMatch", 4, "refuses the credentials"),
        (403, "AccessDenied", 4, "may not call cloudformation:ListStackResources"),
        (400, "Throttling", 1, "too often"),
        (400, "Unheard", 1, "Unheard"),
        (503, "ServiceUnavailable", 3, "AWS failed"),
    ],
)
def test_refusal_of_aws_is_one_sentence(ugtj, monkeypatch, status, error, code, text):
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: " \
        "cloudformation:ListStackResources on resource: y"  # fmt: skip
    body = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{error}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
    monkeypatch.setattr(aws_client, "ATTEMPTS", 1)
    with Answers((status, {"content-type": "text/xml"}, body)) as refusing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", refusing.url)
        refused(ugtj, code, text)


def test_network_without_aws_is_named(ugtj, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(aws_client, "ATTEMPTS", 1)
    refused(ugtj, 3, "cannot be reached", "network")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    refused(ugtj, 3, "cannot be reached")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (botocore.exceptions.UnauthorizedSSOTokenError(), 4),
        (botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), 4),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), 3),
        (botocore.exceptions.SSLError(endpoint_url="https://x", error=OSError("bad")), 3),
        (botocore.exceptions.ParamValidationError(report="bad"), 1),
    ],
)
def test_error_of_the_library_has_a_code(error, code):
    assert aws_client.describe(error).code == code


# ── profiles and secrets ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'[prod]\nurl = "https://x.org', "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"prod = 5\n", "not a table"),
        (b"[prod]\nurl = 5\n", "must be text"),
        (b'[prod]\nurl = "core.example.org"\n', "the url of the profile prod"),
        (b'[prod]\nurl = ""\n', "the url of the profile prod"),
        (b"[prod]\n", "has no url"),
        (b"", "there is no profile prod"),
    ],
)
def test_unusable_profile_is_named(ugtj, monkeypatch, content, text):
    monkeypatch.setenv("UGTJ_PROD_SECRET", "secret")
    ugtj.profiles.write_bytes(content)
    refused(ugtj, 2, text, arguments=("search",))


def test_profiles_that_are_a_folder_are_named(ugtj):
    ugtj.profiles.unlink()
    ugtj.profiles.mkdir()
    refused(ugtj, 2, "cannot be read", arguments=("search",))


def test_secret_comes_from_environment_then_keyring(ugtj, monkeypatch):
    refused(ugtj, 2, "UGTJ_PROD_SECRET", "keyring set ugtj prod", arguments=("search",))
    monkeypatch.setenv("UGTJ_PROD_SECRET", "секрет")
    refused(ugtj, 2, "no header can carry", arguments=("search",))
    from cli import profiles

    monkeypatch.delenv("UGTJ_PROD_SECRET")
    stored = {("ugtj", "prod"): "of the keyring", ("ugtj", "prod-admin"): "of the admin"}
    keyring = use_keyring(monkeypatch, lambda service, entry: stored.get((service, entry)))
    profile = profiles.load("prod")
    assert (profile.secret, profile.admin_secret) == ("of the keyring", "of the admin")
    monkeypatch.setenv("UGTJ_PROD_SECRET", "of the environment")
    assert profiles.load("prod").secret == "of the environment"

    def locked(_service, _entry):
        raise keyring.errors.KeyringLocked("Failed to unlock the collection!")

    monkeypatch.delenv("UGTJ_PROD_SECRET")
    use_keyring(monkeypatch, locked)
    refused(ugtj, 4, "keyring is not readable", "unlock it", arguments=("search",))


def use_keyring(monkeypatch, get_password):
    """Let the library have a keyring whose passwords *get_password* returns."""
    import keyring
    import keyring.backend
    import keyring.errors

    class Backend(keyring.backend.KeyringBackend):
        priority = 1

        def get_password(self, service, username):
            return get_password(service, username)

        def set_password(self, service, username, password):
            raise NotImplementedError

        def delete_password(self, service, username):
            raise NotImplementedError

    monkeypatch.setattr("keyring.core._keyring_backend", Backend())
    return keyring


def test_answer_of_another_program_is_an_error(ugtj, monkeypatch):
    monkeypatch.setenv("UGTJ_PROD_SECRET", "secret")
    with Answers((200, {"content-type": "text/html"}, "<html>log in to the hotel</html>")) as hotel:
        ugtj.profiles.write_text(f'[prod]\nurl = "{hotel.url}"\n')
        refused(ugtj, 3, "another program", arguments=("search", "python"))
        refused(ugtj, 3, "another program", arguments=("rate-limit", "check"))
