"""When the next applications may go out: the forecast beside a clock that ticks."""

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
    """As :func:`ullgetthejob.rate_limits.token_bucket.read_level` tells it."""
    full = bucket.level == bucket.capacity
    rule = Rule(bucket.capacity, 3_600_000 / bucket.interval)
    return BucketLevel(bucket.tokens, rule, None, None if full else at(bucket.next_at))


def simulated(count, bucket, went, limit, window_ms, start):
    """Tick by tick: an application goes out as soon as there is a token and room in the window."""
    moments, went, now = [], list(went), start
    while len(moments) < count:
        bucket.advance_to(now)
        while (
            len(moments) < count
            and sum(one > now - window_ms for one in went) < limit
            and bucket.acquire(f"{now}-{len(moments)}")
        ):
            went.append(now)
            moments.append(at(now))
        now += TICK_MS
    return moments


@given(
    rule=st.sampled_from(RULES),
    spent=st.integers(0, 25),
    shut_s=st.integers(0, 40),
    ago_s=st.lists(st.integers(0, 29), max_size=12),
    limit=st.integers(1, 12),
    start_s=st.integers(0, 20),
    count=st.integers(0, 30),
)
def test_the_forecast_is_what_a_ticking_clock_finds(
    rule, spent, shut_s, ago_s, limit, start_s, count
):
    window_ms = 30_000
    bucket = ExactBucket(rule, 0)
    for number in range(min(spent, rule.capacity)):
        bucket.acquire(f"before-{number}")
    if shut_s:
        bucket.block_until(shut_s * 1000)
    level = level_of(bucket)
    went = [-1000 * ago for ago in ago_s]
    found = forecast_slots(
        count,
        level,
        [at(moment) for moment in went],
        start=at(start_s * 1000),
        limit=limit,
        window=timedelta(milliseconds=window_ms),
    )
    assert found == simulated(count, bucket, went, limit, window_ms, start_s * 1000)


def test_with_hh_s_own_numbers_a_campaign_of_500_takes_until_the_third_day():
    """20 at once, then 8 an hour; in the first 24 hours 200, not 20 + 8 · 24 = 212."""
    full = BucketLevel(20, Rule(20, 8), None, None)
    found = forecast_slots(500, full, [], start=NOW)
    assert found[19] == NOW
    assert found[20] == NOW + timedelta(minutes=7, seconds=30)
    assert found[199] == NOW + 180 * timedelta(minutes=7, seconds=30)
    assert found[200] == NOW + daily_limit.DAY
    assert found[-1] - NOW < timedelta(hours=63)
    for place, moment in enumerate(found[daily_limit.DAY_LIMIT :]):
        assert moment - found[place] >= daily_limit.DAY


def test_nothing_to_send_needs_no_time():
    assert forecast_slots(0, BucketLevel(20, Rule(20, 8), None, None), [], start=NOW) == []
