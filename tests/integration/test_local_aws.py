"""The local AWS: durability, conditions and requests of browsers."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import _Handler
from local.settings import REPOSITORY
from local.template.reader import load
from tests.fixtures.aws import LocalAws
from tests.fixtures.processes import has_ended
from tests.fixtures.waiting import until

TEMPLATE = """
Resources:
  Plain:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
  Sorted:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions:
        - {AttributeName: pk, AttributeType: S}
        - {AttributeName: sk, AttributeType: S}
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
  Key:
    Type: AWS::KMS::Key
"""


class Machine:
    """A local AWS that can be killed and started again on the same folder."""

    def __init__(self, folder, template):
        self.folder, self.template = folder, template
        self.aws = LocalAws(folder, template)

    def kill_and_start(self):
        self.aws.kill()
        self.aws = LocalAws(self.folder, self.template)

    @property
    def dynamodb(self):
        return self.aws.client("dynamodb")

    def items(self, table):
        items = self.dynamodb.scan(TableName=table)["Items"]
        return sorted(items, key=lambda item: item["pk"]["S"])


@pytest.fixture
def machine(tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    machine = Machine(tmp_path / "aws", template)
    yield machine
    machine.aws.kill()


def s(text):
    return {"S": text}


def test_every_write_operation_survives_sigkill(machine):
    dynamodb = machine.dynamodb
    for name in ("put", "updated", "deleted", "batch-deleted"):
        dynamodb.put_item(TableName="Plain", Item={"pk": s(name), "n": {"N": "1"}})
    dynamodb.update_item(
        TableName="Plain",
        Key={"pk": s("updated")},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    dynamodb.delete_item(TableName="Plain", Key={"pk": s("deleted")})
    dynamodb.batch_write_item(
        RequestItems={
            "Plain": [
                {"PutRequest": {"Item": {"pk": s("batch-put")}}},
                {"DeleteRequest": {"Key": {"pk": s("batch-deleted")}}},
            ]
        }
    )
    before = machine.items("Plain")

    machine.kill_and_start()

    assert machine.items("Plain") == before
    assert {item["pk"]["S"]: item.get("n", {}).get("N") for item in before} == {
        "put": "1",
        "updated": "2",
        "batch-put": None,
    }


def test_every_value_type_survives_sigkill(machine):
    item = {
        "pk": s("a"),
        "sk": s("b"),
        "owner": s("me"),
        "n": {"N": "1.5"},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "set": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2"]},
        "list": {"L": [s("x"), {"BOOL": False}, {"L": []}]},
        "map": {"M": {"deep": {"M": {"er": s("y")}}}},
    }
    machine.dynamodb.put_item(TableName="Sorted", Item=item)

    machine.kill_and_start()

    key = {"pk": item["pk"], "sk": item["sk"]}
    assert machine.dynamodb.get_item(TableName="Sorted", Key=key)["Item"] == item


def test_refused_write_is_not_persisted(machine):
    dynamodb = machine.dynamodb
    dynamodb.put_item(TableName="Plain", Item={"pk": s("a"), "n": {"N": "1"}})
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.put_item(
            TableName="Plain",
            Item={"pk": s("a"), "n": {"N": "2"}},
            ConditionExpression="attribute_not_exists(pk)",
        )

    machine.kill_and_start()

    assert machine.items("Plain") == [{"pk": s("a"), "n": {"N": "1"}}]


def test_failed_condition_returns_the_item(machine):
    machine.dynamodb.put_item(TableName="Plain", Item={"pk": s("a"), "n": {"N": "1"}})

    with pytest.raises(ClientError) as failure:
        machine.dynamodb.update_item(
            TableName="Plain",
            Key={"pk": s("a")},
            UpdateExpression="SET n = :n",
            ConditionExpression="n > :n",
            ExpressionAttributeValues={":n": {"N": "5"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert failure.value.response["Item"] == {"pk": s("a"), "n": {"N": "1"}}


def test_one_of_concurrent_conditional_writers_succeeds(machine):
    def take(number):
        try:
            machine.aws.client("dynamodb").put_item(
                TableName="Plain",
                Item={"pk": s("lease"), "owner": {"N": str(number)}},
                ConditionExpression="attribute_not_exists(pk)",
            )
        except ClientError:
            return 0
        return 1

    def add(_):
        machine.aws.client("dynamodb").update_item(
            TableName="Plain",
            Key={"pk": s("counter")},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 1
        list(pool.map(add, range(40)))

    machine.kill_and_start()
    counter = machine.dynamodb.get_item(TableName="Plain", Key={"pk": s("counter")})["Item"]
    assert counter["n"] == {"N": "40"}


def test_killed_server_keeps_all_acknowledged_writes(machine):
    """Kill it during a stream of writes: every write that a client saw succeed is stored."""
    acknowledged = []

    once = Config(retries={"total_max_attempts": 1})
    dynamodb = machine.aws.client("dynamodb", config=once)

    def write():
        number = 0
        while True:
            try:
                dynamodb.put_item(TableName="Plain", Item={"pk": s(f"{number:06}")})
            except (BotoCoreError, ClientError):
                return
            acknowledged.append(f"{number:06}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(acknowledged) >= 30)
    machine.kill_and_start()
    writer.join()

    assert set(acknowledged) <= {item["pk"]["S"] for item in machine.items("Plain")}


def test_ciphertext_stays_readable_and_bound_to_its_context(machine):
    (key,) = load(machine.template).keys.values()
    context = {"account_id": "1"}
    encrypted = machine.aws.client("kms").encrypt(
        KeyId=key.arn, Plaintext=b"token", EncryptionContext=context
    )

    machine.kill_and_start()

    kms = machine.aws.client("kms")
    blob = encrypted["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"token"
    with pytest.raises(ClientError, match="InvalidCiphertext"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"account_id": "2"})
    assert stat.S_IMODE((machine.folder / "keys.json").stat().st_mode) == 0o600


def test_statement_that_cannot_be_persisted_is_refused(machine):
    with pytest.raises(ClientError, match="ExecuteStatement is not supported"):
        machine.dynamodb.execute_statement(Statement="INSERT INTO \"Plain\" VALUE {'pk': 'a'}")


def test_secrets_and_parameters_work(machine):
    secrets = machine.aws.client("secretsmanager")
    secrets.create_secret(Name="one", SecretString="value")
    assert secrets.get_secret_value(SecretId="one")["SecretString"] == "value"
    parameters = machine.aws.client("ssm")
    parameters.put_parameter(Name="/a", Value="b", Type="String")
    assert parameters.get_parameter(Name="/a")["Parameter"]["Value"] == "b"


def test_server_ends_with_its_parent(tmp_path):
    code = (
        "from tests.fixtures.aws import LocalAws; from pathlib import Path; import time\n"
        f"print(LocalAws(Path({str(tmp_path)!r})).process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'layers' / 'core'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)  # it runs
        parent.send_signal(signal.SIGKILL)
    until(lambda: has_ended(pid))


def test_fast_path_replies_equal_those_of_moto(local_aws):
    """GetItem and SendMessage, plain and with a parameter that only moto handles."""
    dynamodb, sqs = local_aws.client("dynamodb"), local_aws.client("sqs")
    key = {"pk": {"S": "pacer#past"}}
    dynamodb.put_item(TableName="PacerTable", Item={**key, "tat": {"N": "1"}})
    plain = dynamodb.get_item(TableName="PacerTable", Key=key, ConsistentRead=True)
    through = dynamodb.get_item(TableName="PacerTable", Key=key, ReturnConsumedCapacity="NONE")
    assert plain["Item"] == through["Item"] == {**key, "tat": {"N": "1"}}
    assert "Item" not in dynamodb.get_item(TableName="PacerTable", Key={"pk": {"S": "unknown"}})
    with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
        dynamodb.get_item(TableName="NoTable", Key=key)
    url = sqs.get_queue_url(QueueName="FetchQueue")["QueueUrl"]
    text = {"kind": {"DataType": "String", "StringValue": "wake-up"}}
    number = {"kind": {"DataType": "Number", "StringValue": "1"}}
    entry = {"Id": "first", "MessageBody": "тест"}
    for attributes in ({}, text, number):
        options = {"MessageAttributes": attributes} if attributes else {}
        sent = [sqs.send_message(QueueUrl=url, MessageBody="тест", **options)]
        batch = sqs.send_message_batch(QueueUrl=url, Entries=[{**entry, **options}])
        assert [success["Id"] for success in batch["Successful"]] == ["first"]
        for each in sent + batch["Successful"]:
            [got] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
            assert (got["Body"], got["MessageId"]) == ("тест", each["MessageId"])
            assert got["MD5OfBody"] == each["MD5OfMessageBody"]
            assert got.get("MessageAttributes", {}) == attributes
            assert got.get("MD5OfMessageAttributes") == each.get("MD5OfMessageAttributes")
            sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url + "no", MessageBody="x")
    with pytest.raises(sqs.exceptions.BatchEntryIdsNotDistinct):
        sqs.send_message_batch(QueueUrl=url, Entries=[entry, entry])
    dynamodb.delete_item(TableName="PacerTable", Key=key)


FOREIGN_PAGES = [
    {"Host": "rebound.example"},
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
]
REQUESTS_OF_A_PAGE = [
    ("POST", "/", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}, b"{}"),
    ("POST", "/", {"X-Amz-Target": "TrentService.ListKeys"}, b"{}"),
    ("POST", "/moto-api/reset", {}, b""),
    ("GET", "/moto-api/data.json", {}, b""),
    ("GET", "/?Action=ListQueues", {}, b""),
    ("OPTIONS", "/", {"Access-Control-Request-Method": "POST"}, b""),
]


@pytest.mark.parametrize("headers", FOREIGN_PAGES)
@pytest.mark.parametrize(("method", "path", "request_headers", "content"), REQUESTS_OF_A_PAGE)
def test_foreign_page_is_refused(local_aws, headers, method, path, request_headers, content):
    answer = httpx.request(
        method, local_aws.url + path, headers={**request_headers, **headers}, content=content
    )
    assert answer.status_code == 403
    assert answer.text == "a page of another site sent this\n"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_container_is_served_under_its_host_name(local_aws):
    headers = {"Host": "host.docker.internal:20001", "X-Amz-Target": "TrentService.ListKeys"}
    headers |= {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/kms/aws4"}
    answer = httpx.post(local_aws.url, headers=headers, content=b"{}")
    assert answer.status_code == 200
    assert "Keys" in answer.json()


def test_unfinished_request_is_closed(local_aws):
    port = int(local_aws.url.rpartition(":")[2])
    assert _Handler.timeout == 30
    with socket.create_connection(("127.0.0.1", port), timeout=40) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        assert half.recv(1000) == b""  # closed, within the handler's time
