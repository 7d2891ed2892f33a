"""Many applications of several people while everything goes wrong at once.

Concurrent workers as processes, of which some are killed at random moments; hh.ru fails one call
in ten, in all its ways; bells are lost, doubled and late; the BFF writes ``pending`` over anything;
both sessions of a person submit the same vacancies.

``make soak-applying`` runs it. The suite leaves it out: its patience with hh.ru is half a second,
and what a busy machine makes of that is no finding.
"""

import json
import os
import random
import time
from uuid import uuid4

import pytest

from tests.fixtures.hh_sandbox import run_sandbox
from tests.integration.apply_judge import (
    calls_made,
    judge,
    spent_since,
    tokens_spent,
    was_full_at,
)
from tests.integration.test_apply import Desk, publish
from tests.integration.workers import Workers, first_to_answer
from ullgetthejob.platform import aws, settings

APPLICATIONS = int(os.environ.get("SOAK_APPLICATIONS", "112"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(1_000_000)))  # noqa: S311 - no secret
PEOPLE = ("anna", "timur", "olga", "marina")
WORKERS = 3
AT_ONCE = 24  # a person's first submissions: more than the bucket holds
# How hh.ru fails: a tenth of all calls.
FAULTS = ("lost", "drop", "server_error", "slow", "truncated", "too_many_requests")
FAULTY = 0.1
PATIENCE_S = 0.5
SLOW_S = 0.8
KILLED = 0.3  # of the bells that are answered
LOST, DOUBLED, LATE = 0.2, 0.2, 0.2  # of all bells
OVERWRITTEN = 0.1  # of a person's applications, each round
OVERWRITE = """
    UPDATE applications SET status = 'pending', error_message = NULL, submitted_at = NULL
    WHERE id = ANY(%s)
"""
MOST_ROUNDS = 2000


