"""Wake-ups of many accounts at once, through the local SQS."""

from uuid import uuid4

import pytest

from ullgetthejob.platform import aws, queues, settings, tracing
from ullgetthejob.platform.tracing import Position, Totals

QUEUE = settings.NOTIFIER_QUEUE_URL


@pytest.fixture
def lost(monkeypatch):
    """The numbers of wake-ups that were counted as lost."""
    counted = []
    monkeypatch.setattr(
        queues,
        "count",
        lambda fact, value=1: counted.append(value) if fact == "NotificationsLost" else None,
    )
    return counted


def receive_all(sqs):
    url, found = QUEUE(), []
    while batch := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += batch
    return found


def test_each_account_gets_a_wake_up_ten_in_a_call(dynamodb_tables, local_aws, lost):
    accounts, totals = [uuid4() for _ in range(23)], Totals()
    here = Position.below(None)
    with tracing.at(here, totals):
        queues.notify_accounts(QUEUE, accounts)
    received = receive_all(local_aws.client("sqs"))
    assert {message["Body"] for message in received} == {
        f'{{"account_id": "{account}"}}' for account in accounts
    }
    assert len(received) == 23
    for message in received:
        sent_at = message["MessageAttributes"]["traceparent"]["StringValue"]
        assert Position.parse(sent_at).trace_id == here.trace_id
    assert totals.counts == {"message": 3, "aws": 3}
    assert lost == []


def test_wake_ups_that_sqs_does_not_take_are_counted_as_lost(
    dynamodb_tables, local_aws, monkeypatch, lost
):
    monkeypatch.setenv(QUEUE.name, f"{QUEUE()}-not")
    queues.notify_accounts(QUEUE, [uuid4() for _ in range(11)])
    assert lost == [10, 1]


def test_refused_part_of_a_batch_is_counted_as_lost(dynamodb_tables, monkeypatch, lost):
    failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
    monkeypatch.setattr(aws, "call", lambda *_: {"Successful": [], "Failed": failed})
    queues.notify_accounts(QUEUE, [uuid4(), uuid4()])
    assert lost == [1]


def test_wake_ups_end_at_the_deadline(dynamodb_tables, local_aws):
    assert queues.notify_each(QUEUE, [{"query_id": "1"}], deadline=0) == 0
    assert receive_all(local_aws.client("sqs")) == []
