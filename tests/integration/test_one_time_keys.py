"""One-time keys against a real DynamoDB API: burnt once, by one thing, within their life."""

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


def make(content=CONTENT, kind="test"):
    return one_time_tokens.issue(kind, content, life=LIFE, now=NOW)


def burn(key, by="A", after=timedelta(0), kind="test"):
    return one_time_tokens.consume(kind, key, by=by, now=NOW + after)


def why_not(*arguments, **named):
    with pytest.raises(one_time_tokens.InvalidToken) as raised:
        burn(*arguments, **named)
    return raised.value.reason


def items(local_aws):
    dynamodb = local_aws.client("dynamodb")
    found = dynamodb.scan(TableName="OneTimeTable")["Items"]
    dynamodb.close()
    return found


def test_a_key_brings_its_content_back():
    assert burn(make()) == CONTENT
    assert burn(make({})) == {}


def test_keys_are_long_and_different():
    keys = {make() for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) >= 43 for key in keys)


def test_a_key_is_kept_as_its_hash(local_aws):
    key = make()
    [item] = items(local_aws)
    assert item["pk"]["S"] == f"test#{hashlib.sha256(key.encode()).hexdigest()}"
    assert key not in str(item)


def test_what_burnt_a_key_may_burn_it_again_and_nothing_else():
    key = make()
    assert burn(key, by="A") == burn(key, by="A") == CONTENT
    assert why_not(key, by="B") == "used"
    assert burn(key, by="A", after=LIFE - timedelta(seconds=1)) == CONTENT


def test_a_key_ends_to_the_millisecond():
    key, late = make(), make()
    assert burn(key, after=LIFE - timedelta(milliseconds=1)) == CONTENT
    assert why_not(late, after=LIFE) == "expired"
    assert why_not(late, after=timedelta(days=1)) == "expired"
    assert why_not(key, after=LIFE) == "expired"


def test_a_key_that_was_refused_is_not_burnt():
    key = make()
    assert why_not(key, after=LIFE) == "expired"
    assert burn(key, by="B") == CONTENT


def test_a_key_of_another_kind_or_none_at_all_is_unknown():
    key = make()
    assert why_not(key, kind="ticket") == "unknown"
    for text in ("", "made up", key + "x", key[:-1], "я"):
        assert why_not(text) == "unknown"
    assert burn(key) == CONTENT


def test_of_many_at_once_one_burns():
    key = make()
    good, reasons = [], []

    def try_it(by):
        try:
            good.append((by, burn(key, by=by)))
        except one_time_tokens.InvalidToken as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=try_it, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(good) == 1
    assert reasons == ["used"] * 7
    assert burn(key, by=good[0][0]) == CONTENT


def test_dynamodb_tidies_up_a_day_after_the_end(local_aws):
    make()
    [item] = items(local_aws)
    end = datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC)
    assert end == NOW + LIFE + timedelta(days=1)


def test_dynamodb_down_is_unavailable(monkeypatch):
    key = make()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    aws.reset_connections()
    for act in (make, lambda: burn(key)):
        with pytest.raises(Unavailable) as raised:
            act()
        assert raised.value.code == "one_time_keys_unavailable"
