"""SQS of the local AWS: the template's queues, and behaviour that moto alone has not."""

import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from moto.sqs.models import SQSBackend

from local.aws_queues import serialize_requests
from local.template.reader import load
from tests.fixtures.aws import LocalAws
from ullgetthejob.platform import aws

TEMPLATE = """
Resources:
  Work:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1
      MessageRetentionPeriod: 60
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {QueueName: dead-letters}
  Busy:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 300}
"""


class Machine:
    def __init__(self, folder):
        self.folder = folder
        (folder / "template.yaml").write_text(TEMPLATE)
        self.template = load(folder / "template.yaml")
        self.aws = LocalAws(folder / "aws", folder / "template.yaml")

    def kill_and_start(self):
        self.aws.kill()
        self.aws = LocalAws(self.folder / "aws", self.folder / "template.yaml")

    def client(self):
        return self.aws.client("sqs")

    def url(self, logical_id):
        return self.template.queues[logical_id].url

    def receive(self, logical_id, wait=0):
        answer = self.client().receive_message(
            QueueUrl=self.url(logical_id),
            WaitTimeSeconds=wait,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
        )
        return answer.get("Messages", [])


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    machine.aws.kill()


@pytest.fixture
def functions_aws(machine, monkeypatch):
    """Set the environment of a function that uses the AWS of *machine*."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", machine.aws.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    aws.reset_connections()
    yield
    aws.reset_connections()


def test_template_queues_exist_with_their_attributes(machine):
    attributes = machine.client().get_queue_attributes(
        QueueUrl=machine.url("Work"), AttributeNames=["All"]
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "1"
    assert attributes["MessageRetentionPeriod"] == "60"
    assert attributes["QueueArn"] == machine.template.queues["Work"].arn
    assert json.loads(attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead-letters",
        "maxReceiveCount": 2,
    }


def test_functions_send_through_their_own_client(machine, functions_aws):
    url = machine.url("Work")
    first = aws.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": "да"})
    entries = [{"Id": str(n), "MessageBody": f"message {n}", "DelaySeconds": n} for n in range(2)]
    batch = aws.call("sqs", "SendMessageBatch", {"QueueUrl": url, "Entries": entries})
    assert [sent["Id"] for sent in batch["Successful"]] == ["0", "1"]
    received = {message["MessageId"]: message["Body"] for message in machine.receive("Work")}
    assert received == {first["MessageId"]: "да", batch["Successful"][0]["MessageId"]: "message 0"}

    with pytest.raises(aws.AwsError) as raised:
        aws.call("sqs", "SendMessage", {"QueueUrl": url + "-not", "MessageBody": "x"})
    assert raised.value.code == "QueueDoesNotExist"


def test_long_poll_ends_when_a_message_becomes_visible(machine):
    sqs = machine.client()
    sqs.send_message(QueueUrl=machine.url("Work"), MessageBody="wake-up")
    begun = time.monotonic()
    assert len(machine.receive("Work")) == 1
    (message,) = machine.receive("Work", wait=20)
    assert 0.8 < time.monotonic() - begun < 19  # before the end of the poll
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_message_received_too_often_reaches_the_dlq_poller(machine):
    sqs = machine.client()
    sqs.send_message(QueueUrl=machine.url("Work"), MessageBody="wake-up")
    with ThreadPoolExecutor() as threads:
        dead = threads.submit(machine.receive, "Dead", 20)
        for _ in range(2):
            assert len(machine.receive("Work", wait=5)) == 1
        assert machine.receive("Work", wait=2) == []
        assert [message["Body"] for message in dead.result()] == ["wake-up"]


def test_queues_survive_sigkill_and_messages_do_not(machine):
    machine.client().send_message(QueueUrl=machine.url("Busy"), MessageBody="wake-up")
    machine.kill_and_start()
    assert machine.receive("Busy") == []
    machine.client().send_message(QueueUrl=machine.url("Busy"), MessageBody="wake-up")
    assert len(machine.receive("Busy")) == 1


def test_concurrent_receivers_get_each_message_once():
    backend = SQSBackend("us-east-1", "123456789012")
    backend.create_queue("Q")
    serialize_requests(backend)
    count, senders = 100, 4
    received = []
    finished = threading.Event()

    def send(sender):
        for number in range(count):
            backend.send_message("Q", f"{sender}-{number}")

    def take():
        while not finished.is_set():
            for message in backend.receive_message("Q", 3, 1, 300):
                received.append(message.body)
                backend.delete_message("Q", message.receipt_handle)

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(senders + 4) as threads:
            takers = [threads.submit(take) for _ in range(4)]
            for sending in [threads.submit(send, sender) for sender in range(senders)]:
                sending.result()
            deadline = time.monotonic() + 60
            while len(received) < count * senders and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.2)  # for a duplicate
            finished.set()
            for taker in takers:
                taker.result()
    finally:
        sys.setswitchinterval(switching)
    assert Counter(received) == Counter(
        f"{sender}-{number}" for sender in range(senders) for number in range(count)
    )


def test_message_past_retention_is_deleted():
    backend = SQSBackend("us-east-1", "123456789012")
    backend.create_queue("Q", MessageRetentionPeriod="1")
    serialize_requests(backend)
    backend.send_message("Q", "old")
    time.sleep(1.1)
    backend.send_message("Q", "new")
    received = backend.receive_message("Q", 10, 0, 0)
    assert [message.body for message in received] == ["new"]


def test_waiting_uses_no_cpu(machine):
    with ThreadPoolExecutor(10) as threads:
        waiting = [threads.submit(machine.receive, "Busy", 4) for _ in range(10)]
        time.sleep(1)
        process = psutil.Process(machine.aws.process.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(2)
        spent_s = sum(process.cpu_times()[:2]) - before
        assert [poll.result() for poll in waiting] == [[]] * 10
    assert spent_s < 0.5
