"""The forecast of when applications may be sent, compared with a simulated clock."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.exact_bucket import ExactBucket
from ullgetthejob.rate_limits import daily_limit
from ullgetthejob.rate_limits.availability import forecast_slots
from ullgetthejob.rate_limits.token_bucket import BucketLevel, Rule

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TICK_MS = 250
RULES = [Rule(1, 3600), Rule(3, 1800), Rule(5, 720), Rule(20, 3600)]  # 1, 2, 5, 1 s a token


def at(ms):
    return NOW + timedelta(milliseconds=ms)


def level_of(bucket):
    """Return *bucket* as :func:`ullgetthejob.rate_limits.token_bucket.read_level` does."""
    full = bucket.level == bucket.capacity
    rule = Rule(bucket.capacity, 3_600_000 / bucket.interval)
    return BucketLevel(bucket.tokens, rule, None, None if full else at(bucket.next_at))


def simulated(count, bucket, sent, limit, window_ms, start):
    """Return, tick by tick, when each application is sent: as soon as the bucket has a token and
    the window has room."""
    moments, sent, now = [], list(sent), start
    while len(moments) < count:
        bucket.advance_to(now)
        while (
            len(moments) < count
            and sum(sent_at > now - window_ms for sent_at in sent) < limit
            and bucket.acquire(f"{now}-{len(moments)}")
        ):
            sent.append(now)
            moments.append(at(now))
        now += TICK_MS
    return moments


@given(
    rule=st.sampled_from(RULES),
    spent=st.integers(0, 25),
    blocked_s=st.integers(0, 40),
    ago_s=st.lists(st.integers(0, 29), max_size=12),
    limit=st.integers(1, 12),
    start_s=st.integers(0, 20),
    count=st.integers(0, 30),
)
def test_forecast_equals_a_simulation_by_clock_ticks(
    rule, spent, blocked_s, ago_s, limit, start_s, count
):
    window_ms = 30_000
    bucket = ExactBucket(rule, 0)
    for number in range(min(spent, rule.capacity)):
        bucket.acquire(f"before-{number}")
    if blocked_s:
        bucket.block_until(blocked_s * 1000)
    level = level_of(bucket)
    sent = [-1000 * ago for ago in ago_s]
    forecast = forecast_slots(
        count,
        level,
        [at(sent_at) for sent_at in sent],
        start=at(start_s * 1000),
        limit=limit,
        window=timedelta(milliseconds=window_ms),
    )
    assert forecast == simulated(count, bucket, sent, limit, window_ms, start_s * 1000)


def test_forecast_of_500_applications_ends_on_the_third_day():
    """20 at once, then 8 an hour; in the first 24 hours 200, not 20 + 8 · 24 = 212."""
    full = BucketLevel(20, Rule(20, 8), None, None)
    forecast = forecast_slots(500, full, [], start=NOW)
    assert forecast[19] == NOW
    assert forecast[20] == NOW + timedelta(minutes=7, seconds=30)
    assert forecast[199] == NOW + 180 * timedelta(minutes=7, seconds=30)
    assert forecast[200] == NOW + daily_limit.DAY
    assert forecast[-1] - NOW < timedelta(hours=63)
    for place, moment in enumerate(forecast[daily_limit.DAY_LIMIT :]):
        assert moment - forecast[place] >= daily_limit.DAY


def test_forecast_of_no_applications_is_empty():
    assert forecast_slots(0, BucketLevel(20, Rule(20, 8), None, None), [], start=NOW) == []
