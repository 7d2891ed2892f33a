"""The token bucket with parallel processes: never a token too many, also with lost replies."""

from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import UUID, uuid4

import pytest

from tests.dynamodb_local.lossy_proxy import LossyProxy
from tests.dynamodb_local.parallel import run_in_parallel
from tests.dynamodb_local.rate_limit_work import SKEW_MS, spend, spend_for, spend_until_answered

# The laws that a bucket keeps beside its definition, on AWS's own expressions.
from tests.harness.bucket_properties import (
    test_bucket_equals_its_definition_step_by_step,  # noqa: F401
    test_no_window_holds_more_than_the_burst_and_the_refill,  # noqa: F401
    test_slow_clock_is_granted_no_more_than_a_correct_clock,  # noqa: F401
)
from ullgetthejob.platform import aws
from ullgetthejob.rate_limits import token_bucket

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = 1_800_000_000_000
T = 450_000
PROCESSES = 60

pytestmark = pytest.mark.usefixtures("dynamodb_local")


def moment(ms):
    return EPOCH + timedelta(milliseconds=ms)


def use_tokens(owner, ms, times):
    """Acquire *times* tokens at *ms*."""
    for _ in range(times):
        token_bucket.acquire("submit", UUID(owner), spend_id=uuid4().hex, now=moment(ms))


@pytest.mark.parametrize("knows", [False, True], ids=["guessing busy", "guessing full"])
@pytest.mark.parametrize(
    ("used_before", "expected"),
    [(None, 20), (START - 30 * T, 20), (START, 13)],
    ids=["never used", "full again", "in use"],
)
def test_sixty_processes_get_exactly_the_available_tokens(used_before, expected, knows):
    owner = str(uuid4())
    if used_before is not None:
        use_tokens(owner, used_before, 7)
    results = run_in_parallel(PROCESSES, spend, owner, START, 1, knows)
    answers = [answer for result in results for answer in result["answers"]]
    remaining = sorted(number for granted, number in answers if granted)
    assert remaining == list(range(expected))
    full = START + (20 * T if expected == 20 else 7 * T + expected * T)
    assert {number for granted, number in answers if not granted} == {full - 19 * T}
    requests = list(chain(*(result["requests"] for result in results)))
    if used_before == START:
        assert requests == [1] * PROCESSES
    assert max(requests) <= 3


def test_acquire_on_a_used_bucket_takes_one_request():
    owner = str(uuid4())
    use_tokens(owner, START, 1)
    results = run_in_parallel(20, spend, owner, START, 5, False)
    answers = list(chain(*(result["answers"] for result in results)))
    assert sum(granted for granted, _ in answers) == 19
    assert list(chain(*(result["requests"] for result in results))) == [1] * 100


@pytest.mark.parametrize("used_before", [None, START - 30 * T], ids=["never used", "full again"])
def test_retry_after_a_lost_reply_costs_no_token(dynamodb_local_server, monkeypatch, used_before):
    owner = str(uuid4())
    if used_before is not None:
        use_tokens(owner, used_before, 3)
    proxy = LossyProxy(dynamodb_local_server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
    answers = list(chain(*run_in_parallel(10, spend_until_answered, owner, START, 2)))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_server.url)
    proxy.stop()
    aws.reset_connections()
    assert proxy.lost >= 20
    assert [granted for granted, _ in answers] == [True] * 20
    level = token_bucket.read_level("submit", UUID(owner), now=moment(START))
    assert (level.tokens, level.next_refill) == (0, moment(START + T))


def test_clock_errors_gain_no_more_than_their_size(monkeypatch):
    capacity, interval = 5, 100
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", str(capacity))
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_PER_HOUR", str(3_600_000 // interval))
    granted = sorted(chain(*run_in_parallel(12, spend_for, str(uuid4()), 4, 0.02)))
    assert len(granted) >= 4_000 / interval
    for first, begun in enumerate(granted):
        for last, ended in enumerate(granted[first:], first):
            # The time between reading the clock and the arrival of the request counts like an
            # error of the clock.
            slack = 2 * SKEW_MS + 500
            assert last - first + 1 <= capacity + (ended - begun + slack) / interval
