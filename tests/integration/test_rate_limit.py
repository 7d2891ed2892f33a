"""The token bucket compared with its definition, on the expressions that DynamoDB evaluates."""

from uuid import uuid4

import pytest

from tests.fixtures.exact_bucket import REMEMBERED
from tests.harness.bucket_properties import (
    START,
    RecordedCalls,
    T,
    acquire,
    at,
    read_level,
    test_bucket_equals_its_definition_step_by_step,  # noqa: F401
    test_no_window_holds_more_than_the_burst_and_the_refill,  # noqa: F401
    test_slow_clock_is_granted_no_more_than_a_correct_clock,  # noqa: F401
)
from ullgetthejob.platform import aws
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import Denied, Granted, Rule

pytestmark = pytest.mark.usefixtures("dynamodb_tables")


@pytest.fixture
def calls(monkeypatch):
    """The recorded calls to DynamoDB."""
    return RecordedCalls(monkeypatch)


def test_bucket_grants_twenty_then_one_per_interval():
    owner = uuid4()
    assert [acquire(owner, START).remaining for _ in range(20)] == list(range(19, -1, -1))
    assert acquire(owner, START) == Denied(at(START + T))
    assert acquire(owner, START + T - 1) == Denied(at(START + T))
    assert acquire(owner, START + T) == Granted(0)
    assert acquire(owner, START + T) == Denied(at(START + 2 * T))


def test_partial_token_is_kept_after_a_grant():
    owner = uuid4()
    for _ in range(20):
        acquire(owner, START)
    assert acquire(owner, START + T + T // 2) == Granted(0)
    assert acquire(owner, START + 2 * T) == Granted(0)


def test_buckets_of_two_owners_are_independent():
    first, second = uuid4(), uuid4()
    for _ in range(20):
        acquire(first, START)
    assert acquire(second, START) == Granted(19)


def test_acquire_on_a_bucket_in_use_makes_one_request(calls):
    owner = uuid4()
    acquire(owner, START)
    calls.count_new()
    for round_trips in range(1, 20):
        acquire(owner, START)
        assert len(calls.requests) == round_trips
    calls.count_new()
    for _ in range(10):
        assert isinstance(acquire(owner, START), Denied)
    assert calls.count_new() == 10


def test_acquire_on_a_bucket_known_as_full_makes_one_request(calls):
    owner = uuid4()
    acquire(owner, START)
    calls.count_new()
    assert acquire(owner, START + 2 * T) == Granted(19)
    assert calls.count_new() == 1


def test_spend_id_is_charged_once_despite_others_between():
    owner = uuid4()
    assert acquire(owner, START, "mine") == Granted(19)
    for _ in range(REMEMBERED - 1):
        acquire(owner, START)
    assert acquire(owner, START, "mine") == Granted(0)
    assert acquire(owner, START + 30 * T, "mine") == Granted(20)
    acquire(owner, START + 30 * T)
    assert acquire(owner, START + 30 * T, "mine") == Granted(18)


def test_denied_spend_id_is_not_remembered():
    owner = uuid4()
    for _ in range(20):
        acquire(owner, START)
    assert isinstance(acquire(owner, START, "mine"), Denied)
    assert isinstance(acquire(owner, START, "mine"), Denied)
    assert acquire(owner, START + T, "mine") == Granted(0)


def test_read_level_spends_nothing_and_returns_refill_times():
    owner = uuid4()
    fresh = read_level(owner, START)
    assert (fresh.tokens, fresh.last_refill, fresh.next_refill) == (20, None, None)
    acquire(owner, START)
    acquire(owner, START)
    for _ in range(3):
        level = read_level(owner, START + 1)
        assert (level.tokens, level.next_refill) == (18, at(START + T))
        assert level.last_refill == at(START)
    full = read_level(owner, START + 3 * T)
    assert (full.tokens, full.last_refill, full.next_refill) == (20, at(START + 2 * T), None)


def test_refill_fills_the_bucket_and_keeps_spend_ids():
    owner = uuid4()
    for number in range(20):
        acquire(owner, START, "mine" if number == 19 else None)
    token_bucket.refill("submit", owner, now=at(START))
    token_bucket.refill("submit", owner, now=at(START))
    assert read_level(owner, START).tokens == 20
    assert acquire(owner, START, "mine") == Granted(20)
    assert acquire(owner, START) == Granted(19)


def test_refill_of_an_unused_bucket_changes_nothing():
    owner = uuid4()
    token_bucket.refill("submit", owner, now=at(START))
    assert acquire(owner, START) == Granted(19)


def test_item_stays_below_a_write_unit_and_expires_when_full(calls):
    owner = uuid4()
    for _ in range(25):
        acquire(owner, START)
    item = calls.items[-1]
    size = sum(map(len, item)) + len(item["pk"]["S"]) + 3 * 21
    size += sum(len(spend_id["S"]) + 1 for spend_id in item["ids"]["L"]) + 3
    assert size < 1024
    full = int(item["tat"]["N"]) // 1000
    assert int(item["expires_at"]["N"]) >= full + 86_400


def test_dynamodb_down_raises_unavailable(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    aws.reset_connections()
    for operation in (
        lambda: acquire(uuid4(), START),
        lambda: read_level(uuid4(), START),
        lambda: token_bucket.refill("submit", uuid4(), now=at(START)),
    ):
        with pytest.raises(Unavailable) as raised:
            operation()
        assert raised.value.code == "rate_limit_unavailable"


@pytest.mark.parametrize(("name", "value"), [("CAPACITY", "0.5"), ("PER_HOUR", "-1")])
def test_settings_out_of_range_raise_value_error(monkeypatch, name, value):
    monkeypatch.setenv(f"RATE_LIMIT_SUBMIT_{name}", value)
    with pytest.raises(ValueError, match="RATE_LIMIT_SUBMIT_"):
        acquire(uuid4(), START)


@pytest.mark.parametrize(
    ("per_hour", "interval_ms"), [(8, 450_000), (7, 514_286), (3600, 1000), (0.5, 7_200_000)]
)
def test_token_interval_is_rounded_up(per_hour, interval_ms):
    assert Rule(20, per_hour).interval_ms == interval_ms
