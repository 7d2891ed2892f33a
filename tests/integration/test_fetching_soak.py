"""Searches of several people while everything goes wrong at once.

The sandbox's clock runs, a minute a second; vacancies appear, are posted again and close. The
fetcher, workers and broadcasters are processes, of which some are killed at random moments; hh.ru
fails one call in ten, in all its ways; bells are lost, doubled and late. In the end the database
has what hh.ru has, every account's log says what the database says was new, and every socket was
sent that log.

``make soak-fetching`` runs it for ten minutes; the suite, for some seconds.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from tests.fixtures.hh_sandbox import run_sandbox
from tests.harness import fetch_process
from tests.harness.fetching import FetchHarness, check_invariants, new_employer, rung
from tests.harness.worker_pool import Workers, first_to_answer
from ullgetthejob.platform import clock
from ullgetthejob.realtime import event_log

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(1_000_000)))  # noqa: S311 - no secret
PEOPLE = 8
EMPLOYERS = 5
WORKERS = 5
INTERVAL_S = 300
RATE = 60  # of the clock
FAULTS = (
    *("lost", "drop", "server_error", "slow", "truncated", "too_many_requests", "bad_gateway"),
    *("captcha", "errors_with_200"),
)
FAULTY = 0.1
PATIENCE_S = 0.5
SLOW_S = 0.8
KILLED = 0.4  # of the bells that are answered
LOST, DOUBLED, LATE = 0.2, 0.2, 0.2  # of all bells
MOST_MINUTES = 60
SERVED_WITHIN_S = 90  # a broadcaster that died has a connection for some seconds yet


@pytest.fixture
def hh_sandbox(tmp_path):
    """One of its own: its clock runs."""
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
    """A world, its people, and the processes that serve them."""

    def __init__(self, harness, room, workers, chance, progress):
        self.harness, self.room, self.workers, self.chance = harness, room, workers, chance
        self.progress = progress
        self.sandbox = harness.sandbox
        self.employers = [new_employer() for _ in range(EMPLOYERS)]
        self.titles = []
        self.published = []
        self.closed = set()
        self.sockets = {}
        self.late = []
        self.killed = self.bells = self.minutes = 0
        self._people()
        self.crew = [self._hire() for _ in range(WORKERS)]

    def _people(self):
        """Everybody has two searches, some of which are the same, and a socket."""
        first, second, *_ = self.employers
        searches = [
            {"employer_id": self.employers},
            {"employer_id": [first, second]},
            *({"employer_id": one} for one in self.employers),
            {"text": "", "only_with_salary": True},
        ]
        for number in range(PEOPLE):
            account_id = self.harness.world.account()
            for search in (searches[number], searches[(number * 3 + 1) % len(searches)]):
                query_id = self.harness.query(**search)
                self.harness.save(query_id, account_id, INTERVAL_S)
            self.sockets[account_id] = self.room.open_connection(
                self.room.user(account_id), cursor=0
            )

    def _hire(self):
        return self.workers.start(self.harness.world.clock.path, timeout_s=PATIENCE_S)

    def live(self):
        """Something appears, something closes."""
        for _ in range(self.chance.randrange(4)):
            employer = self.chance.choice(self.employers)
            title = f"Мастер {len(self.published)}"
            if self.titles and self.chance.random() < 0.2:  # posted again
                employer, title = self.chance.choice(self.titles)
            self.titles.append((employer, title))
            body = {"id": employer, "name": f"Завод {employer}"}
            self.published.append(self.sandbox.publish(title, employer=body)["id"])
        open_ones = [one for one in self.published if one not in self.closed]
        if open_ones and self.chance.random() < 0.3:
            gone = self.chance.choice(open_ones)
            self.sandbox.control("POST", f"/vacancies/{gone}/close")
            self.closed.add(gone)

    def heard(self):
        """The bells that arrive now."""
        new = rung("FETCH_QUEUE_URL", "query_id")
        new += [
            f"{fetch_process.BROADCAST}{account_id}"
            for account_id in rung("BROADCASTER_QUEUE_URL", "account_id")
        ]
        heard, self.late = self.late, []
        for bell in [*new, fetch_process.TICK]:
            fate = self.chance.random()
            if fate < LOST:
                continue
            if fate < LOST + DOUBLED:
                heard += [bell, bell]
            elif fate < LOST + DOUBLED + LATE:
                self.late.append(bell)
            else:
                heard.append(bell)
        self.chance.shuffle(heard)
        self.bells += len(heard)
        return heard

    def work(self, waiting, deaths):
        """Let the crew answer for a second; some of them die over it."""
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            for worker in self.crew:
                if waiting and not worker.busy:
                    worker.ring(waiting.pop())
                    if self.chance.random() < KILLED:
                        deaths[worker] = time.monotonic() + self.chance.random() * 0.15
            for worker in first_to_answer(self.crew, 0.02):
                worker.answer()
                deaths.pop(worker, None)
            for worker in [one for one, at in deaths.items() if at < time.monotonic()]:
                self.workers.kill(worker)
                self.crew[self.crew.index(worker)] = self._hire()
                del deaths[worker]
                self.killed += 1

    def storm(self, seconds):
        """All goes wrong."""
        for kind in FAULTS:
            more = {"seconds": SLOW_S} if kind == "slow" else {}
            self.sandbox.fault(kind, path="/", probability=FAULTY / len(FAULTS), **more)
        self.sandbox.control("POST", "/clock", {"rate": RATE})
        ends = time.monotonic() + seconds
        waiting, deaths = [], {}
        while time.monotonic() < ends:
            self.live()
            event_log.notify_unserved(connection=self.harness.connection, most=100)
            waiting += self.heard()
            self.work(waiting, deaths)
            self.progress.so_far(self.told)
        self.sandbox.control("DELETE", "/faults")
        self.sandbox.control("POST", "/clock", {"rate": 0})

    def calm(self):
        """All goes well, until there is nothing left to do."""
        began = self.harness.world.now()
        while self.is_behind(began):
            self.minutes += 1
            self.progress.so_far(lambda: f"calm, until all is told: {self.minutes} minutes")
            assert self.minutes < MOST_MINUTES, "there is no end"
            self.sandbox.advance(61)
            self.answer_all([fetch_process.TICK])
            self.answer_all(rung("FETCH_QUEUE_URL", "query_id"))
        ends = time.monotonic() + SERVED_WITHIN_S
        while self.room.unserved():
            assert time.monotonic() < ends, "there are sockets that lack events"
            event_log.notify_unserved(connection=self.harness.connection, most=100)
            bells = set(rung("BROADCASTER_QUEUE_URL", "account_id"))
            self.answer_all([f"{fetch_process.BROADCAST}{account_id}" for account_id in bells])
            time.sleep(0.2)

    def told(self):
        """How far it is."""
        return (
            f"storm of {SECONDS:.0f} s: {self.bells} bells, {self.killed} workers killed,"
            f" {len(self.published)} vacancies published, {len(self.closed)} closed"
        )

    def is_behind(self, since):
        """Whether a search was not read since, or its news are not told."""
        [row] = self.harness.connection.execute(
            "SELECT (SELECT count(*) FROM search_queries"
            "        WHERE complete_from IS NULL OR complete_from < %s)"
            " + (SELECT count(*) FROM fetch_runs WHERE state = 'running')"
            " + (SELECT count(*) FROM saved_searches WHERE run_id IS NOT NULL) AS left",
            [since],
        ).fetchall()
        return row["left"] > 0

    def answer_all(self, bells):
        waiting = list(bells)
        while waiting or any(worker.busy for worker in self.crew):
            for worker in self.crew:
                if waiting and not worker.busy:
                    worker.ring(waiting.pop())
            for worker in first_to_answer(self.crew, 0.2):
                worker.answer()

    def judge(self):
        check_invariants(self.harness)
        for account_id, id in self.sockets.items():
            log = [row["seq"] for row in self.harness.events(account_id)]
            sent = list(dict.fromkeys(self.room.management.seqs(id)))
            assert sent == log
        stored = {
            row["external_id"] for row in self.harness.connection.execute("SELECT * FROM jobs")
        }
        assert set(self.published) - self.closed <= stored


def test_whatever_goes_wrong_each_vacancy_is_told_once(harness, room, workers, progress):
    try:
        soak(harness, room, workers, random.Random(SEED), progress)  # noqa: S311 - the same
    except BaseException as error:
        error.add_note(f"again with: SOAK_SEED={SEED} SOAK_SECONDS={SECONDS}")
        raise


def soak(harness, room, workers, chance, progress):
    run = Soak(harness, room, workers, chance, progress)
    run.storm(SECONDS)
    run.calm()
    run.judge()
    rows = harness.connection.execute("SELECT state, reason FROM fetch_runs").fetchall()
    states = Counter(f"{row['state']} {row['reason'] or ''}".strip() for row in rows)
    news = harness.connection.execute("SELECT count(*) AS n FROM account_vacancies").fetchone()
    say = progress.say if "SOAK_SECONDS" in os.environ else print
    say(f"{run.told()}, {news['n']} times told; runs: {dict(states)}; seed {SEED}\n")
