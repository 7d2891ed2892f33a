"""One-time tokens on a real DynamoDB API: consumed by a single consumer, within their lifetime."""

import hashlib
import threading
from datetime import UTC, datetime, timedelta

import pytest

from ullgetthejob.platform import aws, one_time_tokens
from ullgetthejob.platform.errors import Unavailable

NOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
LIFE = timedelta(minutes=10)
CONTENT = {"session_id": "S", "verifier": "V"}


@pytest.fixture(autouse=True)
def _tables(dynamodb_tables):
    pass


def issue(content=CONTENT, kind="test"):
    return one_time_tokens.issue(kind, content, life=LIFE, now=NOW)


def consume(key, by="A", after=timedelta(0), kind="test"):
    return one_time_tokens.consume(kind, key, by=by, now=NOW + after)


def reason_of(*arguments, **named):
    with pytest.raises(one_time_tokens.InvalidToken) as raised:
        consume(*arguments, **named)
    return raised.value.reason


def items(local_aws):
    dynamodb = local_aws.client("dynamodb")
    found = dynamodb.scan(TableName="OneTimeTable")["Items"]
    dynamodb.close()
    return found


def test_token_gives_its_content_back():
    assert consume(issue()) == CONTENT
    assert consume(issue({})) == {}


def test_tokens_are_long_and_unique():
    keys = {issue() for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) >= 43 for key in keys)


def test_token_is_stored_as_its_hash(local_aws):
    key = issue()
    [item] = items(local_aws)
    assert item["pk"]["S"] == f"test#{hashlib.sha256(key.encode()).hexdigest()}"
    assert key not in str(item)


def test_token_is_consumed_again_by_the_same_consumer_only():
    key = issue()
    assert consume(key, by="A") == consume(key, by="A") == CONTENT
    assert reason_of(key, by="B") == "used"
    assert consume(key, by="A", after=LIFE - timedelta(seconds=1)) == CONTENT


def test_token_expires_to_the_millisecond():
    key, late = issue(), issue()
    assert consume(key, after=LIFE - timedelta(milliseconds=1)) == CONTENT
    assert reason_of(late, after=LIFE) == "expired"
    assert reason_of(late, after=timedelta(days=1)) == "expired"
    assert reason_of(key, after=LIFE) == "expired"


def test_refused_token_is_not_consumed():
    key = issue()
    assert reason_of(key, after=LIFE) == "expired"
    assert consume(key, by="B") == CONTENT


def test_token_of_another_kind_is_unknown():
    key = issue()
    assert reason_of(key, kind="ticket") == "unknown"
    for text in ("", "made up", key + "x", key[:-1], "я"):
        assert reason_of(text) == "unknown"
    assert consume(key) == CONTENT


def test_one_of_many_concurrent_consumers_succeeds():
    key = issue()
    good, reasons = [], []

    def try_to_consume(by):
        try:
            good.append((by, consume(key, by=by)))
        except one_time_tokens.InvalidToken as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=try_to_consume, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(good) == 1
    assert reasons == ["used"] * 7
    assert consume(key, by=good[0][0]) == CONTENT


def test_ttl_is_a_day_after_the_expiry(local_aws):
    issue()
    [item] = items(local_aws)
    end = datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC)
    assert end == NOW + LIFE + timedelta(days=1)


def test_unreachable_dynamodb_is_unavailable(monkeypatch):
    key = issue()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    aws.reset_connections()
    for act in (issue, lambda: consume(key)):
        with pytest.raises(Unavailable) as raised:
            act()
        assert raised.value.code == "one_time_keys_unavailable"