@pytest.fixture
def hh_sandbox(tmp_path):
    """One of its own: days pass, and hundreds of vacancies are published."""
    options = ("--vacancies", "60", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


@pytest.fixture
def workers(tmp_path):
    with Workers(tmp_path / "workers.log") as started:
        yield started


@pytest.fixture
def desks(connected, monkeypatch):
    connected.sandbox.employers_act(False)
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("HH_REDIRECT_URI", "https://app.example.org")
    return [Desk(connected, who) for who in PEOPLE]


class Soak:
    """Rounds of submitting, ringing, killing, overwriting, and of time that passes."""

    def __init__(self, desks, workers, chance):
        self.desks = {str(desk.account_id): desk for desk in desks}
        self.sessions = {
            account: [desk.user_id, second_session(desk)] for account, desk in self.desks.items()
        }
        self.world = desks[0].world
        self.connection = desks[0].connection
        self.workers = workers
        self.crew = [self._hire() for _ in range(WORKERS)]
        self.chance = chance
        self.wanted = {
            account: [publish(desk) for _ in range(APPLICATIONS // len(desks))]
            for account, desk in self.desks.items()
        }
        self.accepted = {account: {} for account in self.desks}
        self.late = []
        self.full_at = {}
        self.killed = self.rounds = self.overwritten = 0

    def _hire(self):
        return self.workers.start(self.world.clock.path, timeout_s=PATIENCE_S)

    def submit(self, account, count):
        """*count* new ones from either session, and an old one again."""
        desk, accepted = self.desks[account], self.accepted[account]
        wanted = self.wanted[account][len(accepted) :][:count]
        again = [self.chance.choice(list(accepted))] if accepted else []
        for vacancy in wanted + again:
            desk.user_id = self.chance.choice(self.sessions[account])
            answer = desk.submit(vacancy)
            assert accepted.setdefault(vacancy, answer.application_id) == answer.application_id

    def overwrite(self):
        """What the BFF does, whatever the state."""
        rows = self.connection.execute("SELECT id FROM applications").fetchall()
        picked = self.chance.sample([row["id"] for row in rows], int(len(rows) * OVERWRITTEN))
        self.overwritten += self.connection.execute(OVERWRITE, [picked]).rowcount

    def bells(self):
        """Those that arrive in this round."""
        heard, self.late = self.late, []
        for account in rung():
            fate = self.chance.random()
            if fate < LOST:
                continue
            if fate < LOST + DOUBLED:
                heard += [account, account]
            elif fate < LOST + DOUBLED + LATE:
                self.late.append(account)
            else:
                heard.append(account)
        self.chance.shuffle(heard)
        return heard

    def work(self, bells):
        """Let the workers answer *bells*; some of them die over it."""
        ends = {}
        while bells or any(worker.busy for worker in self.crew):
            for worker in self.crew:
                if bells and not worker.busy:
                    worker.ring(bells.pop())
                    if self.chance.random() < KILLED:
                        ends[worker] = time.monotonic() + self.chance.random() * 0.5
            for worker in first_to_answer(self.crew, 0.02):
                worker.answer()
                ends.pop(worker, None)
            for worker in [each for each, at in ends.items() if at < time.monotonic()]:
                self.workers.kill(worker)
                self.crew[self.crew.index(worker)] = self._hire()
                del ends[worker]
                self.killed += 1

    def round(self, seconds):
        """One round; *seconds* pass, while no call is out."""
        self.rounds += 1
        assert self.rounds < MOST_ROUNDS, "there is no end"
        self.overwrite()
        self.desks[next(iter(self.desks))].sweep()
        self.work(self.bells())
        for account, desk in self.desks.items():
            if account not in self.full_at and tokens_spent(desk.account_id):
                self.full_at[account] = was_full_at(desk.account_id)
        self.world.sandbox.advance(seconds)

    def told(self):
        """How far it is."""
        accepted = sum(len(vacancies) for vacancies in self.accepted.values())
        return (
            f"{accepted - self.left()} of {APPLICATIONS} out, {self.left()} wait;"
            f" {self.rounds} rounds, {self.killed} workers killed,"
            f" {self.overwritten} rows overwritten"
        )

    def left(self):
        """How many are not over yet."""
        found = self.connection.execute(
            "SELECT count(*) AS left FROM application_ledger WHERE state <> 'submitted'"
        ).fetchone()
        return found["left"]


def second_session(desk):
    """Another browser of the same person."""
    user_id = uuid4()
    desk.connection.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', %s, %s, %s)",
        (user_id, str(user_id), desk.account_id, desk.world.now(), desk.world.now()),
    )
    return user_id


def rung():
    """The accounts of the bells that have rung."""
    found = []
    queue = {"QueueUrl": settings.text("APPLIER_QUEUE_URL"), "MaxNumberOfMessages": 10}
    while messages := aws.call("sqs", "ReceiveMessage", queue).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"])["account_id"])
            handle = {"QueueUrl": queue["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"]}
            aws.call("sqs", "DeleteMessage", handle)
    return found


@pytest.mark.skipif("SOAK_APPLICATIONS" not in os.environ, reason="make soak-applying runs it")
def test_whatever_goes_wrong_each_application_is_made_once(desks, workers, progress):
    try:
        soak(desks, workers, random.Random(SEED), progress)  # noqa: S311 - the same
    except BaseException as error:
        error.add_note(f"again with: SOAK_SEED={SEED} SOAK_APPLICATIONS={APPLICATIONS}")
        raise


def soak(desks, workers, chance, progress):
    progress.say(f"{APPLICATIONS} applications; seed {SEED}")
    run = Soak(desks, workers, chance)
    for kind in FAULTS:
        more = {"seconds": SLOW_S} if kind == "slow" else {}
        run.world.sandbox.fault(kind, path="/", probability=FAULTY / len(FAULTS), **more)
    for account in run.desks:
        run.submit(account, AT_ONCE)
    for _ in range(6):  # the bucket is drained before it can be full again
        run.round(31)
    while any(len(run.accepted[one]) < len(run.wanted[one]) for one in run.desks) or run.left():
        for account in run.desks:
            run.submit(account, chance.randrange(12))
        run.round(chance.choice([31, 61, 450, 900]) if run.left() > len(desks) else 61)
        progress.so_far(run.told)
    run.world.sandbox.control("DELETE", "/faults")
    for _ in range(3):  # the sweeper puts right what was overwritten last
        desks[0].sweep()
    for desk in desks:
        judge(desk.account_id, desk.who, sandbox=run.world.sandbox, connection=desk.connection)
        accepted = desk.posted(outcome="accepted")
        assert len(accepted) == len(run.wanted[str(desk.account_id)])
        made = calls_made(desk.account_id, connection=desk.connection)
        assert spent_since(desk.account_id, run.full_at[str(desk.account_id)]) == made
    progress.say(f"each was made once: {run.told()}; seed {SEED}\n")
