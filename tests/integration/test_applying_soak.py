"""Many applications of several persons under all faults at once.

Concurrent workers as processes, of which some are killed at random times; hh.ru fails one call
in ten, in all its ways; wake-ups are lost, doubled and late; the BFF writes ``pending`` over any
status; both sessions of a person submit the same vacancies.

``make soak-applying`` runs it. The suite leaves it out: its timeout of calls to hh.ru is half a
second, which a busy machine exceeds without any fault of Core.
"""

import os
import random
import time

import pytest

from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness import applying
from tests.harness.apply_invariants import (
    calls_made,
    check_invariants,
    spent_since,
    tokens_spent,
    was_full_at,
)
from tests.harness.applying import ApplyHarness, publish, receive_wake_ups
from tests.harness.worker_pool import Workers, first_to_answer

APPLICATIONS = int(os.environ.get("SOAK_APPLICATIONS", "112"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(1_000_000)))  # noqa: S311 - no secret
PEOPLE = ("anna", "timur", "olga", "marina")
WORKERS = 3
AT_ONCE = 24  # a person's first submissions: more than the bucket holds
# How hh.ru fails: a tenth of all calls.
FAULTS = ("lost", "drop", "server_error", "slow", "truncated", "too_many_requests")
FAULTY = 0.1
TIMEOUT_S = 0.5
SLOW_S = 0.8
KILLED = 0.3  # of the workers that answer a wake-up
LOST, DOUBLED, LATE = 0.2, 0.2, 0.2  # of all wake-ups
OVERWRITTEN = 0.1  # of a person's applications, each round
OVERWRITE = """
    UPDATE applications SET status = 'pending', error_message = NULL, submitted_at = NULL
    WHERE id = ANY(%s)
"""
MOST_ROUNDS = 2000


