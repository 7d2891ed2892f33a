"""Properties of the token bucket, and what a test of it sees of DynamoDB.

The properties are collected where they are imported: against the local AWS and DynamoDB Local.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.exact_bucket import ExactBucket
from ullgetthejob.platform import aws
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import BucketLevel, Denied, Granted, Rule

if TYPE_CHECKING:
    import pytest

START = 1_800_000_000_000  # ms
T = 450_000  # ms between two tokens, at 8 an hour
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

bucket_property = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def at(ms: int) -> datetime:
    """Return the time of *ms*."""
    return EPOCH + timedelta(milliseconds=ms)


def acquire(owner: UUID, ms: int, spend_id: str | None = None) -> Granted | Denied:
    """Spend a token of *owner*'s at *ms*, by default with a new spend id."""
    return token_bucket.acquire("submit", owner, spend_id=spend_id or uuid4().hex, now=at(ms))


def read_level(owner: UUID, ms: int) -> BucketLevel:
    """Return *owner*'s bucket at *ms*."""
    return token_bucket.read_level("submit", owner, now=at(ms))


class RecordedCalls:
    """Calls to AWS: their operations, and the item after each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[str] = []
        self.items: list[dict[str, Any]] = []
        self._call = aws.call
        monkeypatch.setattr(aws, "call", self.call)

    def call(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call AWS, and record the call."""
        self.requests.append(operation)
        try:
            answer: dict[str, Any] = self._call(service, operation, request)
        except aws.AwsError as error:
            self.items.append(error.content.get("Item", {}))
            raise
        self.items.append(answer.get("Attributes") or answer.get("Item", {}))
        return answer

    def count_new(self) -> int:
        """Return the number of requests since the last count."""
        new = len(self.requests)
        self.requests.clear()
        return new

    @property
    def tat(self) -> int | None:
        """Return the ``tat`` of the last item."""
        return int(self.items[-1]["tat"]["N"]) if self.items[-1] else None


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
        st.sampled_from(["acquire"] * 12 + ["repeat"] * 4 + ["read", "refill", "lose hints"]),
        st.integers(0, 30),  # which earlier grant is repeated
        st.integers(0, 1),  # which of two processes
    ),
    min_size=5,
    max_size=60,
)


class Comparison:
    """A bucket in DynamoDB and its definition, compared step by step in two processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rule: Rule) -> None:
        self._monkeypatch = monkeypatch
        self._calls = RecordedCalls(monkeypatch)
        self._owner, self._now = uuid4(), START
        self._exact = ExactBucket(rule, START)
        self._hints: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._granted: list[str] = []
        self._new_ids = (f"id-{number}" for number in count())
        self._tat: int | None = None

    def step(self, gap: int, action: str, back: int, process: int) -> None:
        """Perform one action *gap* ms later and compare its result and number of requests."""
        self._now += gap
        self._exact.advance_to(self._now)
        hints = self._hints[process]
        self._monkeypatch.setattr(token_bucket, "_last_tat", hints)
        if action == "lose hints":
            hints.clear()
            return
        if action in ("acquire", "repeat"):
            repeats = action == "repeat" and back < len(self._granted)
            self._acquire(self._granted[-1 - back] if repeats else next(self._new_ids), hints)
        elif action == "read":
            self._read()
        else:
            token_bucket.refill("submit", self._owner, now=at(self._now))
            self._exact.reset()
            assert self._calls.count_new() == 1
        tat = self._calls.tat
        if self._tat is not None and action != "refill":
            assert tat is not None
            assert tat >= self._tat
        self._tat = tat

    def _acquire(self, spend_id: str, hints: dict[str, int]) -> None:
        remembered = spend_id in self._exact.ids
        has_token, hint = self._exact.level >= 1, hints.get(f"submit#{self._owner}")
        result = acquire(self._owner, self._now, spend_id)
        if self._exact.acquire(spend_id):
            assert result == Granted(self._exact.tokens)
            if not remembered:
                self._granted.append(spend_id)
        else:
            assert result == Denied(at(self._exact.next_at))
        is_new_grant = has_token and not remembered
        expected = requests_of_a_grant(self._tat, hint, self._now) if is_new_grant else 1
        assert self._calls.count_new() == expected

    def _read(self) -> None:
        level = read_level(self._owner, self._now)
        assert level.tokens == self._exact.tokens
        full = self._exact.level == self._exact.capacity
        assert level.next_refill == (None if full else at(self._exact.next_at))
        assert level.last_refill is None or level.last_refill <= at(self._now)
        assert self._calls.count_new() == 1


def requests_of_a_grant(tat: int | None, hint: int | None, now: int) -> int:
    """Return the number of requests of a grant: 1 when the hint leads to the right guess."""
    guess_is_idle = hint is not None and hint <= now
    if tat is None:
        return 2
    return 1 if guess_is_idle == (tat <= now) else 2


@bucket_property
@given(rule=RULES, steps=STEPS)
def test_bucket_equals_its_definition_step_by_step(monkeypatch, rule, steps):
    with monkeypatch.context() as patch:
        patch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", str(rule[0]))
        patch.setenv("RATE_LIMIT_SUBMIT_PER_HOUR", str(rule[1]))
        comparison = Comparison(patch, Rule(*rule))
        for step in steps:
            comparison.step(*step)


@bucket_property
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
    for first, started in enumerate(granted):
        for last, ended in enumerate(granted[first:], first):
            assert (last - first + 1) <= 20 + (ended - started + slack) / T


@bucket_property
@given(
    gaps=st.lists(st.integers(0, T), min_size=0, max_size=40),
    then=st.integers(0, T),
    slow=st.integers(1, 600_000),
)
def test_slow_clock_is_granted_no_more_than_a_correct_clock(gaps, then, slow):
    correct, slow_owner, now = uuid4(), uuid4(), START
    for gap in gaps:
        now += gap
        assert acquire(correct, now) == acquire(slow_owner, now)
    in_time, late = acquire(correct, now + then), acquire(slow_owner, now + then - slow)
    assert isinstance(in_time, Granted) or isinstance(late, Denied)
