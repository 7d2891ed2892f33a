"""Many accounts with many searches, two fetchers at once, and processes killed at each step."""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness import fetch_process
from tests.harness.fetching import check_invariants, new_employer, publish
from tests.harness.worker_pool import Workers, first_to_answer
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import postgres
from ullgetthejob.saved_searches import canonical_searches, run_store

if TYPE_CHECKING:
    from uuid import UUID

ACCOUNTS = int(os.environ.get("SOAK_ACCOUNTS", "300"))
SEARCHES = ACCOUNTS // 5
EMPLOYERS = SEARCHES // 4
VACANCIES_PER_EMPLOYER = 3
WORKERS = 3
LEASE_S = 121


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    log = tmp_path_factory.mktemp("workers") / "log"
    with Workers(log, fetch_process.__name__) as started:
        yield started


def answer_all(fetching, processes, minutes=10):
    """Run minutes of the fetcher and process its wake-ups, until none is left."""
    for _ in range(minutes):
        wake_ups = fetching.wake_ups()
        if not wake_ups:
            return
        work(processes, wake_ups + wake_ups[::2])  # some are delivered twice
        fetching.sandbox.advance(61)
        fetching.tick()
    raise AssertionError("wake-ups are left after the last minute")


def work(processes, wake_ups):
    """Let the workers process the wake-ups."""
    waiting = list(wake_ups)
    while waiting or any(worker.busy for worker in processes):
        for worker in processes:
            if waiting and not worker.busy:
                worker.notify(waiting.pop())
        for worker in first_to_answer(processes, 0.2):
            assert worker.answer() == "done"


# ── many accounts ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def broadcaster_queue(local_aws):
    """A queue that is deleted with its wake-ups: receiving so many of them takes time."""
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName="broadcaster-of-many")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def test_many_accounts_are_each_notified_of_new_vacancies(fetching, workers, broadcaster_queue):
    """Two fetchers at once, three workers: each search is requested once and no page twice, each
    vacancy is stored once, and each account is notified of exactly what is new to it."""
    employers = [new_employer() for _ in range(EMPLOYERS)]
    published = {
        employer: publish(fetching.sandbox, employer, VACANCIES_PER_EMPLOYER)
        for employer in employers
    }
    pairs = list(itertools.combinations(employers, 2))[: SEARCHES - EMPLOYERS]
    wanted = [(employer,) for employer in employers] + pairs
    ids = [
        canonical_searches.get_or_create(
            SearchParameters(employer_id=employer_ids),
            connection=fetching.connection,
            now=fetching.world.now(),
        )
        for employer_ids in wanted
    ]
    save_for_all(fetching, ids)
    fetching.reset_calls()
    fetching.sandbox.limit(20)  # a second, by hh.ru's count
    processes = []
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("HH_CALLS_PER_SECOND", "18")
            environment.setenv("BROADCASTER_QUEUE_URL", broadcaster_queue)
            processes = [workers.start(fetching.world.clock.path) for _ in range(WORKERS)]
        tick_concurrently(fetching)
        answer_all(fetching, processes)
    finally:
        for worker in processes:
            workers.kill(worker)
    state = fetching.sandbox.control("GET", "/state")
    assert state["calls"]["by_route"]["GET /vacancies"] == SEARCHES
    assert state["too_many_requests"] == 0
    hits = fetching.sandbox.control("GET", "/hits")["hits"]
    assert len({hit["query"] for hit in hits}) == SEARCHES
    stored = fetching.connection.execute("SELECT external_id, count(*) AS n FROM jobs GROUP BY 1")
    assert {row["external_id"]: row["n"] for row in stored} == {
        vacancy: 1 for vacancies in published.values() for vacancy in vacancies
    }
    check_runs_and_notifications(fetching, ids, wanted, published)


def save_for_all(fetching, ids):
    """Insert accounts, each with a saved search, every fourth with two."""
    now = fetching.world.now()
    accounts = fetching.connection.execute(
        "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
        " SELECT gen_random_uuid()::text, 'ok', %(now)s, %(now)s"
        " FROM generate_series(1, %(people)s) RETURNING id",
        {"now": now, "people": ACCOUNTS},
    ).fetchall()
    rows = []
    for number, account in enumerate(accounts):
        rows.append((account["id"], ids[number % SEARCHES]))
        if number % 4 == 0:
            rows.append((account["id"], ids[(number * 7 + 1) % SEARCHES]))
    values = [
        {"account": account, "query": query, "now": now} for account, query in dict.fromkeys(rows)
    ]
    with fetching.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
            " interval_seconds, time_zone, next_run_at, created_at, updated_at) VALUES"
            " (%(account)s, %(account)s, %(query)s, 'Поиск', '{}', 1800, 'Europe/Moscow',"
            " %(now)s, %(now)s, %(now)s)",
            values,
        )
    fetching.connection.execute(
        "UPDATE search_queries SET due_at = %s WHERE id = ANY(%s)", [now, ids]
    )


