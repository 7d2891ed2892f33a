"""Both limits over three days on the one clock: a bucket of 20 that gets 8 an hour, and hh.ru's 200
in any 24 hours, of which hh.ru's own log is the judge."""

import random
from datetime import datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tests.fixtures.hh_sandbox import USER_AGENT, run_sandbox
from tests.harness.apply_invariants import (
    calls_made,
    check_days,
    check_invariants,
    spent_since,
    was_full_at,
)
from tests.harness.applying import CALLER, ApplyHarness, publish, second_session
from ullgetthejob.accounts import people
from ullgetthejob.applications import attempts, negotiation_sync
from ullgetthejob.applications.commands import RetryBody, retry
from ullgetthejob.hh.client import HHClient
from ullgetthejob.rate_limits import daily_limit

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)  # between two sweeps
CAPACITY, PER_HOUR = 20, 8
INTERVAL = HOUR / PER_HOUR
SWEPT_EVERY = 20  # steps: whose moment has come is rung for by hand
NEXT = """
    SELECT least((SELECT min(due_at) FROM application_ledger WHERE account_id = %(id)s),
                 (SELECT negotiations_due_at FROM accounts WHERE id = %(id)s)) AS moment
"""


class Unpaced:
    """Lets every call go at once: the pacer has tests of its own."""

    def wait(self):
        """At once."""

    def pause(self, reason, seconds):
        raise AssertionError(reason)


@pytest.fixture
def hh_sandbox(tmp_path):
    """One of its own: days pass, and hundreds of vacancies are published."""
    options = ("--vacancies", "900", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


@pytest.fixture
def greedy(connected, monkeypatch):
    """Somebody with one resume who never has enough."""
    connected.sandbox.employers_act(False)
    connected.sandbox.control("POST", "/clock", {"rate": 0})
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    harness = ApplyHarness(connected, "timur")
    harness.hh = HHClient(connected.sandbox.url, user_agent=USER_AGENT, pacer=Unpaced())
    connected.clients.append(harness.hh)
    return harness


class Days:
    """Time that passes for one person on two sessions."""

    def __init__(self, harness, hours):
        self.harness = harness
        self.sessions = [harness.user_id, second_session(harness)]
        self.began = harness.world.now()
        self.ends = self.began + hours * HOUR
        self.steps = 0

    def submit(self, count):
        """New ones, by either session; a tenth of them by both."""
        for number in range(count):
            vacancy = publish(self.harness)
            ids = set()
            for session in self.sessions if number % 10 == 0 else [self.sessions[number % 2]]:
                self.harness.user_id = session
                ids.add(self.harness.submit(vacancy).application_id)
            assert len(ids) == 1

    def want_again(self, count):
        """Press "retry" on what waits."""
        about = {
            "person": self.harness.person,
            "caller": CALLER,
            "connection": self.harness.connection,
        }
        waiting = self.harness.connection.execute(
            "SELECT id FROM application_ledger WHERE state = 'waiting_quota' LIMIT %s", [count]
        ).fetchall()
        for row in waiting:
            retry(str(row["id"]), RetryBody(), now=self.harness.world.now(), **about)

    def pass_on(self):
        """To the next minute in which something is due; whether the days are not over."""
        now = self.harness.world.now()
        found = self.harness.connection.execute(NEXT, {"id": self.harness.account_id}).fetchone()
        due = max(found["moment"] or now, now)
        minutes = -(-(due - now) // MINUTE) or 1
        self.harness.world.sandbox.advance(minutes * MINUTE.total_seconds())
        self.steps += 1
        if self.steps % SWEPT_EVERY == 0:
            self.harness.sweep()
        self.harness.run()
        return self.harness.world.now() < self.ends

    def accepted(self):
        """When hh.ru took those that Core made."""
        return [moment(one) for one in self.harness.posted(outcome="accepted", by="api")]


def moment(entry):
    return datetime.fromisoformat(entry["at"])


def allowed(began, ends):
    """When somebody applies who uses all that both limits allow."""
    moments, full_at = [], began
    while True:
        at = max(began, full_at - (CAPACITY - 1) * INTERVAL)
        if len(moments) >= daily_limit.DAY_LIMIT:
            at = max(at, moments[-daily_limit.DAY_LIMIT] + daily_limit.DAY)
        if at >= ends:
            return moments
        full_at = max(full_at, at) + INTERVAL
        moments.append(at)


def test_three_days_of_a_greedy_person_use_what_the_limits_allow_and_no_more(greedy, monkeypatch):
    monkeypatch.setattr(
        negotiation_sync, "MIN_INTERVAL", negotiation_sync.MAX_INTERVAL
    )  # nothing happens there
    days = Days(greedy, 72)
    days.submit(60)
    greedy.run()
    chance = random.Random(1)  # noqa: S311 - no secret
    more = True
    while more:
        if waiting(greedy) < 30:
            days.submit(40)
        if chance.random() < 0.05:
            days.want_again(3)
        more = days.pass_on()
    made, ideal = days.accepted(), allowed(days.began, days.ends)
    assert {one["outcome"] for one in greedy.posted()} == {"accepted"}
    assert check_days(greedy.posted()) == daily_limit.DAY_LIMIT
    assert len(ideal) * 0.99 <= len(made) <= CAPACITY + PER_HOUR * 72
    for at in (days.began + hours * HOUR for hours in range(1, 23)):
        so_far = sum(one <= at for one in made)
        by_law = CAPACITY + PER_HOUR * ((at - days.began) / HOUR)
        assert by_law * 0.99 - 1 <= so_far <= by_law
    check_invariants(
        greedy.account_id, greedy.name, sandbox=greedy.world.sandbox, connection=greedy.connection
    )


def waiting(harness):
    found = harness.connection.execute(
        "SELECT count(*) AS waiting FROM application_ledger WHERE state = 'waiting_quota'"
    ).fetchone()
    return found["waiting"]


def test_applications_by_hand_cost_one_refusal_a_poll_at_most_and_nothing_is_lost(greedy):
    days = Days(greedy, 30)
    days.submit(150)
    greedy.run()
    chance = random.Random(2)  # noqa: S311 - no secret
    refusals, more = [], True
    while more:
        if chance.random() < 0.05:
            by_hand(greedy, chance.choice([5, 20, daily_limit.DAY_LIMIT]))
        before = len(greedy.posted(outcome="limit_exceeded"))
        more = days.pass_on()
        refused = greedy.posted(outcome="limit_exceeded")[before:]
        assert len(refused) <= 1
        if refused:
            held = people.find_by_id(greedy.user_id).access
            assert held.state == "limited_until"
            refusals.append((moment(refused[0]), held.until))
    calls = [moment(one) for one in greedy.posted(by="api")]
    assert refusals
    for (at, until), (following, _) in pairwise(refusals):
        assert following - at >= negotiation_sync.MIN_INTERVAL
        assert not [call for call in calls if at < call < until]
    assert check_days(greedy.posted()) <= daily_limit.DAY_LIMIT
    check_invariants(
        greedy.account_id, greedy.name, sandbox=greedy.world.sandbox, connection=greedy.connection
    )


def by_hand(harness, count):
    """The person applies on the site, until hh.ru says that it is enough."""
    try:
        harness.world.sandbox.apply_by_hand(harness.name, count=count)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 409  # noqa: PT017 - hh.ru took as many as it would


def test_one_person_on_two_sessions_has_twenty_tokens(greedy):
    days = Days(greedy, 1)
    days.submit(30)
    greedy.run()
    assert len(days.accepted()) == CAPACITY
    assert len({one["vacancy_id"] for one in greedy.posted()}) == CAPACITY
    assert waiting(greedy) == 30 - CAPACITY


def test_a_token_in_hand_is_not_paid_again_however_many_went_before(greedy):
    """hh.ru does not take the first call; while it waits, the bucket forgets whom it gave what."""
    first = greedy.submit(publish(greedy))
    greedy.world.sandbox.fault("too_many_requests", path="/negotiations", method="POST", times=1)
    greedy.hh._pacer.pause = lambda _reason, _seconds: None  # no pause of all calls: the others go
    greedy.run()
    assert greedy.row(first).state == "queued"
    was_full = was_full_at(greedy.account_id)
    others = [greedy.submit(publish(greedy)) for _ in range(CAPACITY + 5)]
    postpone(greedy, first, HOUR)  # not so long that the bucket is full again
    wait_for(greedy, others)
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)
    assert greedy.row(first).state == "queued"
    wait_for(greedy, [first])
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)
    made = calls_made(greedy.account_id, connection=greedy.connection)
    assert made == 1 + len(others)


