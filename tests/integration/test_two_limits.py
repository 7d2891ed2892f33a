"""Both limits over more than a day on the sandbox's clock: a bucket of 20 that gets 8 an hour, and
hh.ru's 200 in any 24 hours, checked against hh.ru's own log."""

import os
import random
from collections import deque
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
from tests.harness.applying import ApplyHarness, publish, second_session
from tests.harness.hh_client import Unpaced
from ullgetthejob.accounts import people
from ullgetthejob.applications import attempts, negotiation_sync
from ullgetthejob.applications.commands import retry
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.hh.client import HHClient
from ullgetthejob.rate_limits import daily_limit

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)  # between two sweeps
CAPACITY, PER_HOUR = 20, 8
HOURS = int(os.environ.get("SOAK_HOURS", "26"))  # the 201st waits for the 24th hour to end
INTERVAL = HOUR / PER_HOUR
SWEEP_INTERVAL = 20  # steps, after which the sweep sends wake-ups of due accounts
# After how many hours the person applies by hand, and how often: some of what hh.ru accepts in 24
# hours, then all that it still accepts.
BY_HAND = ((1, 5), (3, 20), (5, daily_limit.DAY_LIMIT))
SELECT_NEXT_DUE = """
    SELECT (SELECT min(due_at) FROM application_ledger WHERE account_id = %(id)s) AS application,
           (SELECT negotiations_due_at FROM accounts WHERE id = %(id)s) AS sync
"""


class Unpaused(Unpaced):
    """A pacer of calls that hh.ru never refuses."""

    def pause(self, reason, seconds):
        raise AssertionError(reason)


@pytest.fixture
def hh_sandbox(tmp_path):
    """A separate sandbox: days pass, and hundreds of vacancies are published."""
    options = ("--vacancies", "900", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


@pytest.fixture
def greedy(connected, monkeypatch):
    """A person with a single resume who submits more than the limits allow."""
    connected.sandbox.employers_act(False)
    connected.sandbox.control("POST", "/clock", {"rate": 0})
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    harness = ApplyHarness(connected, "timur")
    harness.hh = HHClient(connected.sandbox.url, user_agent=USER_AGENT, pacer=Unpaused())
    connected.clients.append(harness.hh)
    return harness


class Days:
    """A period of time for a person with two sessions."""

    def __init__(self, harness, hours):
        self.harness = harness
        self.sessions = [harness.user_id, second_session(harness)]
        self.start = harness.world.now()
        self.end = self.start + hours * HOUR
        self.steps = 0

    def submit(self, count):
        """Submit *count* new applications, by either session; a tenth of them by both."""
        for number in range(count):
            vacancy = publish(self.harness)
            ids = set()
            for session in self.sessions if number % 10 == 0 else [self.sessions[number % 2]]:
                self.harness.user_id = session
                ids.add(self.harness.submit(vacancy).application_id)
            assert len(ids) == 1

    def retry_waiting(self, count):
        """Retry *count* applications that wait for quota."""
        waiting = self.harness.connection.execute(
            "SELECT id FROM application_ledger WHERE state = 'waiting_quota' LIMIT %s", [count]
        ).fetchall()
        for row in waiting:
            retry(str(row["id"]), RetryBody(), self.harness.person, self.harness.context)

    def advance(self):
        """Advance to the next minute in which something is due and process it; return whether the
        period has not ended."""
        now = self.harness.world.now()
        moments = [moment for moment in self.next_due().values() if moment is not None]
        due = max(min(moments, default=now), now)
        minutes = -(-(due - now) // MINUTE) or 1
        self.harness.world.sandbox.advance(minutes * MINUTE.total_seconds())
        self.steps += 1
        if self.steps % SWEEP_INTERVAL == 0:
            self.harness.sweep()
        self.harness.run()
        return self.harness.world.now() < self.end

    def next_due(self):
        """Return when the next application and the next sync are due, or ``None`` for each."""
        values = {"id": self.harness.account_id}
        return self.harness.connection.execute(SELECT_NEXT_DUE, values).fetchone()

    def delay_sync(self):
        """Let Core read what the person does by hand only after some applications of its own, as it
        does where the last readings had no news."""
        values = {"id": self.harness.account_id, "at": self.harness.world.now() + HOUR / 2}
        self.harness.connection.execute(
            "UPDATE accounts SET negotiations_due_at = %(at)s WHERE id = %(id)s", values
        )

    def accepted(self):
        """Return when hh.ru accepted Core's applications."""
        return [moment(entry) for entry in self.harness.posted(outcome="accepted", by="api")]


def moment(entry):
    return datetime.fromisoformat(entry["at"])


def allowed(start, end):
    """Return when a person applies who uses everything that both limits allow."""
    moments, full_at = [], start
    while True:
        at = max(start, full_at - (CAPACITY - 1) * INTERVAL)
        if len(moments) >= daily_limit.DAY_LIMIT:
            at = max(at, moments[-daily_limit.DAY_LIMIT] + daily_limit.DAY)
        if at >= end:
            return moments
        full_at = max(full_at, at) + INTERVAL
        moments.append(at)


def test_days_use_exactly_what_both_limits_allow(greedy, monkeypatch):
    # employers do nothing here, so negotiations are rarely read
    monkeypatch.setattr(negotiation_sync, "MIN_INTERVAL", negotiation_sync.MAX_INTERVAL)
    days = Days(greedy, HOURS)
    days.submit(60)
    greedy.run()
    chance = random.Random(1)  # noqa: S311 - no secret
    more = True
    while more:
        if waiting(greedy) < 8:
            days.submit(12)
        if chance.random() < 0.05:
            days.retry_waiting(3)
        more = days.advance()
    accepted, ideal = days.accepted(), allowed(days.start, days.end)
    assert {entry["outcome"] for entry in greedy.posted()} == {"accepted"}
    assert check_days(greedy.posted()) == daily_limit.DAY_LIMIT
    assert len(ideal) * 0.99 <= len(accepted) <= CAPACITY + PER_HOUR * HOURS
    for at in (days.start + hours * HOUR for hours in range(1, 23)):
        accepted_count = sum(accepted_at <= at for accepted_at in accepted)
        maximum = CAPACITY + PER_HOUR * ((at - days.start) / HOUR)
        assert maximum * 0.99 - 1 <= accepted_count <= maximum
    check_invariants(
        greedy.account_id, greedy.name, sandbox=greedy.world.sandbox, connection=greedy.connection
    )


def waiting(harness):
    row = harness.connection.execute(
        "SELECT count(*) AS waiting FROM application_ledger WHERE state = 'waiting_quota'"
    ).fetchone()
    return row["waiting"]


def test_applications_by_hand_cost_one_refusal_per_sync_at_most(greedy):
    days = Days(greedy, 26)
    days.submit(150)
    greedy.run()
    by_hand = deque(BY_HAND)
    refusals, more = [], True
    while more:
        if by_hand and greedy.world.now() >= days.start + by_hand[0][0] * HOUR:
            days.delay_sync()
            apply_by_hand(greedy, by_hand.popleft()[1])
        before = len(greedy.posted(outcome="limit_exceeded"))
        more = days.advance()
        refused = greedy.posted(outcome="limit_exceeded")[before:]
        assert len(refused) <= 1
        if refused:
            access = people.find_by_id(greedy.user_id).access
            assert access.state == "limited_until"
            refusals.append((moment(refused[0]), access.until))
    calls = [moment(entry) for entry in greedy.posted(by="api")]
    assert not by_hand
    for (at, until), (following, _) in pairwise(refusals):
        assert following - at >= negotiation_sync.MIN_INTERVAL
        assert not [call for call in calls if at < call < until]
    assert check_days(greedy.posted()) == daily_limit.DAY_LIMIT
    check_invariants(
        greedy.account_id, greedy.name, sandbox=greedy.world.sandbox, connection=greedy.connection
    )


def apply_by_hand(harness, count):
    """Apply on hh.ru's site, *count* times or until hh.ru refuses."""
    try:
        harness.world.sandbox.apply_by_hand(harness.name, count=count)
    except httpx.HTTPStatusError as error:
        assert error.response.json()["refused"] == "limit_exceeded"  # noqa: PT017


def test_two_sessions_of_a_person_share_twenty_tokens(greedy):
    days = Days(greedy, 1)
    days.submit(30)
    greedy.run()
    assert len(days.accepted()) == CAPACITY
    assert len({entry["vacancy_id"] for entry in greedy.posted()}) == CAPACITY
    assert waiting(greedy) == 30 - CAPACITY


def test_charged_application_is_not_charged_again(greedy):
    """hh.ru refuses the first call; while that application waits, the bucket forgets its spend
    id."""
    first = greedy.submit(publish(greedy))
    greedy.world.sandbox.fault("too_many_requests", path="/negotiations", method="POST", times=1)
    greedy.hh._pacer.pause = lambda _reason, _seconds: None  # other calls are not paused
    greedy.run()
    assert greedy.row(first).state == "queued"
    was_full = was_full_at(greedy.account_id)
    others = [greedy.submit(publish(greedy)) for _ in range(CAPACITY + 5)]
    postpone(greedy, first, HOUR)  # shorter than the bucket takes to fill
    wait_for(greedy, others)
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)
    assert greedy.row(first).state == "queued"
    wait_for(greedy, [first])
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)
    assert calls_made(greedy.account_id, connection=greedy.connection) == 1 + len(others)


