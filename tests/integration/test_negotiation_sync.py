"""Sync of hh.ru's negotiations on the real sandbox: employers, its schedule, the daily limit."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from tests.harness.applying import ANNA, publish
from tests.harness.killing import sqs_message
from tests.harness.negotiations import DAY_S, HOUR, MINUTE, SyncHarness, at_hh
from ullgetthejob.applications import negotiation_sync, submitter
from ullgetthejob.applications.commands import read_application
from ullgetthejob.rate_limits import daily_limit

EMPLOYERS = {"viewed", "invitation", "discard"}


@pytest.fixture
def harness(quiet_world):
    return SyncHarness(quiet_world)


# ── actions of employers ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("acts", "steps"),
    [
        (["viewed"], ["viewed"]),
        (["invitation"], ["viewed", "invitation"]),
        (["discard"], ["viewed", "discard"]),
        (["viewed", "message", "invitation", "interview", "hired"], None),
        (["message"], ["viewed"]),
    ],
)
def test_employer_action_is_recorded_once(harness, acts, steps):
    accepted = harness.submit(publish(harness))
    harness.run()
    negotiation = harness.row(accepted).negotiation_id
    for act in acts:
        harness.world.sandbox.advance(MINUTE)
        harness.world.sandbox.employer_does(negotiation, act, "Здравствуйте!")
        for _ in range(2):
            harness.sync()
    steps = steps or ["viewed", "invitation", "interview", "hired"]
    assert harness.steps(negotiation)[-len(steps) :] == steps
    shown = read_application(
        str(accepted.application_id), harness.person, harness.context
    ).application
    assert shown.viewed
    changes = [step for step in shown.history if step.message_id is None]
    assert [(step.state, step.reason) for step in changes][-len(steps) :] == [
        ("submitted", step) for step in steps
    ]
    events = harness.read_tables()["events"]
    assert "Здравствуйте" not in json.dumps([event["data"] for event in events])
    events = [event for event in events if event["type"] == "application.updated"]
    last = [(event["data"]["reason"], event["data"]["viewed"]) for event in events[-len(steps) :]]
    assert last == [(step, True) for step in steps]
    assert events[-1]["data"]["hh_state"] == shown.hh_state


def test_reading_killed_after_any_effect_records_acts_once(harness, functions):
    """Each process goes on where the one before was killed; two at once follow."""
    accepted = [harness.submit(publish(harness)) for _ in range(3)]
    harness.run()
    ids = [harness.row(application).negotiation_id for application in accepted]
    harness.world.sandbox.advance(MINUTE)
    for negotiation in ids:
        harness.world.sandbox.employer_does(negotiation, "invitation")

    def become_due():
        harness.connection.execute(
            "UPDATE accounts SET negotiations_due_at = %s", [harness.world.now()]
        )
        return sqs_message("applier", account_id=str(harness.account_id))

    effects = []
    for effect in functions.kill_after_each(become_due):
        effects.append(effect)
        harness.world.sandbox.advance(submitter.LEASE_S + 1)
    functions.call(*[become_due()] * 2)
    assert any("application_history" in effect for effect in effects)
    for negotiation in ids:
        assert Counter(harness.steps(negotiation))["invitation"] == 1
        assert Counter(harness.event_reasons(negotiation))["invitation"] == 1


def test_view_of_old_application_behind_newer_is_found(harness):
    """hh.ru: a view by the employer does not move a negotiation to the front."""
    old = harness.by_hand()
    harness.world.sandbox.advance(3 * DAY_S)
    harness.by_hand(count=130)
    harness.world.sandbox.advance(5)
    harness.by_hand()
    harness.sync()
    harness.world.sandbox.advance(2 * DAY_S)
    harness.sync()
    assert harness.steps(old) == ["by_hand"]
    harness.world.sandbox.employer_does(old, "viewed")
    harness.sync()
    assert harness.steps(old) == ["by_hand", "viewed"]


def test_sync_reads_back_only_to_oldest_relevant(harness):
    ids = harness.by_hand(count=130)
    for negotiation_id in ids:
        harness.world.sandbox.employer_does(negotiation_id, "discard")
    harness.world.sandbox.advance(5)
    harness.world.sandbox.employer_does(harness.by_hand(), "discard")
    harness.sync()
    assert harness.count_calls() == 2
    harness.world.sandbox.advance(2 * DAY_S)
    harness.sync()
    assert harness.count_calls() == 3, "the second page was read and is final"


def test_two_weeks_of_employer_actions_equal_sandbox_log(harness):
    """The sandbox's log and the ledger are equal after two weeks on the schedule."""
    harness.world.sandbox.employers_act(True)
    for _ in range(12):
        harness.submit(publish(harness))
    harness.run()
    for _ in range(14 * 4):
        harness.world.sandbox.advance(6 * HOUR)
        if harness.world.now().hour < 6:
            harness.by_hand()
        harness.sweep()
        harness.read_if_due()
    harness.sync()
    log = {entry["negotiation_id"]: entry for entry in harness.posted()}
    rows = {row["negotiation_id"]: row for row in harness.rows()}
    assert log.keys() == rows.keys()
    assert len(log) > 20
    for negotiation_id, entry in log.items():
        row = rows[negotiation_id]
        assert (row["hh_state"], row["hh_viewed"]) == (entry["state"], entry["viewed"])
        assert row["by_hand"] is (entry["by"] == "hand")
        expected = (["viewed"] if entry["viewed"] else []) + (
            [entry["state"]] if entry["state"] != "response" else []
        )
        for reasons in (harness.steps, harness.event_reasons):
            recorded = [reason for reason in reasons(negotiation_id) if reason in EMPLOYERS]
            assert recorded == expected
    assert {step for negotiation_id in log for step in harness.steps(negotiation_id)} >= {
        "viewed",
        "discard",
    }
    attempts = harness.read_tables()["application_attempts"]
    assert len(attempts) == len(log), "each counts once"


