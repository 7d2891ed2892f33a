"""Raising resumes on the real sandbox: presses, schedules, lost answers, killed workers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from tests.harness.applying import ApplyHarness
from tests.harness.context import CORE, make_context
from tests.harness.killing import http_request, sqs_message
from tests.harness.worker_pool import Workers
from ullgetthejob.applications import submitter
from ullgetthejob.hh.errors import HHResumeNotFound, HHUnavailable
from ullgetthejob.platform.errors import Conflict, NeedsPerson, Unavailable
from ullgetthejob.resume_raises import commands, raising, scheduled, store, wake_up
from ullgetthejob.resume_raises.models import Schedule, ScheduleBody

PUBLISH = "POST /resumes/{resume_id}/publish"
READ = "GET /resumes/{resume_id}"
HOUR, DAY = 3_600, 86_400
INTERVAL = timedelta(hours=4)
SECOND = timedelta(seconds=1)


class RaiseHarness(ApplyHarness):
    """A person whose first resume is raised."""

    def __init__(self, world, name="anna"):
        super().__init__(world, name)
        self.resume_id = next(iter(world.sandbox.resumes(name).values()))

    def press(self, key=None, resume_id=None):
        context = self.context
        context = replace(context, caller=replace(context.caller, idempotency_key=key))
        return commands.raise_now(resume_id or self.resume_id, self.person, context)

    def schedule(self, mode="every_four_hours", **fields):
        body = ScheduleBody(schedule=Schedule(mode=mode, **fields))
        return commands.replace_schedule(self.resume_id, body, self.person, self.context)

    @property
    def state(self):
        return commands.show_state(self.resume_id, self.person, self.context)

    @property
    def background(self):
        """Return the context of a wake-up."""
        return make_context(self.connection, self.world.now, caller=CORE, hh=self.hh)

    def work(self):
        return scheduled.run(self.account_id, self.background)

    def woken(self):
        """Return whether the sweeper wakes a worker for the account."""
        return wake_up.notify_due(self.background, most=10) == 1

    def calls(self, route=PUBLISH):
        state = self.world.sandbox.control("GET", "/state")
        return state["calls"]["by_route"].get(route, 0)

    def set_resume(self, **fields):
        path = f"/people/{self.name}/resumes/{self.resume_id}"
        return self.world.sandbox.control("POST", path, fields)

    def raised_at_hh(self):
        people = self.world.sandbox.control("GET", "/people")["people"]
        [shown] = [
            resume
            for person in people
            for resume in person["resumes"]
            if resume["id"] == self.resume_id
        ]
        return shown["published_at"]

    def events(self):
        found = self.connection.execute(
            "SELECT data FROM events WHERE type = 'resume.updated' ORDER BY seq"
        )
        return [(row["data"]["by"], row["data"]["outcome"]) for row in found.fetchall()]

    def audited(self):
        found = self.connection.execute(
            "SELECT actor, outcome FROM audit_log WHERE action = 'resume.raise' ORDER BY id"
        )
        return [(row["actor"], row["outcome"]) for row in found.fetchall()]


@pytest.fixture
def harness(quiet_world):
    return RaiseHarness(quiet_world)


def refused(call):
    """Return code and details of the error of *call*."""
    with pytest.raises((Conflict, NeedsPerson)) as raised:
        call()
    return raised.value.code, raised.value.details


# ── presses ──────────────────────────────────────────────────────────────────────────────────────


def test_press_raises_once_with_proof_of_hh(harness):
    first = harness.press("press-1")
    assert (first.outcome, first.raised_by, first.scheduled_at) == ("raised", "person", None)
    assert abs(first.hh_updated_at - first.raised_at) < 5 * SECOND
    assert abs(first.next_raise_at - first.raised_at - INTERVAL) < 5 * SECOND
    harness.world.sandbox.advance(HOUR)
    assert harness.press("press-1") == first
    assert harness.state == first
    assert (harness.calls(), harness.events()) == (1, [("person", "raised")])
    assert harness.audited() == [("service", "ok")]


def test_press_before_the_next_time_asks_hh_nothing(harness):
    first = harness.press()
    assert harness.press() == first, "a double click is one press"
    harness.world.sandbox.advance(120)
    before = harness.calls(), harness.calls(READ)
    expected = ("raise_too_early", {"next_raise_at": first.next_raise_at.isoformat()})
    assert refused(harness.press) == refused(partial(harness.press, "new")) == expected
    assert (harness.calls(), harness.calls(READ)) == before
    harness.world.sandbox.advance(4 * HOUR)
    assert harness.press().raised_at > first.raised_at
    assert harness.calls() == 2


def test_raise_by_hand_at_hh_is_found_and_told(harness):
    harness.press()
    harness.world.sandbox.advance(5 * HOUR)
    token = harness.world.log_in(harness.name).access_token
    harness.world.sandbox.call("POST", f"/resumes/{harness.resume_id}/publish", token)
    code, details = refused(harness.press)
    assert (code, harness.state.outcome) == ("raise_too_early", "too_early")
    assert details["next_raise_at"] == harness.state.next_raise_at.isoformat()
    assert harness.state.next_raise_at > harness.world.now()


@pytest.mark.parametrize(
    ("fields", "reason", "is_known"),
    [
        ({"status": "blocked", "notes": ["bad"]}, "blocked", False),
        ({"status": "blocked", "notes": ["bad"]}, "blocked", True),
        ({"status": "on_moderation"}, "on_moderation", True),
        ({"status": "not_published"}, "not_published", False),
    ],
)
def test_resume_that_hh_does_not_raise_is_told(harness, fields, reason, is_known):
    if is_known:
        harness.press()
        harness.world.sandbox.advance(5 * HOUR)
    harness.set_resume(**fields)
    published = harness.raised_at_hh()
    code, details = refused(harness.press)
    assert (code, details["reason"]) == ("resume_not_raised", reason)
    assert details["link"] == f"https://hh.ru/resume/{harness.resume_id}"
    assert (harness.state.outcome, harness.state.link) == (reason, details["link"])
    assert harness.raised_at_hh() == published


def test_resume_of_another_person_is_not_found(harness, quiet_world):
    other = RaiseHarness(quiet_world, "timur")
    for resume_id in (other.resume_id, "abc", "../me", "x" * 100_000):
        with pytest.raises(HHResumeNotFound):
            harness.press(resume_id=resume_id)
    other.press()
    with pytest.raises(HHResumeNotFound):
        commands.show_state(other.resume_id, harness.person, harness.context)
    rows = harness.connection.execute("SELECT account_id FROM resume_raises").fetchall()
    assert rows == [{"account_id": other.account_id}]


@pytest.mark.parametrize(
    ("status", "body"), [(403, "json"), (404, "json"), (404, "html"), (405, "empty"), (410, "json")]
)
def test_closed_raising_is_recorded_and_told_with_a_link(harness, status, body):
    path = f"/resumes/{harness.resume_id}/publish"
    harness.world.sandbox.fault("withdrawn", path=path, method="POST", status=status, body=body)
    for _ in range(2):
        code, details = refused(harness.press)
        assert (code, details["link"]) == ("hh_closed", "https://hh.ru/applicant/resumes")
        assert details["method"]["method"] == "resumes_write"
    assert harness.calls() == 1, "a closed method is not called"
    assert (harness.state.outcome, harness.events()) == ("hh_closed", [("person", "hh_closed")])


# ── lost answers ─────────────────────────────────────────────────────────────────────────────────


def test_lost_answer_is_settled_by_reading(harness):
    harness.world.sandbox.fault("lost", path="/resumes/", method="POST", times=1)
    with pytest.raises(HHUnavailable):
        harness.press("press-1")
    assert harness.state.outcome is None
    settled = harness.press("press-1")
    assert (settled.outcome, settled.raised_by) == ("raised", "person")
    assert settled.hh_updated_at is not None
    assert (harness.calls(), harness.audited()) == (1, [("service", "ok")])


def test_lost_press_is_settled_by_the_worker(harness):
    harness.world.sandbox.fault("lost", path="/resumes/", method="POST", times=1)
    with pytest.raises(HHUnavailable):
        harness.press()
    harness.world.sandbox.advance(1)
    assert harness.woken()
    harness.work()
    assert (harness.state.outcome, harness.calls()) == ("raised", 1)
    assert not harness.woken()


def test_press_that_never_arrived_is_repeated_within_an_hour(harness):
    harness.world.sandbox.fault("drop", path="/resumes/", method="POST", times=1)
    with pytest.raises(HHUnavailable):
        harness.press()
    harness.world.sandbox.advance(1)
    harness.work()
    assert (harness.state.outcome, harness.state.raised_by) == ("raised", "person")


def test_press_that_never_arrived_is_dropped_after_an_hour(harness):
    published = harness.raised_at_hh()
    harness.world.sandbox.fault("drop", path="/resumes/", method="POST", times=1)
    with pytest.raises(HHUnavailable):
        harness.press()
    harness.world.sandbox.advance(2 * HOUR)
    harness.work()
    assert (harness.state.outcome, harness.raised_at_hh()) == ("interrupted", published)
    assert not harness.woken()


def test_raise_without_a_readable_proof_is_proven_by_the_list(harness):
    harness.press()
    harness.world.sandbox.advance(5 * HOUR)
    harness.world.sandbox.fault("server_error", path="/resumes/", method="GET", times=1)
    raised = harness.press()
    assert (raised.outcome, raised.hh_updated_at) == ("raised", None)
    listed = commands.list_resumes(harness.person, harness.context)
    [shown] = [item.raising for item in listed.items if item.id == harness.resume_id]
    assert abs(shown.hh_updated_at - raised.raised_at) < 5 * SECOND
    assert harness.state.hh_updated_at == shown.hh_updated_at


def test_two_presses_at_once_raise_once(harness):
    claimed = store.claim(
        harness.account_id,
        harness.resume_id,
        connection=harness.connection,
        now=harness.world.now(),
    )
    assert claimed is not None
    with pytest.raises(Unavailable):
        harness.press()
    assert harness.calls() == 0
    harness.world.sandbox.advance(store.CLAIM.total_seconds() + 1)
    assert harness.press().outcome == "raised"
    with pytest.raises(store.ClaimLost):
        store.record_call(
            claimed, by="person", key=None, connection=harness.connection, now=harness.world.now()
        )


def test_worker_behind_another_one_calls_hh_no_more(harness):
    harness.schedule()
    [due] = store.list_due(
        harness.account_id, connection=harness.connection, now=harness.world.now()
    )
    harness.work()
    scheduled._run_one(due, harness.background)
    assert (harness.calls(), harness.state.outcome) == (1, "raised")
    [row] = store.list_of_account(harness.account_id, connection=harness.connection).values()
    assert row.claimed_until <= harness.world.now(), "the claim was let go"


# ── schedules ────────────────────────────────────────────────────────────────────────────────────


def test_schedule_raises_every_four_hours(harness):
    first_due = harness.schedule().scheduled_at
    assert first_due <= harness.world.now()
    for number in range(1, 4):
        assert harness.woken()
        for _ in range(2):  # wake-ups come twice
            harness.work()
        assert harness.calls() == number
        assert not harness.woken()
        state = harness.state
        assert state.scheduled_at == state.next_raise_at
        wait = state.scheduled_at - harness.world.now()
        harness.world.sandbox.advance(wait.total_seconds() + 1)
    assert harness.events() == [("schedule", "raised")] * 3
    assert {actor for actor, _ in harness.audited()} == {"core"}


def test_schedule_waits_for_a_raise_by_hand(harness):
    harness.schedule()
    token = harness.world.log_in(harness.name).access_token
    harness.world.sandbox.call("POST", f"/resumes/{harness.resume_id}/publish", token)
    harness.work()
    assert harness.state.outcome == "too_early"
    assert harness.state.scheduled_at == harness.state.next_raise_at > harness.world.now()
    harness.world.sandbox.advance(4 * HOUR + 1)
    harness.work()
    assert harness.state.outcome == "raised"


def test_paused_account_raises_nothing_and_skips_missed_hours(harness):
    now = harness.world.now()
    soon = (now + timedelta(minutes=10)).strftime("%H:%M")
    due = harness.schedule("at_times", times=(soon,), time_zone="UTC").scheduled_at
    pause = "UPDATE accounts SET autopilot_paused_at = %s"
    harness.connection.execute(pause, [now])
    harness.world.sandbox.advance(11 * 60)
    assert not harness.woken()
    harness.work()
    assert harness.calls() == 0
    harness.world.sandbox.advance(3 * HOUR)
    harness.connection.execute(pause, [None])
    assert harness.woken()
    harness.work()
    assert (harness.calls(), harness.state.scheduled_at) == (0, due + timedelta(days=1))


def test_account_without_access_waits_for_its_person(harness):
    harness.schedule()
    harness.connection.execute("UPDATE accounts SET access_state = 'reauth_required'")
    assert not harness.woken()
    harness.work()
    assert harness.calls() == 0
    harness.connection.execute("UPDATE accounts SET access_state = 'ok'")
    assert harness.woken()
    harness.work()
    assert harness.state.outcome == "raised"


def test_schedule_rests_while_raising_is_closed(harness):
    harness.schedule()
    path = f"/resumes/{harness.resume_id}/publish"
    harness.world.sandbox.fault("withdrawn", path=path, method="POST", status=403, body="json")
    harness.work()
    assert harness.events() == [("schedule", "hh_closed")]
    wait = harness.state.scheduled_at - harness.world.now()
    assert timedelta(hours=23) < wait <= timedelta(days=1)
    harness.world.sandbox.control("DELETE", "/faults")
    harness.world.sandbox.advance(DAY + 1)
    harness.work()
    assert (harness.state.outcome, harness.state.link) == ("raised", None)


def test_schedule_goes_on_while_hh_is_down(harness):
    harness.schedule()
    harness.world.sandbox.fault("drop", path="/resumes/", method="GET", times=1)
    harness.connection.execute("UPDATE resume_raises SET next_raise_at = NULL")
    harness.work()
    assert (harness.state.outcome, harness.calls()) == (None, 0)
    harness.world.sandbox.advance(61)
    assert harness.woken()
    harness.work()
    assert harness.state.outcome == "raised"


def test_blocked_resume_is_tried_once_in_four_hours(harness):
    harness.schedule()
    harness.set_resume(status="blocked")
    harness.work()
    assert harness.events() == [("schedule", "blocked")]
    assert not harness.woken()
    harness.world.sandbox.advance(4 * HOUR + 1)
    harness.set_resume(status="published")
    assert harness.woken()
    harness.work()
    assert harness.state.outcome == "raised"


def test_deleted_resume_rests_until_its_schedule_is_set_again(harness):
    harness.schedule()
    token = harness.world.log_in(harness.name).access_token
    harness.world.sandbox.call("DELETE", f"/resumes/{harness.resume_id}", token)
    harness.work()
    assert (harness.state.outcome, harness.state.scheduled_at) == ("resume_not_found", None)
    assert not harness.woken()


def test_schedule_replaced_during_a_raise_stays(harness):
    claimed = store.claim(
        harness.account_id,
        harness.resume_id,
        connection=harness.connection,
        now=harness.world.now(),
    )
    wanted = harness.schedule("at_times", times=("09:00",))
    raising.raise_claimed(claimed, harness.person, harness.context, by="person")
    assert (harness.state.outcome, harness.state.schedule) == ("raised", wanted.schedule)
    assert harness.state.scheduled_at == wanted.scheduled_at


def test_schedule_off_ends_it(harness):
    harness.schedule()
    assert harness.schedule("off").scheduled_at is None
    assert not harness.woken()


# ── killed workers ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.mark.parametrize(("step", "calls"), [("before it is published", 0), ("it is published", 1)])
def test_worker_killed_at_its_call_raises_once(harness, workers, step, calls):
    harness.schedule()
    workers.kill_at(step, harness.account_id, harness.world.clock.path)
    assert harness.calls() == calls
    published = harness.raised_at_hh()
    harness.work()
    assert harness.state.outcome is None, "the claim holds"
    harness.world.sandbox.advance(store.CLAIM.total_seconds() + 1)
    assert harness.woken()
    harness.work()
    assert (harness.state.outcome, harness.calls()) == ("raised", 1)
    assert not calls or harness.raised_at_hh() == published
    assert harness.events() == [("schedule", "raised")]


def test_worker_killed_after_any_effect_raises_once(harness, functions):
    """Each process goes on where the one before was killed."""
    harness.schedule()
    wake_up, effects = sqs_message("applier", account_id=str(harness.account_id)), []
    for effect in functions.kill_after_each(lambda: wake_up):
        effects.append(effect)
        harness.world.sandbox.advance(max(store.CLAIM.total_seconds(), submitter.LEASE_S) + 1)
    assert {"UPDATE resume_raises", f"POST /resumes/{harness.resume_id}/publish"} <= {*effects}
    assert (harness.state.outcome, harness.calls()) == ("raised", 1)
    assert harness.events() == [("schedule", "raised")]
    assert harness.audited() == [("core", "ok")]


def test_press_killed_after_any_effect_raises_once(harness, functions):
    """The person presses again, with the key of the press that was not answered."""
    press = http_request(
        "resumes",
        "POST /api/hh/resumes/{id}/raise",
        {"user_id": str(harness.user_id)},
        headers={"idempotency-key": "a-press"},
        id=harness.resume_id,
    )
    effects = []
    for effect in functions.kill_after_each(lambda: press):
        effects.append(effect)
        harness.world.sandbox.advance(store.CLAIM.total_seconds() + 1)
    assert f"POST /resumes/{harness.resume_id}/publish" in effects
    assert (harness.state.outcome, harness.calls()) == ("raised", 1)
    assert harness.events() == [("person", "raised")]


def test_wake_ups_and_presses_at_once_raise_once(harness, functions):
    harness.schedule()
    wake_up = sqs_message("applier", account_id=str(harness.account_id))
    functions.call(wake_up, wake_up, wake_up)
    assert (harness.state.outcome, harness.calls()) == ("raised", 1)
    assert harness.events() == [("schedule", "raised")]
