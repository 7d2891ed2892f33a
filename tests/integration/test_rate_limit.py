"""The token bucket beside its definition, by the expressions that DynamoDB evaluates."""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.exact_bucket import REMEMBERED, ExactBucket
from ullgetthejob.platform import aws
from ullgetthejob.platform.errors import Unavailable
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import Denied, Granted, Rule

START = 1_800_000_000_000
T = 450_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("dynamodb_tables")
a_property = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def at(ms):
    return EPOCH + timedelta(milliseconds=ms)


def acquire(owner, ms, spend_id=None):
    return token_bucket.acquire("submit", owner, spend_id=spend_id or uuid4().hex, now=at(ms))


def level(owner, ms):
    return token_bucket.read_level("submit", owner, now=at(ms))


@pytest.fixture
def wire(monkeypatch):
    """What goes to DynamoDB and comes back: the item after each request."""
    return Wire(monkeypatch)


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
    owner = uuid4()
    assert [acquire(owner, START).remaining for _ in range(20)] == list(range(19, -1, -1))
    assert acquire(owner, START) == Denied(at(START + T))
    assert acquire(owner, START + T - 1) == Denied(at(START + T))
    assert acquire(owner, START + T) == Granted(0)
    assert acquire(owner, START + T) == Denied(at(START + 2 * T))


def test_the_part_of_a_token_that_has_come_already_is_kept():
    owner = uuid4()
    for _ in range(20):
        acquire(owner, START)
    assert acquire(owner, START + T + T // 2) == Granted(0)
    assert acquire(owner, START + 2 * T) == Granted(0)


def test_two_owners_and_their_buckets_have_nothing_to_do_with_each_other():
    one, other = uuid4(), uuid4()
    for _ in range(20):
        acquire(one, START)
    assert acquire(other, START) == Granted(19)


def test_one_request_an_acquire_on_a_bucket_in_use_and_one_a_denial(wire):
    owner = uuid4()
    acquire(owner, START)
    wire.taken()
    for round_trips in range(1, 20):
        acquire(owner, START)
        assert len(wire.requests) == round_trips
    wire.taken()
    for _ in range(10):
        assert isinstance(acquire(owner, START), Denied)
    assert wire.taken() == 10


def test_one_request_also_after_it_was_full_where_this_process_knows(wire):
    owner = uuid4()
    acquire(owner, START)
    wire.taken()
    assert acquire(owner, START + 2 * T) == Granted(19)
    assert wire.taken() == 1


def test_an_id_is_spent_once_also_when_others_came_between():
    owner = uuid4()
    assert acquire(owner, START, "mine") == Granted(19)
    for _ in range(REMEMBERED - 1):
        acquire(owner, START)
    assert acquire(owner, START, "mine") == Granted(0)
    assert acquire(owner, START + 30 * T, "mine") == Granted(20)
    acquire(owner, START + 30 * T)
    assert acquire(owner, START + 30 * T, "mine") == Granted(18)


def test_a_denied_id_is_not_remembered():
    owner = uuid4()
    for _ in range(20):
        acquire(owner, START)
    assert isinstance(acquire(owner, START, "mine"), Denied)
    assert isinstance(acquire(owner, START, "mine"), Denied)
    assert acquire(owner, START + T, "mine") == Granted(0)


@pytest.mark.parametrize("spent", [0, 1, 20])
def test_after_hh_s_moment_there_is_one_token_and_then_the_usual_trickle(spent):
    owner, until = uuid4(), START + 5 * 3_600_000 + 1
    for _ in range(spent):
        acquire(owner, START)
    token_bucket.block_until("submit", owner, until=at(until), now=at(START))
    assert acquire(owner, START) == Denied(at(until))
    assert acquire(owner, until - 1) == Denied(at(until))
    assert level(owner, START).tokens == 0
    assert level(owner, START).next_refill == at(until)
    assert level(owner, START).last_refill is None
    assert acquire(owner, until) == Granted(0)
    assert acquire(owner, until) == Denied(at(until + T))


def test_hh_s_moment_is_never_moved_forward():
    owner, until = uuid4(), START + 10 * T
    token_bucket.block_until("submit", owner, until=at(until), now=at(START))
    token_bucket.block_until("submit", owner, until=at(START + T), now=at(START))
    assert acquire(owner, START) == Denied(at(until))


def test_a_moment_between_two_milliseconds_is_not_anticipated():
    owner, until = uuid4(), at(START + T) + timedelta(microseconds=1)
    token_bucket.block_until("submit", owner, until=until, now=at(START))
    assert acquire(owner, START) == Denied(at(START + T + 1))


def test_reading_spends_nothing_and_tells_when_tokens_come():
    owner = uuid4()
    fresh = level(owner, START)
    assert (fresh.tokens, fresh.last_refill, fresh.next_refill) == (20, None, None)
    acquire(owner, START)
    acquire(owner, START)
    for _ in range(3):
        found = level(owner, START + 1)
        assert (found.tokens, found.next_refill) == (18, at(START + T))
        assert found.last_refill == at(START)
    full = level(owner, START + 3 * T)
    assert (full.tokens, full.last_refill, full.next_refill) == (20, at(START + 2 * T), None)


def test_a_reset_fills_the_bucket_and_remembers_what_was_granted():
    owner = uuid4()
    for _ in range(20):
        acquire(owner, START, "mine" if _ == 19 else None)
    token_bucket.refill("submit", owner, now=at(START))
    token_bucket.refill("submit", owner, now=at(START))
    assert level(owner, START).tokens == 20
    assert acquire(owner, START, "mine") == Granted(20)
    assert acquire(owner, START) == Granted(19)


def test_a_bucket_never_used_is_reset_to_what_it_is():
    owner = uuid4()
    token_bucket.refill("submit", owner, now=at(START))
    assert acquire(owner, START) == Granted(19)


def test_an_item_stays_below_one_write_unit_and_goes_a_day_after_it_is_full(wire):
    owner = uuid4()
    for _ in range(25):
        acquire(owner, START)
    item = wire.items[-1]
    size = sum(map(len, item)) + len(item["pk"]["S"]) + 3 * 21
    size += sum(len(one["S"]) + 1 for one in item["ids"]["L"]) + 3
    assert size < 1024
    full = int(item["tat"]["N"]) // 1000
    assert int(item["expires_at"]["N"]) >= full + 86_400


def test_dynamodb_down_denies(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    aws.reset_connections()
    for ask in (
        lambda: acquire(uuid4(), START),
        lambda: level(uuid4(), START),
        lambda: token_bucket.block_until("submit", uuid4(), until=at(START), now=at(START)),
        lambda: token_bucket.refill("submit", uuid4(), now=at(START)),
    ):
        with pytest.raises(Unavailable) as raised:
            ask()
        assert raised.value.code == "rate_limit_unavailable"


@pytest.mark.parametrize(("name", "value"), [("CAPACITY", "0.5"), ("PER_HOUR", "-1")])
def test_settings_that_make_no_bucket_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"RATE_LIMIT_SUBMIT_{name}", value)
    with pytest.raises(ValueError, match="RATE_LIMIT_SUBMIT_"):
        acquire(uuid4(), START)


@pytest.mark.parametrize(
    ("per_hour", "interval_ms"), [(8, 450_000), (7, 514_286), (3600, 1000), (0.5, 7_200_000)]
)
def test_tokens_never_come_faster_than_said(per_hour, interval_ms):
    assert Rule(20, per_hour).interval_ms == interval_ms