# ── the schedule of the sync ─────────────────────────────────────────────────────────────────────


def test_sync_interval_backs_off_and_resets(harness):
    intervals = []
    for _ in range(8):
        harness.sync()
        intervals.append(harness.account()["negotiations_interval_s"] // MINUTE)
    assert intervals == [10, 20, 40, 80, 160, 320, 360, 360]
    assert harness.seconds_until_due() == pytest.approx(6 * HOUR, abs=60)
    accepted = harness.submit(publish(harness))
    harness.run()
    assert harness.seconds_until_due() == pytest.approx(10 * MINUTE, abs=60), (
        "an application was sent"
    )
    for _ in range(3):
        harness.sync()
    assert harness.seconds_until_due() > 30 * MINUTE
    harness.world.sandbox.employer_does(harness.row(accepted).negotiation_id, "viewed")
    harness.sync()
    assert harness.seconds_until_due() == pytest.approx(10 * MINUTE, abs=60), "an employer viewed"


def test_sweeper_notifies_account_when_sync_is_due(harness):
    harness.sync()
    assert harness.sweep().notified == 0
    harness.world.sandbox.advance(11 * MINUTE)
    assert harness.sweep().notified == 1
    harness.read_if_due()
    assert harness.sweep().notified == 0


@pytest.mark.parametrize("state", ["reauth_required", "captcha"])
def test_sync_is_not_run_without_access(harness, state):
    harness.connection.execute(
        "UPDATE accounts SET access_state = %s, negotiations_due_at = %s",
        (state, harness.world.now()),
    )
    assert harness.sweep().notified == 0
    harness.read_if_due()
    assert harness.count_calls() == 0
    harness.connection.execute("UPDATE accounts SET access_state = 'ok'")
    assert harness.sweep().notified == 1
    harness.read_if_due()
    assert harness.count_calls() == 1


def test_sync_refused_as_closed_is_not_repeated(harness):
    harness.world.sandbox.control("POST", "/mode", {"mode": "closed"})
    harness.sync()
    calls = harness.count_calls()
    harness.world.sandbox.advance(HOUR)
    assert harness.sweep().notified == 1, "to read the counters of GET /me"
    harness.read_if_due()
    assert harness.count_calls() == calls
    row = harness.connection.execute("SELECT hh_counters FROM accounts").fetchone()
    assert row["hh_counters"]["resumes_count"] >= 1


def test_failed_sync_is_repeated_after_five_minutes(harness):
    harness.by_hand()
    harness.world.sandbox.fault("bad_gateway", path="/negotiations", method="GET")
    harness.sync()
    assert harness.seconds_until_due() == pytest.approx(5 * MINUTE, abs=60)
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(6 * MINUTE)
    harness.read_if_due()
    assert len(harness.rows()) == 1


def test_login_schedules_sync_at_once(core):
    user_id = str(uuid4())
    core.callback(core.code(ANNA), user_id)
    (row,) = core.rows("SELECT negotiations_due_at FROM accounts")
    assert (core.now() - row["negotiations_due_at"]).total_seconds() < MINUTE


# ── the limit ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def five_a_day(harness, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_SUBMIT_CAPACITY", "1000")
    monkeypatch.setattr(daily_limit, "DAY_LIMIT", 5)
    harness.world.sandbox.applications_per_day(5)


@pytest.mark.usefixtures("five_a_day")
def test_next_slot_is_known_after_limit_exceeded(harness):
    harness.by_hand(count=3)
    oldest = at_hh(harness.posted()[0])
    harness.world.sandbox.advance(HOUR)
    accepted = [harness.submit(publish(harness)) for _ in range(5)]
    harness.run()
    outcomes = Counter(entry["outcome"] for entry in harness.posted())
    assert outcomes == {"accepted": 5, "limit_exceeded": 1}
    access = harness.person.access
    assert (access.state, access.until) == ("limited_until", oldest + daily_limit.DAY)
    rows = [harness.row(application) for application in accepted]
    waiting = [row for row in rows if row.state == "waiting_quota"]
    assert len(waiting) == 3
    assert min(row.due_at for row in waiting) == access.until
    harness.world.sandbox.advance((access.until - harness.world.now()).total_seconds() + 1)
    for _ in range(4):
        harness.sweep()
        harness.run()
        harness.world.sandbox.advance(10 * MINUTE)
    assert {harness.row(application).state for application in accepted} == {"submitted"}
    assert Counter(entry["outcome"] for entry in harness.posted())["limit_exceeded"] == 1


@pytest.mark.usefixtures("five_a_day")
def test_limit_exceeded_at_most_once_per_interval(harness):
    for hour in range(72):
        if hour % 8 == 3 and has_slot_at_hh(harness):
            harness.by_hand()
        if hour % 6 == 0:
            harness.submit(publish(harness))
        for _ in range(4):
            harness.sweep()
            harness.run()
            harness.world.sandbox.advance(15 * MINUTE)
    harness.sync()
    log = harness.posted()
    assert {entry["outcome"] for entry in log} == {"accepted", "limit_exceeded"}
    refused = [at_hh(entry) for entry in log if entry["outcome"] == "limit_exceeded"]
    gaps = [later - sooner for sooner, later in pairwise(refused)]
    assert all(gap >= negotiation_sync.MIN_INTERVAL for gap in gaps)
    accepted = [entry for entry in log if entry["outcome"] == "accepted"]
    assert len({entry["vacancy_id"] for entry in accepted}) == len(accepted)
    assert {entry["by"] for entry in accepted} == {"hand", "api"}
    outcomes = harness.read_tables()["application_outcomes"]
    counts = Counter(outcome["counts"] for outcome in outcomes)
    assert counts == {True: len(accepted), False: len(refused)}
    # Nothing is lost: each application that was not sent yet has its time.
    states = Counter(row["state"] for row in harness.rows())
    assert states["submitted"] == len(accepted)
    assert set(states) <= {"submitted", "waiting_quota"}
    assert all(row["due_at"] for row in harness.rows() if row["state"] == "waiting_quota")


def has_slot_at_hh(harness):
    since = harness.world.now() - timedelta(days=1)
    accepted = harness.posted(outcome="accepted")
    return sum(datetime.fromisoformat(entry["at"]) > since for entry in accepted) < 5


def test_two_hundred_by_hand_are_counted_after_refusal(harness):
    harness.by_hand(count=200)
    made = [at_hh(entry) for entry in harness.posted()]
    accepted = harness.submit(publish(harness))
    harness.run()
    assert harness.row(accepted).state == "waiting_quota"
    assert len(harness.counted()) == 200
    access = harness.person.access
    assert (access.state, access.until) == ("limited_until", made[0] + daily_limit.DAY)
    assert harness.row(accepted).due_at == access.until
    harness.world.sandbox.advance((access.until - harness.world.now()).total_seconds() + 1)
    assert harness.sweep().notified == 1
    harness.run()
    assert harness.row(accepted).state == "submitted"
    assert len(harness.posted(outcome="limit_exceeded")) == 1
