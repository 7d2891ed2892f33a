"""The event log on a real Postgres, and its wake-ups."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest

from ullgetthejob.platform import aws, postgres
from ullgetthejob.realtime import event_log

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.fixture
def connection(database, dynamodb_tables):
    return postgres.connection()


@pytest.fixture
def account_id(connection):
    row = connection.execute(
        "INSERT INTO accounts (hh_user_id, access_changed_at, created_at) VALUES (%s, %s, %s)"
        " RETURNING id",
        (uuid4().hex, NOW, NOW),
    ).fetchone()
    return row["id"]


def append(account_id, connection, event_type="application.updated", data=None):
    return event_log.append(account_id, event_type, data or {}, connection=connection, now=NOW)


def receive_wake_ups(wait_s=0):
    """Return the accounts of the wake-ups in the queue."""
    request = {"QueueUrl": event_log.QUEUE(), "MaxNumberOfMessages": 10}
    response = aws.call("sqs", "ReceiveMessage", {**request, "WaitTimeSeconds": wait_s})
    messages = response.get("Messages", [])
    return [json.loads(message["Body"])["account_id"] for message in messages]


def test_commit_sends_one_wake_up(connection, account_id):
    with connection.transaction():
        assert [append(account_id, connection) for _ in range(3)] == [1, 2, 3]
        assert receive_wake_ups() == []
    assert receive_wake_ups() == [str(account_id)]


def test_rollback_sends_no_wake_up(connection, account_id):
    def append_and_fail():
        with connection.transaction():
            append(account_id, connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        append_and_fail()
    assert receive_wake_ups() == []
    assert append(account_id, connection) == 1


def test_wake_ups_of_many_events_are_debounced(connection, account_id, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(event_log, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for _ in range(10):
        append(account_id, connection)
    assert receive_wake_ups() == [str(account_id)]
    assert receive_wake_ups(wait_s=20) == [str(account_id)], "a second later, for the other nine"
    now[0] += 2 * event_log.NOTIFY_INTERVAL_S
    append(account_id, connection)
    assert receive_wake_ups() == [str(account_id)]


def test_event_that_is_too_long_is_refused_and_takes_no_seq(connection, account_id):
    with pytest.raises(event_log.EventTooLong):
        append(account_id, connection, data={"text": "ж" * event_log.MAX_DATA_BYTES})
    assert append(account_id, connection) == 1
