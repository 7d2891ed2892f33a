"""The token bucket compared with its definition, on the expressions that DynamoDB evaluates."""

from datetime import timedelta
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


<<<<<<< HEAD
def test_bucket_grants_twenty_then_one_per_interval():
=======
class Wire:
    def __init__(self, monkeypatch):
        self.requests = []
        self.items = []
        self._call = aws.call
        monkeypatch.setattr(aws, "call", self.call)

    def call(self, service, operation, request):
        self.requests.append(operation)
        try:
            answer = self._call(service, operation, request)
        except aws.AwsError as error:
            self.items.append(error.content.get("Item", {}))
            raise
        self.items.append(answer.get("Attributes") or answer.get("Item", {}))
        return answer

    def taken(self):
        """How many requests since the last look."""
        taken = len(self.requests)
        self.requests.clear()
        return taken

    @property
    def tat(self):
        return int(self.items[-1]["tat"]["N"]) if self.items[-1] else None


# ── beside the definition ────────────────────────────────────────────────────────────────────────

RULES = st.sampled_from([(20, 8), (20, 8), (1, 60), (3, 7), (5, 3600), (2, 0.5)])
GAPS = st.one_of(
    st.just(0),
    st.integers(0, 2_000),
    st.integers(0, 2 * T),
    st.sampled_from([T - 1, T, T + 1, 20 * T, 21 * T]),
    st.integers(0, 30 * T),
)
STEPS = st.lists(
    st.tuples(
        GAPS,
        st.sampled_from(["acquire"] * 12 + ["again"] * 4 + ["read", "shut", "reset", "forget"]),
        st.integers(0, 30),  # how far back a retry is; how many tokens away hh.ru's moment is
        st.integers(0, 1),  # which of two processes
    ),
    min_size=5,
    max_size=60,
)


def requests_of_a_grant(state_tat, hint, now):
    """One when the guess is right."""
    guess_is_idle = hint is not None and hint <= now
    if state_tat is None:
        return 2
    return 1 if guess_is_idle == (state_tat <= now) else 2


@a_property
@given(rule=RULES, steps=STEPS)
def test_it_grants_and_denies_as_the_definition_does(monkeypatch, rule, steps):
    with monkeypatch.context() as patch:
        patch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", str(rule[0]))
        patch.setenv("RATE_LIMIT_SUBMIT_PER_HOUR", str(rule[1]))
        wire = Wire(patch)
        owner, now, granted, ids = uuid4(), START, [], (f"id-{number}" for number in count())
        key = f"submit#{owner}"
        exact, processes, tat = ExactBucket(Rule(*rule), now), ({}, {}), None
        for gap, act, back, process in steps:
            now += gap
            exact.advance_to(now)
            hints = processes[process]
            patch.setattr(token_bucket, "_last_tat", hints)
            if act in ("acquire", "again"):
                again = act == "again" and back < len(granted)
                spend_id = granted[-1 - back] if again else next(ids)
                remembered = spend_id in exact.ids
                one, hint = exact.level >= 1, hints.get(key)
                result = acquire(owner, now, spend_id)
                if exact.acquire(spend_id):
                    assert result == Granted(exact.tokens)
                    if not remembered:
                        granted.append(spend_id)
                else:
                    assert result == Denied(at(exact.next_at))
                fresh_grant = one and not remembered
                expected = requests_of_a_grant(tat, hint, now) if fresh_grant else 1
                assert wire.taken() == expected
            elif act == "read":
                found = level(owner, now)
                assert found.tokens == exact.tokens
                full = exact.level == exact.capacity
                assert found.next_refill == (None if full else at(exact.next_at))
                assert found.last_refill is None or found.last_refill <= at(now)
                assert wire.taken() == 1
            elif act == "shut":
                until = now + back * exact.interval + gap % 1000
                token_bucket.block_until("submit", owner, until=at(until), now=at(now))
                exact.block_until(until)
                assert wire.taken() == 1
            elif act == "reset":
                token_bucket.refill("submit", owner, now=at(now))
                exact.reset()
                assert wire.taken() == 1
            else:
                hints.clear()
                continue
            if tat is not None and act != "reset":
                assert wire.tat >= tat
            tat = wire.tat


@a_property
@given(
    gaps=st.lists(st.one_of(st.integers(0, 900), st.integers(0, 2 * T)), min_size=30, max_size=90),
    skews=st.lists(st.integers(-3_000, 3_000), min_size=90, max_size=90),
    skewed=st.booleans(),
)
def test_no_window_holds_more_than_the_burst_and_the_refill(monkeypatch, gaps, skews, skewed):
    owner, now, granted = uuid4(), START, []
    with monkeypatch.context() as patch:
        for gap, skew in zip(gaps, skews, strict=False):
            now += gap
            patch.setattr(token_bucket, "_last_tat", {})
            if isinstance(acquire(owner, now + skew * skewed), Granted):
                granted.append(now)
    slack = 6_000 * skewed
    for first, begun in enumerate(granted):
        for last, ended in enumerate(granted[first:], first):
            assert (last - first + 1) <= 20 + (ended - begun + slack) / T


@a_property
@given(
    gaps=st.lists(st.integers(0, T), min_size=0, max_size=40),
    then=st.integers(0, T),
    slow=st.integers(1, 600_000),
)
def test_a_slow_clock_can_only_be_denied_what_a_right_one_gets(gaps, then, slow):
    by_right, by_slow, now = uuid4(), uuid4(), START
    for gap in gaps:
        now += gap
        assert acquire(by_right, now) == acquire(by_slow, now)
    right, late = acquire(by_right, now + then), acquire(by_slow, now + then - slow)
    assert isinstance(right, Granted) or isinstance(late, Denied)


# ── one by one ───────────────────────────────────────────────────────────────────────────────────


def test_twenty_at_once_then_one_every_seven_and_a_half_minutes():
>>>>>>> p_platform
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


@pytest.mark.parametrize("spent", [0, 1, 20])
def test_blocked_bucket_gets_a_token_at_the_end_of_the_block(spent):
    owner, until = uuid4(), START + 5 * 3_600_000 + 1
    for _ in range(spent):
        acquire(owner, START)
    token_bucket.block_until("submit", owner, until=at(until), now=at(START))
    assert acquire(owner, START) == Denied(at(until))
    assert acquire(owner, until - 1) == Denied(at(until))
    assert read_level(owner, START).tokens == 0
    assert read_level(owner, START).next_refill == at(until)
    assert read_level(owner, START).last_refill is None
    assert acquire(owner, until) == Granted(0)
    assert acquire(owner, until) == Denied(at(until + T))


def test_shorter_block_does_not_shorten_a_longer_one():
    owner, until = uuid4(), START + 10 * T
    token_bucket.block_until("submit", owner, until=at(until), now=at(START))
    token_bucket.block_until("submit", owner, until=at(START + T), now=at(START))
    assert acquire(owner, START) == Denied(at(until))


def test_block_until_a_fraction_of_a_millisecond_rounds_up():
    owner, until = uuid4(), at(START + T) + timedelta(microseconds=1)
    token_bucket.block_until("submit", owner, until=until, now=at(START))
    assert acquire(owner, START) == Denied(at(START + T + 1))


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
        lambda: token_bucket.block_until("submit", uuid4(), until=at(START), now=at(START)),
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
