"""Saved searches of several accounts under random failures.

The sandbox's clock runs, a minute a second; vacancies are posted, posted again and closed. The
fetcher, workers and broadcasters are processes, some of which are killed at random moments; hh.ru
fails one call in ten, with each kind of fault; wake-ups are lost, doubled and delayed; accounts
change their filters. In the end the database has hh.ru's vacancies, each account's event log has
those that the database says, and each socket was sent that log.

``make soak-fetching`` runs it for ten minutes; the suite, for some seconds.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter

import pytest

from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness import fetch_process
from tests.harness.fetching import FetchHarness, check_invariants, new_employer, receive_wake_ups
from tests.harness.worker_pool import Workers, first_to_answer
from ullgetthejob.filters.store import UPSERT_FILTERS
from ullgetthejob.platform import clock
from ullgetthejob.realtime import event_log

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(1_000_000)))  # noqa: S311 - no secret
ACCOUNTS = 8
EMPLOYERS = 5
WORKERS = 5
INTERVAL_S = 300
CLOCK_RATE = 60  # seconds of the sandbox's clock a second
FAULTS = (
    *("lost", "drop", "server_error", "slow", "truncated", "too_many_requests", "bad_gateway"),
    *("captcha", "errors_with_200"),
)
FAULT_RATE = 0.1
TIMEOUT_S = 0.5
SLOW_S = 0.8
KILL_RATE = 0.4  # of the wake-ups in processing
LOSS_RATE, DUPLICATE_RATE, DELAY_RATE = 0.2, 0.2, 0.2  # of all wake-ups
MAX_MINUTES = 60
RULES: tuple[dict[str, object], ...] = (
    {},
    {"formats": ["REMOTE"]},
    {"salary_floor": {"amount": 120_000, "allow_without_salary": False}},
)
DELIVERY_DEADLINE_S = 90  # a killed broadcaster holds its connection for some seconds more


@pytest.fixture
def hh_sandbox(tmp_path):
    """A sandbox of this test alone, because its clock runs."""
    options = ("--vacancies", "120", "--calls-per-second", "1000000")
    with run_sandbox(tmp_path / "sandbox", *options) as sandbox:
        yield sandbox


@pytest.fixture
def workers(tmp_path):
    with Workers(tmp_path / "workers.log", fetch_process.__name__) as started:
        yield started


@pytest.fixture
def harness(connected, room, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "2")
    clock.install(connected.now)
    yield FetchHarness(connected)
    clock.install(None)


class Soak:
    """A sandbox, accounts, and the processes that serve them."""

    def __init__(self, harness, room, workers, chance, progress):
        self.harness, self.room, self.workers, self.chance = harness, room, workers, chance
        self.progress = progress
        self.sandbox = harness.sandbox
        self.employers = [new_employer() for _ in range(EMPLOYERS)]
        self.titles = []
        self.published = []
        self.closed = set()
        self.sockets = {}
        self.delayed = []
        self.killed = self.wake_ups = self.minutes = 0
        self._add_accounts()
        self.processes = [self._start_worker() for _ in range(WORKERS)]

    def _add_accounts(self):
        """Give each account two searches, some of them equal, and a socket."""
        first, second, *_ = self.employers
        searches = [
            {"employer_id": self.employers},
            {"employer_id": [first, second]},
            *({"employer_id": employer} for employer in self.employers),
            {"text": "", "only_with_salary": True},
        ]
        for number in range(ACCOUNTS):
            account_id = self.harness.world.account()
            for search in (searches[number], searches[(number * 3 + 1) % len(searches)]):
                query_id = self.harness.query(**search)
                self.harness.save(query_id, account_id, INTERVAL_S)
            self.sockets[account_id] = self.room.open_connection(
                self.room.user(account_id), cursor=0
            )

    def _start_worker(self):
        return self.workers.start(self.harness.world.clock.path, timeout_s=TIMEOUT_S)

    def change_vacancies(self):
        """Publish and close random vacancies."""
        for _ in range(self.chance.randrange(4)):
            employer = self.chance.choice(self.employers)
            title = f"Мастер {len(self.published)}"
            if self.titles and self.chance.random() < 0.2:  # posted again
                employer, title = self.chance.choice(self.titles)
            self.titles.append((employer, title))
            body = {"id": employer, "name": f"Завод {employer}"}
            self.published.append(self.sandbox.publish(title, employer=body)["id"])
        open_ids = [vacancy for vacancy in self.published if vacancy not in self.closed]
        if open_ids and self.chance.random() < 0.3:
            closing = self.chance.choice(open_ids)
            self.sandbox.control("POST", f"/vacancies/{closing}/close")
            self.closed.add(closing)

    def change_rules(self):
        """Replace the filters of a random account."""
        values = {
            "account_id": self.chance.choice(list(self.sockets)),
            "rules": json.dumps(self.chance.choice(RULES)),
            "now": self.harness.world.now(),
        }
        self.harness.connection.execute(UPSERT_FILTERS, values)

    def receive(self):
        """Return the wake-ups that arrive now."""
        new = receive_wake_ups("FETCH_QUEUE_URL", "query_id")
        new += [
            f"{fetch_process.BROADCAST}{account_id}"
            for account_id in receive_wake_ups("BROADCASTER_QUEUE_URL", "account_id")
        ]
        received, self.delayed = self.delayed, []
        for wake_up in [*new, fetch_process.TICK]:
            draw = self.chance.random()
            if draw < LOSS_RATE:
                continue
            if draw < LOSS_RATE + DUPLICATE_RATE:
                received += [wake_up, wake_up]
            elif draw < LOSS_RATE + DUPLICATE_RATE + DELAY_RATE:
                self.delayed.append(wake_up)
            else:
                received.append(wake_up)
        self.chance.shuffle(received)
        self.wake_ups += len(received)
        return received

    def work(self, waiting, kill_times):
        """Let the processes work for a second, and kill some of them."""
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            for worker in self.processes:
                if waiting and not worker.busy:
                    worker.notify(waiting.pop())
                    if self.chance.random() < KILL_RATE:
                        kill_times[worker] = time.monotonic() + self.chance.random() * 0.15
            for worker in first_to_answer(self.processes, 0.02):
                worker.answer()
                kill_times.pop(worker, None)
            for worker in [worker for worker, at in kill_times.items() if at < time.monotonic()]:
                self.workers.kill(worker)
                self.processes[self.processes.index(worker)] = self._start_worker()
                del kill_times[worker]
                self.killed += 1

    def storm(self, seconds):
        """Run with failures for *seconds*."""
        for kind in FAULTS:
            options = {"seconds": SLOW_S} if kind == "slow" else {}
            self.sandbox.fault(kind, path="/", probability=FAULT_RATE / len(FAULTS), **options)
        self.sandbox.control("POST", "/clock", {"rate": CLOCK_RATE})
        ends = time.monotonic() + seconds
        waiting, kill_times = [], {}
        while time.monotonic() < ends:
            self.change_vacancies()
            self.change_rules()
            event_log.notify_unserved(connection=self.harness.connection, most=100)
            waiting += self.receive()
            self.work(waiting, kill_times)
            self.progress.so_far(self.summary)
        self.sandbox.control("DELETE", "/faults")
        self.sandbox.control("POST", "/clock", {"rate": 0})

    def calm(self):
        """Run without failures until no work is left."""
        began = self.harness.world.now()
        while self.is_behind(began):
            self.minutes += 1
            self.progress.so_far(lambda: f"calm, until all are notified: {self.minutes} minutes")
            assert self.minutes < MAX_MINUTES, "work is left after the last minute"
            self.sandbox.advance(61)
            self.process_all([fetch_process.TICK])
            self.process_all(receive_wake_ups("FETCH_QUEUE_URL", "query_id"))
        ends = time.monotonic() + DELIVERY_DEADLINE_S
        while self.room.unserved():
            assert time.monotonic() < ends, "some sockets lack events"
            event_log.notify_unserved(connection=self.harness.connection, most=100)
            accounts = set(receive_wake_ups("BROADCASTER_QUEUE_URL", "account_id"))
            self.process_all([f"{fetch_process.BROADCAST}{account_id}" for account_id in accounts])
            time.sleep(0.2)

    def summary(self):
        """Return a line on the progress."""
        return (
            f"storm of {SECONDS:.0f} s: {self.wake_ups} wake-ups, {self.killed} workers killed,"
            f" {len(self.published)} vacancies published, {len(self.closed)} closed"
        )

    def is_behind(self, since):
        """Return whether a search was not read since, or saved searches are not notified yet."""
        [row] = self.harness.connection.execute(
            "SELECT (SELECT count(*) FROM search_queries"
            "        WHERE complete_from IS NULL OR complete_from < %s)"
            " + (SELECT count(*) FROM fetch_runs WHERE state = 'running')"
            " + (SELECT count(*) FROM saved_searches WHERE run_id IS NOT NULL) AS left",
            [since],
        ).fetchall()
        return row["left"] > 0

    def process_all(self, wake_ups):
        """Let the processes work until all of *wake_ups* are processed."""
        waiting = list(wake_ups)
        while waiting or any(worker.busy for worker in self.processes):
            for worker in self.processes:
                if waiting and not worker.busy:
                    worker.notify(waiting.pop())
            for worker in first_to_answer(self.processes, 0.2):
                worker.answer()

    def check(self):
        check_invariants(self.harness)
        for account_id, connection_id in self.sockets.items():
            log = [row["seq"] for row in self.harness.events(account_id)]
            sent = list(dict.fromkeys(self.room.management.seqs(connection_id)))
            assert sent == log
        stored = {
            row["external_id"] for row in self.harness.connection.execute("SELECT * FROM jobs")
        }
        assert set(self.published) - self.closed <= stored


def test_accounts_are_notified_once_under_random_failures(harness, room, workers, progress):
    try:
        soak(harness, room, workers, random.Random(SEED), progress)  # noqa: S311 - no secret
    except BaseException as error:
        error.add_note(f"repeat with: SOAK_SEED={SEED} SOAK_SECONDS={SECONDS}")
        raise


def soak(harness, room, workers, chance, progress):
    run = Soak(harness, room, workers, chance, progress)
    run.storm(SECONDS)
    run.calm()
    run.check()
    rows = harness.connection.execute("SELECT state, reason FROM fetch_runs").fetchall()
    states = Counter(f"{row['state']} {row['reason'] or ''}".strip() for row in rows)
    notified = harness.connection.execute("SELECT count(*) AS n FROM account_vacancies").fetchone()
    say = progress.say if "SOAK_SECONDS" in os.environ else print
    say(f"{run.summary()}, {notified['n']} notified; runs: {dict(states)}; seed {SEED}\n")
