"""Notifications on Postgres: each account is notified once of what is new to it, in any crash."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from uuid import uuid4

import psycopg
import pytest

from tests.harness.notifications import NOW, anna, connect, harness, item, query, repost
from ullgetthejob.applications import attempts, ledger
from ullgetthejob.realtime.event_log import MAX_DATA_BYTES
from ullgetthejob.saved_searches import notifications
from ullgetthejob.vacancies import store

__all__ = ["anna", "harness", "query"]

DEADLINE_S = 60  # seconds: only a hang takes longer
ANNOUNCED_JOBS = [
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
]


def test_new_vacancies_are_announced_once_then_the_runs_end(harness, anna, query):
    run = harness.run(query)
    search = harness.search(anna, query, run)
    harness.find(query, item(1, has_test=True, salary={"from": 5, "currency": "RUR"}), item(2))
    assert harness.notify(run) == 2
    new, completed = harness.log(anna)
    head = {"search_id": str(search), "search_name": "Казань", "run_id": str(run)}
    assert new["type"] == "jobs.new"
    assert new["data"] == {
        **head,
        "jobs": ANNOUNCED_JOBS,
        "part": 1,
        "parts": 1,
        "total": 2,
    }
    assert completed["type"] == "fetch.completed"
    assert completed["data"] == {
        **head,
        "state": "completed",
        "reason": None,
        "found": 5,
        "fetched": 4,
        "new": 3,
        "changed": 2,
        "failed": 1,
        "told": 2,
        "filtered": 0,
        "finished_at": "2026-11-24T09:30:00+00:00",
    }
    assert harness.notified(anna) == {"1": 1, "2": 1}
    [row] = harness.rows("SELECT run_id, told_match FROM saved_searches")
    assert row == {"run_id": None, "told_match": 2}
    assert harness.notify(run) == 0
    assert len(harness.log(anna)) == 2


def test_account_gets_one_wake_up_for_all_its_events(
    harness, anna, query, dynamodb_tables, local_aws
):
    run = harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, *(item(n, name="Я" * 255) for n in range(100)))
    harness.notify(run)
    sqs = local_aws.client("sqs")
    url = dynamodb_tables["BROADCASTER_QUEUE_URL"]
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"]) == {"account_id": str(anna)}


def test_scheduled_run_without_new_vacancies_is_not_announced(harness, anna, query):
    run = harness.run(query)
    search = harness.search(anna, query, run)
    assert harness.notify(run) == 0
    assert harness.log(anna) == []
    attached = harness.rows("SELECT run_id FROM saved_searches WHERE id = %s", search)
    assert attached == [{"run_id": None}]


@pytest.mark.parametrize(
    ("trigger", "state", "reason"),
    [
        ("request", "completed", None),
        ("schedule", "partial", "captcha"),
        ("schedule", "failed", "hh_unavailable"),
    ],
)
def test_requested_or_partial_run_is_announced_without_news(
    harness, anna, query, trigger, state, reason
):
    run = harness.run(query, state, reason, trigger=trigger)
    harness.search(anna, query, run)
    assert harness.notify(run) == 0
    [event] = harness.log(anna)
    assert event["type"] == "fetch.completed"
    ending = {name: event["data"][name] for name in ("state", "reason", "told")}
    assert ending == {"state": state, "reason": reason, "told": 0}


def test_current_run_notifies_no_account(harness, anna, query):
    run = harness.run(query, "running")
    harness.search(anna, query, run)
    harness.find(query, item(1))
    assert harness.notify(run) == 0
    assert harness.log(anna) == []
    assert harness.notify(uuid4()) == 0


def test_only_accounts_attached_to_the_run_are_notified(harness, query):
    paused, attached, other = (harness.account() for _ in range(3))
    run = harness.run(query)
    harness.search(paused, query, run, paused=True)
    harness.search(attached, query, run)
    harness.search(other, query)
    harness.find(query, item(1))
    assert harness.notify(run) == 1
    assert [len(harness.log(account)) for account in (paused, attached, other)] == [0, 2, 0]


def test_next_run_announces_only_later_vacancies(harness, anna, query):
    search = harness.search(anna, query)
    for numbers in ([1, 2], [3], []):
        if numbers:
            harness.find(query, *map(item, numbers))
        run = harness.run(query)
        harness.attach(run, search)
        assert harness.notify(run) == len(numbers)
    assert harness.announced(anna) == ["1", "2", "3"]
    harness.check(anna)


def test_vacancy_of_two_searches_is_announced_once(harness, anna):
    for numbers in ([1, 2], [2, 3]):
        query = harness.query()
        run = harness.run(query)
        harness.search(anna, query, run)
        harness.find(query, *map(item, numbers))
        harness.notify(run)
    assert harness.announced(anna) == ["1", "2", "3"]
    harness.check(anna)


def test_later_account_is_notified_of_all_open_vacancies(harness, query):
    for _ in range(2):
        account, run = harness.account(), harness.run(query)
        harness.search(account, query, run)
        if not harness.rows("SELECT FROM search_matches"):
            harness.find(query, *map(item, range(3)))
        assert harness.notify(run) == 3
        harness.check(account)


def test_closed_or_applied_vacancies_are_not_announced(harness, anna, query):
    run = harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, *map(item, range(1, 5)))
    store.close("1", connection=harness.connection, now=NOW)
    harness.apply(anna, "2")
    harness.apply(harness.account(), "3")
    assert harness.notify(run) == 2
    assert harness.announced(anna) == ["3", "4"]
    assert set(harness.notified(anna)) == {"3", "4"}


def test_vacancy_missing_in_last_full_run_is_not_announced(harness, anna, query):
    harness.find(query, item(1), item(2))
    harness.connection.execute(
        "UPDATE search_matches SET seen_at = seen_at - interval '40 days' WHERE vacancy_id = '1'"
    )
    harness.connection.execute("UPDATE search_queries SET read_whole_from = %s", (NOW,))
    run = harness.run(query)
    harness.search(anna, query, run)
    assert harness.notify(run) == 1
    assert harness.announced(anna) == ["2"]
    harness.check(anna)


def test_job_in_many_cities_is_announced_once_with_all(harness, anna, query):
    run = harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, repost(1, "Казань"), item(5), repost(2, "Пермь"), repost(3, "Омск"))
    assert harness.notify(run) == 2
    new, completed = harness.log(anna)
    first, second = new["data"]["jobs"]
    assert (first["id"], second["id"]) == ("1", "5")
    assert first["also"] == [{"id": "2", "area": "Пермь"}, {"id": "3", "area": "Омск"}]
    assert "also" not in second
    assert completed["data"]["told"] == 2
    assert harness.notified(anna) == {"1": 1, "5": 1, "2": None, "3": None}


def test_repost_of_an_announced_job_is_stored_not_announced(harness, anna, query):
    search = harness.search(anna, query)
    for numbers, announced in (([1], 1), ([2, 3], 0), ([4], 0)):
        harness.find(query, *(repost(number, f"Город{number}") for number in numbers))
        run = harness.run(query)
        harness.attach(run, search)
        assert harness.notify(run) == announced
    assert harness.notified(anna) == {"1": 1, "2": None, "3": None, "4": None}
    harness.check(anna)


def test_repost_is_announced_where_the_original_was_not(harness, query):
    other = harness.query()
    run = harness.run(other)
    harness.search(harness.account(), other, run)
    harness.find(other, repost(1, "Казань"))
    harness.notify(run)
    anna, run = harness.account(), harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, repost(2, "Пермь"))
    assert harness.notify(run) == 1
    assert harness.announced(anna) == ["2"]


def test_longest_titles_are_announced_in_parts_that_fit(harness, anna, query):
    run = harness.run(query)
    harness.search(anna, query, run, name="Ы" * 200)
    harness.find(query, *(item(n, name=f"{n:03}" + "Я" * 252) for n in range(150)))
    assert harness.notify(run) == 150
    *parts, completed = harness.log(anna)
    assert completed["type"] == "fetch.completed"
    assert len(parts) > 2
    assert [part["data"]["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert {part["data"]["parts"] for part in parts} == {len(parts)}
    assert {part["data"]["total"] for part in parts} == {150}
    for part in parts:
        assert len(json.dumps(part["data"], ensure_ascii=False).encode()) <= MAX_DATA_BYTES
    assert harness.announced(anna) == [str(n) for n in range(150)]
    harness.check(anna)


class CountingConnection:
    """A connection that records its statements."""

    def __init__(self, connection):
        self.connection = connection
        self.statements = []

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *arguments):
        self.statements.append(sql)
        return self.connection.execute(sql, *arguments)


def test_run_of_two_thousand_takes_few_statements(harness, anna, query):
    run = harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, *map(item, range(2_000)))
    counting = CountingConnection(harness.connection)
    assert notifications.notify_accounts(run, connection=counting, now=NOW) == 2_000
    assert counting.statements.count(notifications.SELECT_NEW_VACANCIES) == 1
    assert counting.statements.count(notifications.INSERT_NOTIFIED_VACANCIES) == 1
    assert len(counting.statements) < 60
    harness.check(anna)


def test_search_attached_to_a_newer_run_stays_attached(harness, anna, query):
    run, newer = harness.run(query), harness.run(query, "running")
    search = harness.search(anna, query, run)
    harness.find(query, item(1))

    class Claimed(CountingConnection):
        def execute(self, sql, *arguments):
            if sql == notifications.UPDATE_SEARCH_DETACHED:
                with connect(harness.url) as other:
                    other.execute("UPDATE saved_searches SET run_id = %s", (newer,))
            return super().execute(sql, *arguments)

    assert notifications.notify_accounts(run, connection=Claimed(harness.connection), now=NOW) == 1
    [row] = harness.rows("SELECT run_id, told_match FROM saved_searches WHERE id = %s", search)
    assert row == {"run_id": newer, "told_match": 1}


# ── concurrency and crashes ──────────────────────────────────────────────────────────────────────


def run_concurrently(*works):
    """Run functions in threads at once; return their errors."""
    errors = []

    def call(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    return errors


def test_concurrent_workers_notify_each_account_once(harness, query):
    run = harness.run(query)
    accounts = [harness.account() for _ in range(12)]
    for account in accounts:
        harness.search(account, query, run)
    harness.find(query, *map(item, range(30)))
    begin = threading.Barrier(4)
    announced_counts = []

    def notifier():
        with connect(harness.url) as own:
            begin.wait(DEADLINE_S)
            announced_counts.append(notifications.notify_accounts(run, connection=own, now=NOW))

    assert run_concurrently(*[notifier] * 4) == []
    assert sum(announced_counts) == 12 * 30
    for account in accounts:
        assert len(harness.announced(account)) == 30
        assert [event["type"] for event in harness.log(account)] == ["jobs.new", "fetch.completed"]
        harness.check(account)


def notify_until_killed(url, run, number):
    """Notify accounts in a process that SIGKILLs itself in place of statement *number*; a
    transaction open then is never committed."""

    class SelfKilling(CountingConnection):
        def execute(self, sql, *arguments):
            if len(self.statements) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().execute(sql, *arguments)

    with connect(url) as own:
        notifications.notify_accounts(run, connection=SelfKilling(own), now=NOW)
    os._exit(0)


def test_sigkill_at_any_statement_leaves_all_or_nothing(harness, query):
    run = harness.run(query)
    accounts = [harness.account() for _ in range(2)]
    for account in accounts:
        harness.search(account, query, run)
    harness.find(query, *(item(n, name="Я" * 255) for n in range(60)), repost(901, "Омск"))
    harness.find(query, repost(902, "Пермь"))
    process, kills = multiprocessing.get_context("fork"), 0
    for number in range(1, 40):
        notifier = process.Process(target=notify_until_killed, args=(harness.url, run, number))
        notifier.start()
        notifier.join(DEADLINE_S)
        for account in accounts:
            assert len(harness.log(account)) in (0, 3)
            harness.check(account)
        if notifier.exitcode == 0:
            break
        assert notifier.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 10
    assert notifier.exitcode == 0
    harness.notify(run)
    for account in accounts:
        types = [event["type"] for event in harness.log(account)]
        assert types == ["jobs.new", "jobs.new", "fetch.completed"]
        assert len(harness.announced(account)) == 61
        assert harness.notified(account)["902"] is None


def lock_as_submitter(connection, application_id):
    """Lock as the submitter does: a row of the ledger first, then the account."""
    options = {"connection": connection, "now": NOW}
    ledger.transition(application_id, "preparing", source=["queued", "preparing"], **options)
    row = ledger.read(application_id, connection=connection)
    with connection.transaction():
        attempts.begin_attempt(row, "r", "only", **options)
        connection.execute("SELECT pg_sleep(0.002)")
        raise psycopg.Rollback


def lock_as_claim(connection, query):
    """Lock as the claim of a run does: the query first, then its searches that are unlocked."""
    with connection.transaction():
        connection.execute("SELECT FROM search_queries WHERE id = %s FOR UPDATE", (query,))
        connection.execute(
            "UPDATE saved_searches SET next_run_at = %s WHERE id IN (SELECT id FROM"
            " saved_searches WHERE query_id = %s FOR UPDATE SKIP LOCKED)",
            (NOW, query),
        )


def lock_as_change(connection, account, search, query):
    """Lock as a change of a saved search does: the account, the search, the query."""
    with connection.transaction():
        connection.execute("SELECT FROM accounts WHERE id = %s FOR UPDATE", (account,))
        connection.execute("SELECT FROM saved_searches WHERE id = %s FOR UPDATE", (search,))
        connection.execute("UPDATE search_queries SET due_at = %s WHERE id = %s", (NOW, query))


def test_concurrent_writers_do_not_deadlock_with_notifications(harness, anna, query):
    search = harness.search(anna, query)
    applications = [harness.apply(anna, str(9_000 + n)) for n in range(3)]
    is_done = threading.Event()
    attempted = []

    def repeat(act):
        with connect(harness.url) as own:
            while not is_done.is_set():
                act(own)

    def submit(own):
        for application_id in applications:
            lock_as_submitter(own, application_id)
            attempted.append(application_id)

    def notify():
        with contextlib.closing(connect(harness.url)) as own, contextlib.ExitStack() as stack:
            stack.callback(is_done.set)
            for number in range(40):
                harness.find(query, item(number))
                run = harness.run(query)
                harness.attach(run, search)
                assert notifications.notify_accounts(run, connection=own, now=NOW) == 1

    writers = (
        lambda: repeat(submit),
        lambda: repeat(lambda own: lock_as_claim(own, query)),
        lambda: repeat(lambda own: lock_as_change(own, anna, search, query)),
    )
    assert run_concurrently(*writers, notify) == []
    assert attempted
    assert harness.announced(anna) == [str(number) for number in range(40)]
    harness.check(anna)