def test_a_token_of_a_worker_that_died_is_put_on_record_before_the_bucket_forgets_it(greedy):
    first = greedy.submit(publish(greedy))
    begin, attempts.begin_attempt = attempts.begin_attempt, dies
    try:
        with pytest.raises(Died):
            greedy.run()
    finally:
        attempts.begin_attempt = begin
    assert greedy.row(first).state == "preparing"
    was_full = was_full_at(greedy.account_id)
    greedy.world.sandbox.advance(120)
    greedy.world.sandbox.fault("server_error", path="/vacancies", times=1)
    greedy.run()  # found to be paid, and not made all the same
    assert greedy.row(first).state == "queued"
    others = [greedy.submit(publish(greedy)) for _ in range(CAPACITY + 5)]
    postpone(greedy, first, HOUR)
    wait_for(greedy, [*others, first])
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)


class Died(Exception):
    pass


def dies(*_, **__):
    raise Died


def postpone(harness, accepted, by):
    changed = harness.connection.execute(
        "UPDATE application_ledger SET due_at = due_at + %s WHERE id = %s",
        (by, accepted.application_id),
    )
    assert changed.rowcount == 1


def wait_for(harness, accepted):
    """Until all of them are made."""
    for _ in range(600):
        harness.run()
        if all(harness.row(one).state == "submitted" for one in accepted):
            return
        harness.world.sandbox.advance(INTERVAL.total_seconds())
    raise AssertionError([harness.row(one).state for one in accepted])