def test_charge_of_a_killed_worker_is_recorded_by_the_next(greedy):
    first = greedy.submit(publish(greedy))
    begin_attempt, attempts.begin_attempt = attempts.begin_attempt, end_process
    try:
        with pytest.raises(ProcessEnded):
            greedy.run()
    finally:
        attempts.begin_attempt = begin_attempt
    assert greedy.row(first).state == "preparing"
    was_full = was_full_at(greedy.account_id)
    greedy.world.sandbox.advance(660)  # the vacancy is kept for ten minutes
    greedy.world.sandbox.fault("server_error", path="/vacancies", times=1)
    greedy.run()  # the charge is found and recorded, but the application is not sent
    assert greedy.row(first).state == "queued"
    others = [greedy.submit(publish(greedy)) for _ in range(CAPACITY + 5)]
    postpone(greedy, first, HOUR)
    wait_for(greedy, [*others, first])
    assert spent_since(greedy.account_id, was_full) == 1 + len(others)


class ProcessEnded(Exception):
    pass


def end_process(*_, **__):
    raise ProcessEnded


def postpone(harness, application, delay):
    cursor = harness.connection.execute(
        "UPDATE application_ledger SET due_at = due_at + %s WHERE id = %s",
        (delay, application.application_id),
    )
    assert cursor.rowcount == 1


def wait_for(harness, applications):
    """Run the submitter and advance the clock until all applications are submitted."""
    for _ in range(600):
        harness.run()
        if all(harness.row(application).state == "submitted" for application in applications):
            return
        harness.world.sandbox.advance(INTERVAL.total_seconds())
    raise AssertionError([harness.row(application).state for application in applications])
