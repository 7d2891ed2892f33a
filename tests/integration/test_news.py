"""News on a real Postgres: each account is told once of what is new to it, whatever crashes."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from ullgetthejob.applications import attempts, ledger
from ullgetthejob.hh import responses
from ullgetthejob.platform import postgres
from ullgetthejob.realtime.event_log import MAX_DATA_BYTES
from ullgetthejob.saved_searches import notifications
from ullgetthejob.vacancies import store

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DEADLINE_S = 60  # for a busy machine


def connect(url):
    return postgres.connection_class().connect(
        url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


def item(number, **changes):
    return {
        "id": str(number),
        "name": f"Вакансия {number}",
        "area": {"id": "88", "name": "Казань"},
        "employer": {"id": "7", "name": "Работодатель"},
        "type": {"id": "open", "name": "Открытая"},
        "published_at": "2026-11-24T10:15:30+0300",
        "alternate_url": f"https://hh.example/vacancy/{number}",
        **changes,
    }


def repost(number, city):
    """A job of one employer in a city."""
    text = "Опыт в рознице от года, грамотная речь, желание учиться и помогать гостям с выбором."
    return item(
        number,
        name=f"Продавец (г. {city})",
        area={"id": "1", "name": city},
        snippet={"requirement": text, "responsibility": text},
    )


class World:
    """Accounts, their saved searches, and what was found."""

    def __init__(self, url):
        self.url = url
        self.connection = connect(url)

    def one(self, sql, *values):
        return next(iter(self.connection.execute(sql, values).fetchone().values()))

    def rows(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def account(self):
        return self.one(
            "INSERT INTO accounts (hh_user_id, access_changed_at, created_at)"
            " VALUES (%s, %s, %s) RETURNING id",
            uuid4().hex,
            NOW,
            NOW,
        )

    def query(self):
        return self.one(
            "INSERT INTO search_queries (hash, parameters, created_at) VALUES (%s, '{}', %s)"
            " RETURNING id",
            uuid4().bytes,
            NOW,
        )

    def run(self, query, state="completed", reason=None):
        return self.one(
            "INSERT INTO fetch_runs (query_id, state, trigger, reason, is_full, plan, started_at,"
            " finished_at, found, fetched, new, changed, failed)"
            " VALUES (%s, %s, 'schedule', %s, true, '{}', %s, %s, 5, 4, 3, 2, 1) RETURNING id",
            query,
            state,
            reason,
            NOW,
            None if state == "running" else NOW,
        )

    def search(self, account, query, run=None, paused=False, name="Казань"):
        return self.one(
            "INSERT INTO saved_searches (account_id, user_id, query_id, name, search, run_id,"
            " paused, interval_seconds, time_zone, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, '{}', %s, %s, 1800, 'Europe/Moscow', %s, %s) RETURNING id",
            account,
            uuid4(),
            query,
            name,
            run,
            paused,
            NOW,
            NOW,
        )

    def attach(self, run, *searches):
        sql = "UPDATE saved_searches SET run_id = %s WHERE id = ANY(%s)"
        self.connection.execute(sql, (run, list(searches)))

    def find(self, query, *items):
        """A run finds these."""
        vacancies = [responses.vacancy(one) for one in items]
        store.store_vacancies(vacancies, search_query="", connection=self.connection, now=NOW)
        self.connection.execute(
            """
            WITH known AS (SELECT last_match FROM search_queries WHERE id = %(query)s),
            found AS (
                INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)
                SELECT %(query)s, id, known.last_match + place, %(now)s, %(now)s
                FROM known, unnest(%(ids)s::text[]) WITH ORDINALITY AS one (id, place)
                RETURNING number
            )
            UPDATE search_queries SET last_match = (SELECT max(number) FROM found)
            WHERE id = %(query)s
            """,
            {"query": query, "ids": [one["id"] for one in items], "now": NOW},
        )

    def tell(self, run):
        return notifications.notify_accounts(run, connection=self.connection, now=NOW)

    def log(self, account):
        return self.rows(
            "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", account
        )

    def announced(self, account):
        """Ids of all jobs in the log, as often as they are there."""
        events = [event for event in self.log(account) if event["type"] == "jobs.new"]
        return [job["id"] for event in events for job in event["data"]["jobs"]]

    def kept(self, account):
        """What the database says was told, by vacancy."""
        sql = "SELECT vacancy_id, seq FROM account_vacancies WHERE account_id = %s"
        return {row["vacancy_id"]: row["seq"] for row in self.rows(sql, account)}

    def check(self, account):
        """The log equals what the database says, without gap and double."""
        log = self.log(account)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        told = [
            (job["id"], event["seq"])
            for event in log
            if event["type"] == "jobs.new"
            for job in event["data"]["jobs"]
        ]
        kept = self.kept(account)
        assert len(told) == len(dict(told))
        assert dict(told) == {id: seq for id, seq in kept.items() if seq is not None}


@pytest.fixture
def world(database_url, dynamodb_tables):
    world = World(database_url)
    yield world
    world.connection.close()


@pytest.fixture
def anna(world):
    return world.account()


@pytest.fixture
def query(world):
    return world.query()


def test_what_is_new_is_told_once_and_then_how_the_run_ended(world, anna, query):
    run = world.run(query)
    search = world.search(anna, query, run)
    world.find(query, item(1, has_test=True, salary={"from": 5, "currency": "RUR"}), item(2))
    assert world.tell(run) == 2
    new, completed = world.log(anna)
    about = {"search_id": str(search), "search_name": "Казань", "run_id": str(run)}
    assert new["type"] == "jobs.new"
    assert new["data"] == {
        **about,
        "jobs": [
            {
                "id": "1",
                "title": "Вакансия 1",
                "company": "Работодатель",
                "salary": "from 5 RUR",
                "area": "Казань",
                "url": "https://hh.example/vacancy/1",
                "published_at": "2026-11-24T07:15:30+00:00",
                "has_test": True,
            },
            {
                "id": "2",
                "title": "Вакансия 2",
                "company": "Работодатель",
                "salary": None,
                "area": "Казань",
                "url": "https://hh.example/vacancy/2",
                "published_at": "2026-11-24T07:15:30+00:00",
                "has_test": False,
            },
        ],
        "part": 1,
        "parts": 1,
        "total": 2,
    }
    assert completed["type"] == "fetch.completed"
    assert completed["data"] == {
        **about,
        "state": "completed",
        "reason": None,
        "found": 5,
        "fetched": 4,
        "new": 3,
        "changed": 2,
        "failed": 1,
        "told": 2,
        "finished_at": "2026-11-24T09:30:00+00:00",
    }
    assert world.kept(anna) == {"1": 1, "2": 1}
    [row] = world.rows("SELECT run_id, told_match FROM saved_searches")
    assert row == {"run_id": None, "told_match": 2}
    assert world.tell(run) == 0
    assert len(world.log(anna)) == 2


def test_the_bell_rings_once_for_each_account_after_the_commit(
    world, anna, query, dynamodb_tables, local_aws
):
    run = world.run(query)
    world.search(anna, query, run)
    world.find(query, *(item(n, name="Я" * 255) for n in range(100)))
    world.tell(run)
    sqs = local_aws.client("sqs")
    url = dynamodb_tables["BROADCASTER_QUEUE_URL"]
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"]) == {"account_id": str(anna)}


@pytest.mark.parametrize(
    ("state", "reason"),
    [("completed", None), ("partial", "captcha"), ("failed", "hh_unavailable")],
)
def test_a_run_without_news_is_told_too(world, anna, query, state, reason):
    run = world.run(query, state, reason)
    world.search(anna, query, run)
    assert world.tell(run) == 0
    [event] = world.log(anna)
    assert event["type"] == "fetch.completed"
    told = {name: event["data"][name] for name in ("state", "reason", "told")}
    assert told == {"state": state, "reason": reason, "told": 0}


def test_nothing_is_told_of_a_run_that_goes_on(world, anna, query):
    run = world.run(query, "running")
    world.search(anna, query, run)
    world.find(query, item(1))
    assert world.tell(run) == 0
    assert world.log(anna) == []
    assert world.tell(uuid4()) == 0


def test_only_who_waits_for_the_run_is_told(world, query):
    paused, attached, other = (world.account() for _ in range(3))
    run = world.run(query)
    world.search(paused, query, run, paused=True)
    world.search(attached, query, run)
    world.search(other, query)
    world.find(query, item(1))
    assert world.tell(run) == 1
    assert [len(world.log(one)) for one in (paused, attached, other)] == [0, 2, 0]


def test_the_next_run_tells_only_what_came_since(world, anna, query):
    search = world.search(anna, query)
    for numbers in ([1, 2], [3], []):
        if numbers:
            world.find(query, *map(item, numbers))
        run = world.run(query)
        world.attach(run, search)
        assert world.tell(run) == len(numbers)
    assert world.announced(anna) == ["1", "2", "3"]
    world.check(anna)


def test_what_two_searches_find_is_told_once(world, anna):
    for numbers in ([1, 2], [2, 3]):
        query = world.query()
        run = world.run(query)
        world.search(anna, query, run)
        world.find(query, *map(item, numbers))
        world.tell(run)
    assert world.announced(anna) == ["1", "2", "3"]
    world.check(anna)


def test_who_comes_later_is_told_of_all_that_is_open(world, query):
    for _ in range(2):
        account, run = world.account(), world.run(query)
        world.search(account, query, run)
        if not world.rows("SELECT FROM search_matches"):
            world.find(query, *map(item, range(3)))
        assert world.tell(run) == 3
        world.check(account)


def apply(world, account, vacancy_id):
    return world.one(
        "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
        " updated_at) VALUES (%s, %s, %s, 'queued', %s, %s) RETURNING id",
        account,
        uuid4(),
        vacancy_id,
        NOW,
        NOW,
    )


def test_what_is_closed_or_applied_to_is_no_news(world, anna, query):
    run = world.run(query)
    world.search(anna, query, run)
    world.find(query, *map(item, range(1, 5)))
    store.close("1", connection=world.connection, now=NOW)
    apply(world, anna, "2")
    apply(world, world.account(), "3")
    assert world.tell(run) == 2
    assert world.announced(anna) == ["3", "4"]
    assert set(world.kept(anna)) == {"3", "4"}


def test_what_the_whole_search_finds_no_longer_is_no_news_for_who_comes_later(world, anna, query):
    world.find(query, item(1), item(2))
    world.connection.execute(
        "UPDATE search_matches SET seen_at = seen_at - interval '40 days' WHERE vacancy_id = '1'"
    )
    world.connection.execute("UPDATE search_queries SET full_from = %s", (NOW,))
    run = world.run(query)
    world.search(anna, query, run)
    assert world.tell(run) == 1
    assert world.announced(anna) == ["2"]
    world.check(anna)


def test_a_job_in_many_cities_is_told_once_with_all_of_them(world, anna, query):
    run = world.run(query)
    world.search(anna, query, run)
    world.find(query, repost(1, "Казань"), item(5), repost(2, "Пермь"), repost(3, "Омск"))
    assert world.tell(run) == 2
    new, completed = world.log(anna)
    first, second = new["data"]["jobs"]
    assert (first["id"], second["id"]) == ("1", "5")
    assert first["also"] == [{"id": "2", "area": "Пермь"}, {"id": "3", "area": "Омск"}]
    assert "also" not in second
    assert completed["data"]["told"] == 2
    assert world.kept(anna) == {"1": 1, "5": 1, "2": None, "3": None}


def test_a_job_that_is_posted_anew_is_kept_and_not_told(world, anna, query):
    search = world.search(anna, query)
    for numbers, told in (([1], 1), ([2, 3], 0), ([4], 0)):
        world.find(query, *(repost(number, f"Город{number}") for number in numbers))
        run = world.run(query)
        world.attach(run, search)
        assert world.tell(run) == told
    assert world.kept(anna) == {"1": 1, "2": None, "3": None, "4": None}
    world.check(anna)


def test_a_repost_is_news_to_who_was_never_told_of_the_original(world, query):
    other = world.query()
    run = world.run(other)
    world.search(world.account(), other, run)
    world.find(other, repost(1, "Казань"))
    world.tell(run)
    anna, run = world.account(), world.run(query)
    world.search(anna, query, run)
    world.find(query, repost(2, "Пермь"))
    assert world.tell(run) == 1
    assert world.announced(anna) == ["2"]


def test_the_longest_titles_are_told_in_parts_that_fit(world, anna, query):
    run = world.run(query)
    world.search(anna, query, run, name="Ы" * 200)
    world.find(query, *(item(n, name=f"{n:03}" + "Я" * 252) for n in range(150)))
    assert world.tell(run) == 150
    *parts, completed = world.log(anna)
    assert completed["type"] == "fetch.completed"
    assert len(parts) > 2
    assert [part["data"]["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert {part["data"]["parts"] for part in parts} == {len(parts)}
    assert {part["data"]["total"] for part in parts} == {150}
    for part in parts:
        assert len(json.dumps(part["data"], ensure_ascii=False).encode()) <= MAX_DATA_BYTES
    assert world.announced(anna) == [str(n) for n in range(150)]
    world.check(anna)


class Counting:
    """A connection that counts what it executes."""

    def __init__(self, connection):
        self.connection = connection
        self.statements = []

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *arguments):
        self.statements.append(sql)
        return self.connection.execute(sql, *arguments)


def test_a_first_run_with_two_thousand_vacancies_is_read_and_written_at_once(world, anna, query):
    run = world.run(query)
    world.search(anna, query, run)
    world.find(query, *map(item, range(2_000)))
    counting = Counting(world.connection)
    assert notifications.notify_accounts(run, connection=counting, now=NOW) == 2_000
    assert counting.statements.count(notifications.SELECT_NEW_VACANCIES) == 1
    assert counting.statements.count(notifications.INSERT_NOTIFIED_VACANCIES) == 1
    assert len(counting.statements) < 60
    world.check(anna)


def test_a_search_that_a_newer_run_has_by_now_stays_with_it(world, anna, query):
    run, newer = world.run(query), world.run(query, "running")
    search = world.search(anna, query, run)
    world.find(query, item(1))

    class Claimed(Counting):
        def execute(self, sql, *arguments):
            if sql == notifications.UPDATE_SEARCH_DETACHED:
                with connect(world.url) as other:
                    other.execute("UPDATE saved_searches SET run_id = %s", (newer,))
            return super().execute(sql, *arguments)

    assert notifications.notify_accounts(run, connection=Claimed(world.connection), now=NOW) == 1
    [row] = world.rows("SELECT run_id, told_match FROM saved_searches WHERE id = %s", search)
    assert row == {"run_id": newer, "told_match": 1}


# ── at once, and with deaths ─────────────────────────────────────────────────────────────────────


def together(*works):
    """Do these at once; what failed."""
    failures = []

    def work(one):
        try:
            one()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    return failures


def test_of_tellers_at_once_each_account_hears_one(world, query):
    run = world.run(query)
    accounts = [world.account() for _ in range(12)]
    for account in accounts:
        world.search(account, query, run)
    world.find(query, *map(item, range(30)))
    begin = threading.Barrier(4)
    told = []

    def teller():
        with connect(world.url) as own:
            begin.wait(DEADLINE_S)
            told.append(notifications.notify_accounts(run, connection=own, now=NOW))

    assert together(*[teller] * 4) == []
    assert sum(told) == 12 * 30
    for account in accounts:
        assert len(world.announced(account)) == 30
        assert [event["type"] for event in world.log(account)] == ["jobs.new", "fetch.completed"]
        world.check(account)


def tell_until(url, run, number):
    """Tell, in a process that SIGKILLs itself in place of statement *number*, or after it where
    the transaction is open (its commit never comes)."""

    class Dying(Counting):
        def execute(self, sql, *arguments):
            if len(self.statements) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().execute(sql, *arguments)

    with connect(url) as own:
        notifications.notify_accounts(run, connection=Dying(own), now=NOW)
    os._exit(0)


def test_sigkill_at_any_statement_leaves_all_or_nothing_and_the_rest_is_told_later(world, query):
    run = world.run(query)
    accounts = [world.account() for _ in range(2)]
    for account in accounts:
        world.search(account, query, run)
    world.find(query, *(item(n, name="Я" * 255) for n in range(60)), repost(901, "Омск"))
    world.find(query, repost(902, "Пермь"))
    process, deaths = multiprocessing.get_context("fork"), 0
    for number in range(1, 40):
        teller = process.Process(target=tell_until, args=(world.url, run, number))
        teller.start()
        teller.join(DEADLINE_S)
        for account in accounts:
            assert len(world.log(account)) in (0, 3)
            world.check(account)
        if teller.exitcode == 0:
            break
        assert teller.exitcode == -signal.SIGKILL
        deaths += 1
    assert deaths >= 10
    assert teller.exitcode == 0
    world.tell(run)
    for account in accounts:
        types = [event["type"] for event in world.log(account)]
        assert types == ["jobs.new", "jobs.new", "fetch.completed"]
        assert len(world.announced(account)) == 61
        assert world.kept(account)["902"] is None


def test_neither_applying_nor_claims_nor_changes_of_a_search_deadlock_with_news(world, anna, query):
    search = world.search(anna, query)
    applications = [apply(world, anna, str(9_000 + n)) for n in range(3)]
    over = threading.Event()
    moved = []

    def applier():
        """As the applier does: rows of the ledger first, then the account."""
        with connect(world.url) as own:
            while not over.is_set():
                for id in applications:
                    about = {"connection": own, "now": NOW}
                    ledger.transition(id, "preparing", source=["queued", "preparing"], **about)
                    row = ledger.read(id, connection=own)
                    with own.transaction():
                        attempts.begin_attempt(row, "r", "only", **about)
                        own.execute("SELECT pg_sleep(0.002)")
                        raise psycopg.Rollback
                    moved.append(id)

    def claimer():
        """As the claim of a run does: the query first, then its searches that nobody has locked."""
        with connect(world.url) as own:
            while not over.is_set():
                with own.transaction():
                    own.execute("SELECT FROM search_queries WHERE id = %s FOR UPDATE", (query,))
                    own.execute(
                        "UPDATE saved_searches SET next_run_at = %s WHERE id IN (SELECT id FROM"
                        " saved_searches WHERE query_id = %s FOR UPDATE SKIP LOCKED)",
                        (NOW, query),
                    )

    def changer():
        """As a change of a saved search does: the account, the search, the query."""
        with connect(world.url) as own:
            while not over.is_set():
                with own.transaction():
                    own.execute("SELECT FROM accounts WHERE id = %s FOR UPDATE", (anna,))
                    own.execute("SELECT FROM saved_searches WHERE id = %s FOR UPDATE", (search,))
                    own.execute("UPDATE search_queries SET due_at = %s WHERE id = %s", (NOW, query))

    def teller():
        with contextlib.closing(connect(world.url)) as own, contextlib.ExitStack() as stack:
            stack.callback(over.set)
            for number in range(40):
                world.find(query, item(number))
                run = world.run(query)
                world.attach(run, search)
                assert notifications.notify_accounts(run, connection=own, now=NOW) == 1

    assert together(applier, claimer, changer, teller) == []
    assert moved
    assert world.announced(anna) == [str(number) for number in range(40)]
    world.check(anna)
