"""The applier is killed at each of its steps, and bells ring doubled, late and never: hh.ru has
each application once, each call cost one token, and nothing is stuck."""

import json

import pytest

from tests.integration import apply_work
from tests.integration.apply_judge import calls_made, judge, tokens_spent
from tests.integration.test_apply import Desk, publish
from tests.integration.workers import Workers
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
def desks(connected, monkeypatch):
    """Three people: bells for the first ring doubled, the second's late, the third's are lost."""
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return [Desk(connected, who) for who in ("anna", "timur", "olga")]


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


def let_time_pass(desks, workers, second):
    """Rounds of the clock, in each of which the sweeper rings, and bells are heard so or so."""
    doubled, late, never = desks
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


def submit_all(desks):
    accepted = {desk.who: [desk.submit(publish(desk)) for _ in range(VACANCIES)] for desk in desks}
    bells()  # nobody hears these
    return accepted


@pytest.mark.parametrize("step", apply_work.STEPS)
def test_an_applier_killed_at_any_step_leaves_nothing_behind(desks, workers, step):
    clock = desks[0].world.clock.path
    accepted = submit_all(desks)
    for desk in desks:
        if step == "the call is out":
            desk.world.sandbox.fault(
                "slow", path="/negotiations", method="POST", times=1, seconds=4
            )
        workers.killed_at(step, desk.account_id, clock)
    all_end_well(desks, workers, accepted, lost=step in COSTS_A_TOKEN)


@pytest.mark.parametrize("step", apply_work.STEPS_OF_SETTLING)
def test_an_applier_killed_while_it_settles_a_lost_answer_does_not_apply_again(
    desks, workers, step
):
    accepted = submit_all(desks)
    for desk in desks:
        apply_with(desk, "lost")
    desks[0].world.sandbox.advance(ROUND_S)
    for desk in desks:
        workers.killed_at(step, desk.account_id, desk.world.clock.path)
    all_end_well(desks, workers, accepted, lost=0)


@pytest.mark.parametrize("step", apply_work.STEPS_OF_TRYING_AGAIN)
def test_an_applier_killed_where_it_tries_again_applies_once_more_and_no_more(desks, workers, step):
    accepted = submit_all(desks)
    for desk in desks:
        apply_with(desk, "drop")
    desks[0].world.sandbox.advance(ROUND_S)
    for desk in desks:
        desk.run()  # not seen once
    desks[0].world.sandbox.advance(2 * ROUND_S)
    for desk in desks:
        workers.killed_at(step, desk.account_id, desk.world.clock.path)
    all_end_well(desks, workers, accepted, lost=1)


def apply_with(desk, fault):
    """Make all applications; what becomes of the first call's answer is *fault*'s."""
    desk.world.sandbox.fault(fault, path="/negotiations", method="POST", times=1)
    desk.run()


def all_end_well(desks, workers, accepted, lost):
    """*lost*: how many calls of each person were not made, although a token was spent."""
    second = workers.start(desks[0].world.clock.path)
    let_time_pass(desks, workers, second)
    workers.kill(second)
    for desk in desks:
        states = [(desk.row(one).state, desk.row(one).reason) for one in accepted[desk.who]]
        assert {state for state, _ in states} == {"submitted"}, states
        judge(desk.account_id, desk.who, sandbox=desk.world.sandbox, connection=desk.connection)
        made = calls_made(desk.account_id, connection=desk.connection)
        assert made == tokens_spent(desk.account_id) == VACANCIES + lost
