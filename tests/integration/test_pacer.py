"""The pacer on DynamoDB's conditional writes: pace and pauses apply to all callers."""

import threading
from itertools import pairwise

import pytest

from ullgetthejob.hh import environment
from ullgetthejob.hh.errors import HHBusy, HHRegionBlocked, HHUnavailable
from ullgetthejob.hh.pacer import BACKGROUND_PATIENCE_MS, Pacer
from ullgetthejob.platform import aws
from ullgetthejob.platform.errors import Unavailable


class Time:
    """A clock in milliseconds that advances only when a caller sleeps."""

    def __init__(self):
        self.ms = 1_800_000_000_000
        self.lock = threading.Lock()

    def now_ms(self):
        return self.ms

    def sleep(self, seconds):
        with self.lock:
            self.ms += round(seconds * 1000)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def pacer(dynamodb_tables, time):
    def make(**options):
        defaults = {"calls_per_second": 4, "now_ms": time.now_ms, "sleep": time.sleep}
        return Pacer(dynamodb_tables["PACER_TABLE"], **{**defaults, **options})

    return make


@pytest.fixture
def requests_sent(monkeypatch):
    """Record the calls to DynamoDB, which are still made."""
    sent = []
    call = aws.call

    def counted(*request):
        sent.append(request)
        return call(*request)

    monkeypatch.setattr(aws, "call", counted)
    return sent


def test_calls_are_one_interval_apart(pacer, time):
    environment = pacer()
    starts = []
    for _ in range(5):
        environment.wait()
        starts.append(time.ms)
    assert [b - a for a, b in pairwise(starts)] == [250] * 4


def test_environments_share_one_pace(pacer, time):
    environments = [pacer() for _ in range(3)]
    starts = []
    for number in range(9):
        environments[number % 3].wait()
        starts.append(time.ms)
    assert [b - a for a, b in pairwise(starts)] == [250] * 8


def test_idle_pacer_accumulates_no_slots(pacer, time):
    environment = pacer()
    environment.wait()
    time.ms += 3_600_000
    before = time.ms
    environment.wait()
    assert time.ms == before
    environment.wait()
    assert time.ms == before + 250


def test_grant_takes_one_request_if_the_guess_is_right(pacer, time, requests_sent):
    environment = pacer()
    environment.wait()
    for _ in range(10):
        environment.wait()  # sleeps until its slot, so the next call finds tat ahead: BUSY at once
    assert len(requests_sent) <= 12


def test_slot_beyond_the_patience_is_refused_with_the_wait(pacer, time):
    environment = pacer(sleep=lambda seconds: None, patience_ms=1000)
    for _ in range(5):  # now, and four more within the second
        environment.wait()
    with pytest.raises(HHBusy) as raised:
        environment.wait()
    assert raised.value.retry_after_s == 1


def test_background_work_yields_to_interactive_calls(pacer):
    interactive = pacer(sleep=lambda seconds: None)
    background = pacer(sleep=lambda seconds: None, patience_ms=BACKGROUND_PATIENCE_MS)
    for _ in range(4):
        interactive.wait()
    with pytest.raises(HHBusy):
        background.wait()
    interactive.wait()


@pytest.mark.parametrize(
    ("reason", "error"),
    [("busy", HHBusy), ("region_blocked", HHRegionBlocked), ("unavailable", HHUnavailable)],
)
def test_pause_refuses_every_environment_with_its_reason(pacer, time, reason, error):
    first, second = pacer(), pacer()
    first.wait()
    first.pause(reason, 10)
    with pytest.raises(error) as raised:
        second.wait()
    assert raised.value.retry_after_s == 10
    time.ms += 9_000
    with pytest.raises(error):
        first.wait()
    time.ms += 1_001
    second.wait()


def test_shorter_pause_does_not_shorten_a_longer_one(pacer, time):
    environment = pacer()
    environment.pause("region_blocked", 60)
    environment.pause("busy", 1)
    time.ms += 5_000
    with pytest.raises(HHRegionBlocked):
        environment.wait()


def test_concurrent_threads_get_distinct_slots(pacer):
    slots = []
    refused = []
    lock = threading.Lock()

    def note(seconds):
        with lock:
            slots.append(round(seconds * 1000))

    def call():
        try:
            pacer(sleep=note, patience_ms=60_000).wait()
        except HHBusy:
            refused.append(1)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The first got the slot "now" and did not sleep; the others are distinct multiples of 250.
    assert len(set(slots)) == len(slots)
    assert all(slot % 250 == 0 for slot in slots)
    assert len(slots) + 1 + len(refused) == 12


def test_unreachable_dynamodb_denies(pacer, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.reset_connections()
    with pytest.raises(Unavailable) as raised:
        pacer().wait()
    assert raised.value.code == "pacer_unavailable"


@pytest.mark.parametrize("number", [2, 5])
def test_each_egress_has_its_own_pace(pacer, time, number):
    environments = [pacer(egress=f"nat-{place}") for place in range(number)]
    starts = {place: [] for place in range(number)}
    for _ in range(3):
        for place, caller in enumerate(environments):
            caller.wait()
            starts[place].append(time.ms)
    first_of_each = {place: moments[0] for place, moments in starts.items()}
    assert len(set(first_of_each.values())) == 1, "no egress waits for another"
    for moments in starts.values():
        assert all(later - earlier >= 250 for earlier, later in pairwise(moments))


def test_pause_of_an_egress_leaves_the_others_alone(pacer):
    blocked, other = pacer(egress="nat-blocked"), pacer(egress="nat-open")
    blocked.pause("region_blocked", 60)
    with pytest.raises(HHRegionBlocked):
        pacer(egress="nat-blocked").wait()
    other.wait()


def test_environment_paces_calls_by_the_egress_of_its_setting(dynamodb_tables, monkeypatch):
    monkeypatch.setenv("PACER_TABLE", dynamodb_tables["PACER_TABLE"])
    monkeypatch.setenv("HH_API_URL", "http://localhost:1")
    monkeypatch.setenv("HH_USER_AGENT", "Test/1.0 (test@example.org)")
    monkeypatch.setenv("HH_EGRESS", "nat-7")
    environment.client.cache_clear()
    environment.search_queue.cache_clear()
    try:
        assert environment.client()._pacer._key == {"pk": "pacer#nat-7"}
        assert environment.search_queue()._key == {"pk": "pacer#nat-7#searches"}
    finally:
        environment.client.cache_clear()
        environment.search_queue.cache_clear()