def tick_concurrently(fetching):
    """Let two fetchers claim at once, then tick."""
    begin = threading.Barrier(2)
    claimed = []

    def claim():
        with psycopg.connect(
            fetching.connection.info.dsn,
            password=fetching.connection.info.password,
            autocommit=True,
            row_factory=dict_row,
        ) as own:
            begin.wait()
            while runs := canonical_searches.claim_due(
                connection=own, now=fetching.world.now(), most=20
            ):
                claimed.extend(runs)

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len({run.query_id for run in claimed})
    ticked = fetching.tick()
    assert ticked.begun + len(claimed) == ticked.notified == SEARCHES


def check_runs_and_notifications(fetching, ids, wanted, published):
    connection = fetching.connection
    runs = connection.execute("SELECT * FROM fetch_runs").fetchall()
    assert Counter(row["query_id"] for row in runs) == dict.fromkeys(ids, 1)
    assert {row["state"] for row in runs} == {"completed"}
    vacancies = {
        query_id: {vacancy for employer in employer_ids for vacancy in published[employer]}
        for query_id, employer_ids in zip(ids, wanted, strict=True)
    }
    expected: dict[UUID, set[str]] = {}
    for row in connection.execute("SELECT account_id, query_id FROM saved_searches"):
        expected.setdefault(row["account_id"], set()).update(vacancies[row["query_id"]])
    notified: dict[UUID, list[str]] = {account_id: [] for account_id in expected}
    events = connection.execute("SELECT * FROM events ORDER BY account_id, seq").fetchall()
    for row in events:
        if row["type"] == "jobs.new":
            notified[row["account_id"]] += [job["id"] for job in row["data"]["jobs"]]
    assert {account_id: sorted(ids) for account_id, ids in notified.items()} == {
        account_id: sorted(ids) for account_id, ids in expected.items()
    }
    completed = sum(row["type"] == "fetch.completed" for row in events)
    saved = connection.execute("SELECT count(*) AS n FROM saved_searches").fetchone()
    assert 0 < completed <= saved["n"]  # the second search of an account may find nothing new
    waiting = connection.execute("SELECT FROM saved_searches WHERE run_id IS NOT NULL").fetchall()
    assert waiting == []


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def employer(hh_sandbox):
    """The id of an employer whose vacancies fill two pages."""
    employer_id = new_employer()
    publish(hh_sandbox, employer_id, 102)
    return employer_id


@pytest.fixture
def searches(fetching, employer):
    """The query that two accounts share; one of them has another query, too."""
    query_id = fetching.query(employer_id=employer)
    fetching.save(query_id)
    account_id = fetching.account_of(fetching.save(query_id))
    other = fetching.query(employer_id=new_employer())
    fetching.save(other, account_id)
    return query_id


@pytest.mark.parametrize("step", fetch_process.FETCHER_STEPS)
def test_fetcher_killed_at_any_step_is_recovered(fetching, workers, searches, step):
    workers.kill_at(step, fetch_process.TICK, fetching.world.clock.path)
    fetching.wake_ups()  # received and lost
    check_recovery(fetching, searches)


@pytest.mark.parametrize("step", fetch_process.WORKER_STEPS)
def test_worker_killed_at_any_step_is_recovered(fetching, workers, searches, step, monkeypatch):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "1")
    fetching.tick()
    fetching.wake_ups()
    other = fetching.query(employer_id="1")  # no run may wait while details are read
    assert other
    for row in fetching.connection.execute("SELECT query_id FROM fetch_runs").fetchall():
        if row["query_id"] != searches:
            fetching.work(row["query_id"])
    workers.kill_at(step, str(searches), fetching.world.clock.path)
    check_recovery(fetching, searches)


def check_recovery(fetching, query_id):
    """Check that another worker completes the run, after the lease of the first has expired."""
    if run_store.running(query_id, connection=fetching.connection) is not None:
        fetching.work(query_id)
    for _ in range(3):
        fetching.minute(LEASE_S)
    run = fetching.run(query_id)
    assert (run.state, run.found, run.fetched, run.new) == ("completed", 102, 102, 102)
    assert run.calls == 2
    postgres.close()
    check_invariants(fetching)
