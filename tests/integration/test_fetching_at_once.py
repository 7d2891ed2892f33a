"""Many people with many searches, two fetchers at once, and workers that die at each step."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness import fetch_process
from tests.harness.fetching import FetchHarness, check_invariants, new_employer, publish
from tests.harness.worker_pool import Workers, first_to_answer
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import postgres
from ullgetthejob.saved_searches import canonical_searches, run_store

if TYPE_CHECKING:
    from uuid import UUID

PEOPLE = 1_000
SEARCHES = 200
EMPLOYERS = 50
EACH = 3  # vacancies of an employer
WORKERS = 3
LEASE_S = 121


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    log = tmp_path_factory.mktemp("workers") / "log"
    with Workers(log, fetch_process.__name__) as started:
        yield started


@pytest.fixture
def harness(connected, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    return FetchHarness(connected)


def answer_all(harness, crew, minutes=10):
    """Minutes of the fetcher, until no bell rings any more."""
    for _ in range(minutes):
        bells = harness.bells()
        if not bells:
            return
        work(crew, bells + bells[::2])  # some are doubled
        harness.sandbox.advance(61)
        harness.tick()
    raise AssertionError("there is no end")


def work(crew, bells):
    """Let the workers answer."""
    waiting = list(bells)
    while waiting or any(worker.busy for worker in crew):
        for worker in crew:
            if waiting and not worker.busy:
                worker.notify(waiting.pop())
        for worker in first_to_answer(crew, 0.2):
            assert worker.answer() == "done"


# ── a thousand people ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def broadcaster_queue(local_aws):
    """One that is thrown away with its bells: each of a thousand takes time to be cleared away."""
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName="bells-of-a-thousand")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def test_a_thousand_people_with_two_hundred_searches(harness, workers, broadcaster_queue):
    """Two fetchers at once, three workers. Each search is asked for once and no page twice, each
    vacancy is stored once, and everybody is told of exactly what is new to them."""
    employers = [new_employer() for _ in range(EMPLOYERS)]
    published = {employer: publish(harness.sandbox, employer, EACH) for employer in employers}
    pairs = list(itertools.combinations(employers, 2))[: SEARCHES - EMPLOYERS]
    wanted = [(one,) for one in employers] + pairs
    ids = [
        canonical_searches.get_or_create(
            SearchParameters(employer_id=one),
            connection=harness.connection,
            now=harness.world.now(),
        )
        for one in wanted
    ]
    save_for_all(harness, ids)
    harness.forget_calls()
    harness.sandbox.limit(20)  # a second, by hh.ru's count
    crew = []
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("HH_CALLS_PER_SECOND", "18")
            environment.setenv("BROADCASTER_QUEUE_URL", broadcaster_queue)
            crew = [workers.start(harness.world.clock.path) for _ in range(WORKERS)]
        both_tick(harness)
        answer_all(harness, crew)
    finally:
        for worker in crew:
            workers.kill(worker)
    state = harness.sandbox.control("GET", "/state")
    assert state["calls"]["by_route"]["GET /vacancies"] == SEARCHES
    assert state["too_many_requests"] == 0
    hits = harness.sandbox.control("GET", "/hits")["hits"]
    assert len({hit["query"] for hit in hits}) == SEARCHES
    stored = harness.connection.execute("SELECT external_id, count(*) AS n FROM jobs GROUP BY 1")
    assert {row["external_id"]: row["n"] for row in stored} == {
        vacancy: 1 for each in published.values() for vacancy in each
    }
    check_runs_and_people(harness, ids, wanted, published)


def save_for_all(harness, ids):
    """A person for each, some of whom have two; a twentieth have been told of something."""
    now = harness.world.now()
    accounts = harness.connection.execute(
        "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
        " SELECT gen_random_uuid()::text, 'ok', %(now)s, %(now)s"
        " FROM generate_series(1, %(people)s) RETURNING id",
        {"now": now, "people": PEOPLE},
    ).fetchall()
    rows = []
    for number, account in enumerate(accounts):
        rows.append((account["id"], ids[number % SEARCHES]))
        if number % 4 == 0:
            rows.append((account["id"], ids[(number * 7 + 1) % SEARCHES]))
    values = [
        {"account": account, "query": query, "now": now} for account, query in dict.fromkeys(rows)
    ]
    with harness.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
            " interval_seconds, time_zone, next_run_at, created_at, updated_at) VALUES"
            " (%(account)s, %(account)s, %(query)s, 'Поиск', '{}', 1800, 'Europe/Moscow',"
            " %(now)s, %(now)s, %(now)s)",
            values,
        )
    harness.connection.execute(
        "UPDATE search_queries SET due_at = %s WHERE id = ANY(%s)", [now, ids]
    )


def both_tick(harness):
    """Two fetchers begin at once."""
    begin = threading.Barrier(2)
    claimed = []

    def claim():
        with psycopg.connect(
            harness.connection.info.dsn,
            password=harness.connection.info.password,
            autocommit=True,
            row_factory=dict_row,
        ) as own:
            begin.wait()
            while runs := canonical_searches.claim_due(
                connection=own, now=harness.world.now(), most=20
            ):
                claimed.extend(runs)

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len({run.query_id for run in claimed})
    ticked = harness.tick()
    assert ticked.begun + len(claimed) == ticked.rung == SEARCHES


def check_runs_and_people(harness, ids, wanted, published):
    connection = harness.connection
    runs = connection.execute("SELECT * FROM fetch_runs").fetchall()
    assert Counter(row["query_id"] for row in runs) == dict.fromkeys(ids, 1)
    assert {row["state"] for row in runs} == {"completed"}
    vacancies = {
        id: {vacancy for employer in one for vacancy in published[employer]}
        for id, one in zip(ids, wanted, strict=True)
    }
    expected: dict[UUID, set[str]] = {}
    for row in connection.execute("SELECT account_id, query_id FROM saved_searches"):
        expected.setdefault(row["account_id"], set()).update(vacancies[row["query_id"]])
    told: dict[UUID, list[str]] = {account_id: [] for account_id in expected}
    events = connection.execute("SELECT * FROM events ORDER BY account_id, seq").fetchall()
    for row in events:
        if row["type"] == "jobs.new":
            told[row["account_id"]] += [one["id"] for one in row["data"]["jobs"]]
    assert {account_id: sorted(ids) for account_id, ids in told.items()} == {
        account_id: sorted(ids) for account_id, ids in expected.items()
    }
    completed = sum(row["type"] == "fetch.completed" for row in events)
    saved = connection.execute("SELECT count(*) AS n FROM saved_searches").fetchone()
    assert completed == saved["n"]


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def employer(hh_sandbox_process):
    """One whose vacancies fill two pages."""
    found = new_employer()
    publish(hh_sandbox_process, found, 102)
    return found


@pytest.fixture
def searches(harness, employer):
    """Two people want the same, one of them something else, too."""
    query_id = harness.query(employer_id=employer)
    harness.save(query_id)
    account_id = harness.account_of(harness.save(query_id))
    other = harness.query(employer_id=new_employer())
    harness.save(other, account_id)
    return query_id


@pytest.mark.parametrize("step", fetch_process.STEPS_OF_THE_FETCHER)
def test_a_fetcher_killed_at_any_step_leaves_nothing_behind(harness, workers, searches, step):
    workers.kill_at(step, fetch_process.TICK, harness.world.clock.path)
    harness.bells()  # whom it rang for is not told
    all_ends_well(harness, searches)


@pytest.mark.parametrize("step", fetch_process.STEPS)
def test_a_worker_killed_at_any_step_leaves_nothing_behind(
    harness, workers, searches, step, monkeypatch
):
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "1")
    harness.tick()
    harness.bells()
    other = harness.query(employer_id="1")  # nothing waits while details are read
    assert other
    for row in harness.connection.execute("SELECT query_id FROM fetch_runs").fetchall():
        if row["query_id"] != searches:
            harness.work(row["query_id"])
    workers.kill_at(step, str(searches), harness.world.clock.path)
    all_ends_well(harness, searches)


def all_ends_well(harness, query_id):
    """Another goes on; not before the lease of the first has ended."""
    if run_store.running(query_id, connection=harness.connection) is not None:
        harness.work(query_id)
    for _ in range(3):
        harness.minute(LEASE_S)
    run = harness.run(query_id)
    assert (run.state, run.found, run.fetched, run.new) == ("completed", 102, 102, 102)
    assert run.calls == 2
    postgres.close()
    check_invariants(harness)
