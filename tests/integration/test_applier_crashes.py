"""The applier is killed at each of its steps, and bells ring doubled, late and never: hh.ru has
each application once, each call cost one token, and nothing is stuck."""

import json

import pytest

from tests.harness import apply_process
from tests.harness.apply_invariants import calls_made, check_invariants, tokens_spent
from tests.harness.applying import ApplyHarness, publish
from tests.harness.worker_pool import Workers
from ullgetthejob.platform import aws, settings

VACANCIES = 3
ROUND_S = 31  # a little more than the soonest that anything comes due again
ROUNDS = 16
LATE_BY = 3  # rounds
# Nobody can know that the call was not made.
COSTS_A_TOKEN = {"the attempt is on record", "before the call leaves"}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with Workers(tmp_path_factory.mktemp("workers") / "log") as started:
        yield started


@pytest.fixture
def harnesses(connected, monkeypatch):
    """Three people: bells for the first ring doubled, the second's late, the third's are lost."""
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return [ApplyHarness(connected, who) for who in ("anna", "timur", "olga")]


def bells():
    """The accounts of the bells that have rung since."""
    found = []
    queue = {"QueueUrl": settings.text("APPLIER_QUEUE_URL"), "MaxNumberOfMessages": 10}
    while messages := aws.call("sqs", "ReceiveMessage", queue).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"])["account_id"])
            handle = {"QueueUrl": queue["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"]}
            aws.call("sqs", "DeleteMessage", handle)
    return found


def let_time_pass(harnesses, workers, second):
    """Rounds of the clock, in each of which the sweeper rings, and bells are heard so or so."""
    doubled, late, never = harnesses
    world = doubled.world
    late_bells = []
    for number in range(ROUNDS):
        world.sandbox.advance(ROUND_S)
        doubled.sweep()
        rung = bells()
        if str(doubled.account_id) in rung:
            second.ring(doubled.account_id)
            doubled.run()
            assert second.answer() == "done"
            doubled.run()
        late_bells.append(str(late.account_id) in rung)
        if number >= LATE_BY and late_bells[number - LATE_BY]:
            late.run()
        if str(never.account_id) in rung and number in (ROUNDS // 2, ROUNDS - 1):
            never.run()  # two of all its bells arrive


def submit_all(harnesses):
    accepted = {
        harness.who: [harness.submit(publish(harness)) for _ in range(VACANCIES)]
        for harness in harnesses
    }
    bells()  # nobody hears these
    return accepted


@pytest.mark.parametrize("step", apply_process.STEPS)
def test_an_applier_killed_at_any_step_leaves_nothing_behind(harnesses, workers, step):
    clock = harnesses[0].world.clock.path
    accepted = submit_all(harnesses)
    for harness in harnesses:
        if step == "the call is out":
            harness.world.sandbox.fault(
                "slow", path="/negotiations", method="POST", times=1, seconds=4
            )
        workers.killed_at(step, harness.account_id, clock)
    all_end_well(harnesses, workers, accepted, lost=step in COSTS_A_TOKEN)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_SETTLING)
def test_an_applier_killed_while_it_settles_a_lost_answer_does_not_apply_again(
    harnesses, workers, step
):
    accepted = submit_all(harnesses)
    for harness in harnesses:
        apply_with(harness, "lost")
    harnesses[0].world.sandbox.advance(ROUND_S)
    for harness in harnesses:
        workers.killed_at(step, harness.account_id, harness.world.clock.path)
    all_end_well(harnesses, workers, accepted, lost=0)


@pytest.mark.parametrize("step", apply_process.STEPS_OF_TRYING_AGAIN)
def test_an_applier_killed_where_it_tries_again_applies_once_more_and_no_more(
    harnesses, workers, step
):
    accepted = submit_all(harnesses)
    for harness in harnesses:
        apply_with(harness, "drop")
    harnesses[0].world.sandbox.advance(ROUND_S)
    for harness in harnesses:
        harness.run()  # not seen once
    harnesses[0].world.sandbox.advance(2 * ROUND_S)
    for harness in harnesses:
        workers.killed_at(step, harness.account_id, harness.world.clock.path)
    all_end_well(harnesses, workers, accepted, lost=1)


def apply_with(harness, fault):
    """Make all applications; what becomes of the first call's answer is *fault*'s."""
    harness.world.sandbox.fault(fault, path="/negotiations", method="POST", times=1)
    harness.run()


def all_end_well(harnesses, workers, accepted, lost):
    """*lost*: how many calls of each person were not made, although a token was spent."""
    second = workers.start(harnesses[0].world.clock.path)
    let_time_pass(harnesses, workers, second)
    workers.kill(second)
    for harness in harnesses:
        states = [
            (harness.row(one).state, harness.row(one).reason) for one in accepted[harness.who]
        ]
        assert {state for state, _ in states} == {"submitted"}, states
        check_invariants(
            harness.account_id,
            harness.who,
            sandbox=harness.world.sandbox,
            connection=harness.connection,
        )
        made = calls_made(harness.account_id, connection=harness.connection)
        assert made == tokens_spent(harness.account_id) == VACANCIES + lost
