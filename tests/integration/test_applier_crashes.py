"""The submitter is killed at each of its steps, and wake-ups arrive twice, late or never: hh.ru has
each application once, each call costs one token, and nothing is stuck."""

import pytest

from tests.harness import apply_process
from tests.harness.apply_invariants import calls_made, check_invariants, tokens_spent
from tests.harness.applying import ApplyHarness, publish, receive_wake_ups
from tests.harness.worker_pool import Workers
from ullgetthejob.applications.conversations import commands, store
from ullgetthejob.applications.conversations.models import ReplyBody

VACANCIES = 3
ROUND_S = 31  # a little more than the shortest wait until anything comes due again
ROUNDS = 16
LATE_BY = 3  # rounds
# Core cannot know that the call was not made.
COSTS_A_TOKEN = {"the attempt is on record", "before the call leaves"}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.fixture
def harnesses(quiet_world):
    """Three persons: the first's wake-ups arrive twice, the second's late, the third's are lost."""
    return [ApplyHarness(quiet_world, name) for name in ("anna", "timur", "olga")]


def let_time_pass(harnesses, workers, second):
    """Advance the clock in rounds, in each of which the sweeper notifies the three accounts."""
    doubled, late, never = harnesses
    world = doubled.world
    late_wake_ups = []
    for number in range(ROUNDS):
        world.sandbox.advance(ROUND_S)
        doubled.sweep()
        notified = receive_wake_ups()
        if str(doubled.account_id) in notified:
            second.notify(doubled.account_id)
            doubled.run()
            assert second.answer() == "done"
            doubled.run()
        late_wake_ups.append(str(late.account_id) in notified)
        if number >= LATE_BY and late_wake_ups[number - LATE_BY]:
            late.run()
        if str(never.account_id) in notified and number in (ROUNDS // 2, ROUNDS - 1):
            never.run()  # two of all its wake-ups arrive


def submit_all(harnesses):
    accepted = {
        harness.name: [harness.submit(publish(harness)) for _ in range(VACANCIES)]
        for harness in harnesses
    }
    receive_wake_ups()  # these are lost
    return accepted


@pytest.mark.parametrize("step", apply_process.STEPS)
def test_submitter_killed_at_any_step_recovers(harnesses, workers, step):
    clock = harnesses[0].world.clock.path
    accepted = submit_all(harnesses)
    for harness in harnesses:
        if step == "the call is out":
            harness.world.sandbox.fault(
                "slow", path="/negotiations", method="POST", times=1, seconds=4
            )
        workers.kill_at(step, harness.account_id, clock)
    assert_all_submitted(harnesses, workers, accepted, lost=step in COSTS_A_TOKEN)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_SETTLING)
def test_submitter_killed_while_settling_does_not_reapply(harnesses, workers, step):
    accepted = submit_all(harnesses)
    for harness in harnesses:
        apply_with(harness, "lost")
    harnesses[0].world.sandbox.advance(ROUND_S)
    for harness in harnesses:
        workers.kill_at(step, harness.account_id, harness.world.clock.path)
    assert_all_submitted(harnesses, workers, accepted, lost=0)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_TRYING_AGAIN)
def test_submitter_killed_while_retrying_applies_once_more(harnesses, workers, step):
    accepted = submit_all(harnesses)
    for harness in harnesses:
        apply_with(harness, "drop")
    harnesses[0].world.sandbox.advance(ROUND_S)
    for harness in harnesses:
        harness.run()  # not seen once
    harnesses[0].world.sandbox.advance(2 * ROUND_S)
    for harness in harnesses:
        workers.kill_at(step, harness.account_id, harness.world.clock.path)
    assert_all_submitted(harnesses, workers, accepted, lost=1)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_REPLYING)
def test_submitter_killed_while_replying_sends_the_reply_once(harness, workers, step):
    negotiation, message_id = reply_to_employer(harness)
    workers.kill_at(step, harness.account_id, harness.world.clock.path)
    assert_reply_sent_once(harness, negotiation, message_id)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_FINDING_A_REPLY)
def test_submitter_killed_while_looking_finds_the_reply(harness, workers, step):
    negotiation, message_id = reply_to_employer(harness)
    harness.world.sandbox.fault("lost", path="/negotiations/", method="POST", times=1)
    harness.run()
    harness.world.sandbox.advance(ROUND_S)
    workers.kill_at(step, harness.account_id, harness.world.clock.path)
    assert_reply_sent_once(harness, negotiation, message_id)


def reply_to_employer(harness):
    """Apply, and accept a reply whose wake-up is lost; return the negotiation and the reply."""
    accepted = harness.submit(publish(harness))
    harness.run()
    harness.world.sandbox.advance(ROUND_S)
    replied = commands.reply(
        str(accepted.application_id), ReplyBody(text="Да"), harness.person, harness.context
    )
    receive_wake_ups()
    return harness.row(accepted).negotiation_id, replied.message.message_id


def assert_reply_sent_once(harness, negotiation, message_id):
    for _ in range(ROUNDS):
        harness.world.sandbox.advance(ROUND_S)
        harness.sweep()
        for _ in receive_wake_ups():
            harness.run()
    row = store.read_reply(message_id, connection=harness.connection)
    assert (row.state, row.reason) == ("sent", None)
    shown = harness.world.sandbox.control("GET", f"/applications/{negotiation}/messages")
    assert [message["text"] for message in shown["messages"]].count("Да") == 1


def apply_with(harness, fault):
    """Make all applications; the first call has *fault*."""
    harness.world.sandbox.fault(fault, path="/negotiations", method="POST", times=1)
    harness.run()


def assert_all_submitted(harnesses, workers, accepted, lost):
    """Assert that all applications are made once. *lost*: how many calls of each person were not
    made, although a token was spent."""
    second = workers.start(harnesses[0].world.clock.path)
    let_time_pass(harnesses, workers, second)
    workers.kill(second)
    for harness in harnesses:
        states = [
            (row.state, row.reason)
            for row in (harness.row(application) for application in accepted[harness.name])
        ]
        assert {state for state, _ in states} == {"submitted"}, states
        check_invariants(
            harness.account_id,
            harness.name,
            sandbox=harness.world.sandbox,
            connection=harness.connection,
        )
        made = calls_made(harness.account_id, connection=harness.connection)
        assert made == tokens_spent(harness.account_id) == VACANCIES + lost