@pytest.fixture
def hh_sandbox(tmp_path):
    """A sandbox of its own: days pass, and hundreds of vacancies are published."""
    options = ("--vacancies", "60", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


@pytest.fixture
def workers(tmp_path):
    with Workers(tmp_path / "workers.log") as started:
        yield started


@pytest.fixture
def harnesses(quiet_world):
    return [ApplyHarness(quiet_world, name) for name in PEOPLE]


class Soak:
    """Rounds of submitting, notifying, killing, overwriting, and of time that passes."""

    def __init__(self, harnesses, workers, chance):
        self.harnesses = {str(harness.account_id): harness for harness in harnesses}
        self.sessions = {
            account: [harness.user_id, applying.second_session(harness)]
            for account, harness in self.harnesses.items()
        }
        self.world = harnesses[0].world
        self.connection = harnesses[0].connection
        self.workers = workers
        self.running = [self._start_worker() for _ in range(WORKERS)]
        self.chance = chance
        self.wanted = {
            account: [publish(harness) for _ in range(APPLICATIONS // len(harnesses))]
            for account, harness in self.harnesses.items()
        }
        self.accepted = {account: {} for account in self.harnesses}
        self.late = []
        self.full_at = {}
        self.killed = self.rounds = self.overwritten = 0

    def _start_worker(self):
        return self.workers.start(self.world.clock.path, timeout_s=TIMEOUT_S)

    def submit(self, account, count):
        """Submit *count* new applications from either session, and an earlier one again."""
        harness, accepted = self.harnesses[account], self.accepted[account]
        wanted = self.wanted[account][len(accepted) :][:count]
        again = [self.chance.choice(list(accepted))] if accepted else []
        for vacancy in wanted + again:
            harness.user_id = self.chance.choice(self.sessions[account])
            answer = harness.submit(vacancy)
            assert accepted.setdefault(vacancy, answer.application_id) == answer.application_id

    def overwrite(self):
        """Write over statuses as the BFF does, whatever the state."""
        rows = self.connection.execute("SELECT id FROM applications").fetchall()
        picked = self.chance.sample([row["id"] for row in rows], int(len(rows) * OVERWRITTEN))
        self.overwritten += self.connection.execute(OVERWRITE, [picked]).rowcount

    def wake_ups(self):
        """Return the accounts of the wake-ups that arrive in this round."""
        arrived, self.late = self.late, []
        for account in receive_wake_ups():
            draw = self.chance.random()
            if draw < LOST:
                continue
            if draw < LOST + DOUBLED:
                arrived += [account, account]
            elif draw < LOST + DOUBLED + LATE:
                self.late.append(account)
            else:
                arrived.append(account)
        self.chance.shuffle(arrived)
        return arrived

    def work(self, wake_ups):
        """Let the workers answer *wake_ups*; some of them are killed in between."""
        killed_at = {}
        while wake_ups or any(worker.busy for worker in self.running):
            for worker in self.running:
                if wake_ups and not worker.busy:
                    worker.notify(wake_ups.pop())
                    if self.chance.random() < KILLED:
                        killed_at[worker] = time.monotonic() + self.chance.random() * 0.5
            for worker in first_to_answer(self.running, 0.02):
                worker.answer()
                killed_at.pop(worker, None)
            for worker in [worker for worker, at in killed_at.items() if at < time.monotonic()]:
                self.workers.kill(worker)
                self.running[self.running.index(worker)] = self._start_worker()
                del killed_at[worker]
                self.killed += 1

    def round(self, seconds):
        """Run a round, and let *seconds* pass while no call is under way."""
        self.rounds += 1
        assert self.rounds < MOST_ROUNDS, "the soak does not end"
        self.overwrite()
        self.harnesses[next(iter(self.harnesses))].sweep()
        self.work(self.wake_ups())
        for account, harness in self.harnesses.items():
            if account not in self.full_at and tokens_spent(harness.account_id):
                self.full_at[account] = was_full_at(harness.account_id)
        self.world.sandbox.advance(seconds)

    def report(self):
        """Return the progress as a line of text."""
        accepted = sum(len(vacancies) for vacancies in self.accepted.values())
        return (
            f"{accepted - self.left()} of {APPLICATIONS} sent, {self.left()} wait;"
            f" {self.rounds} rounds, {self.killed} workers killed,"
            f" {self.overwritten} rows overwritten"
        )

    def left(self):
        """Return how many applications are not submitted yet."""
        found = self.connection.execute(
            "SELECT count(*) AS left FROM application_ledger WHERE state <> 'submitted'"
        ).fetchone()
        return found["left"]


@pytest.mark.skipif("SOAK_APPLICATIONS" not in os.environ, reason="make soak-applying runs it")
def test_soak_makes_each_application_once(harnesses, workers, progress):
    try:
        soak(harnesses, workers, random.Random(SEED), progress)  # noqa: S311 - the same
    except BaseException as error:
        error.add_note(f"again with: SOAK_SEED={SEED} SOAK_APPLICATIONS={APPLICATIONS}")
        raise


def soak(harnesses, workers, chance, progress):
    progress.say(f"{APPLICATIONS} applications; seed {SEED}")
    run = Soak(harnesses, workers, chance)
    for kind in FAULTS:
        more = {"seconds": SLOW_S} if kind == "slow" else {}
        run.world.sandbox.fault(kind, path="/", probability=FAULTY / len(FAULTS), **more)
    for account in run.harnesses:
        run.submit(account, AT_ONCE)
    for _ in range(6):  # the bucket is emptied before it can be full again
        run.round(31)
    while run.left() or any(
        len(run.accepted[account]) < len(run.wanted[account]) for account in run.harnesses
    ):
        for account in run.harnesses:
            run.submit(account, chance.randrange(12))
        run.round(chance.choice([31, 61, 450, 900]) if run.left() > len(harnesses) else 61)
        progress.so_far(run.report)
    run.world.sandbox.control("DELETE", "/faults")
    for _ in range(3):  # the sweeper restores what was overwritten last
        harnesses[0].sweep()
    for harness in harnesses:
        check_invariants(
            harness.account_id,
            harness.name,
            sandbox=run.world.sandbox,
            connection=harness.connection,
        )
        accepted = harness.posted(outcome="accepted")
        assert len(accepted) == len(run.wanted[str(harness.account_id)])
        made = calls_made(harness.account_id, connection=harness.connection)
        assert spent_since(harness.account_id, run.full_at[str(harness.account_id)]) == made
    progress.say(f"each was made once: {run.report()}; seed {SEED}\n")
