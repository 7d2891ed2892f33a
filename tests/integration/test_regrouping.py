"""Repost links are evaluated again by full texts; jobs that appear so are announced, none twice."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.database import waiting_sessions
from tests.fixtures.waiting import until
from tests.harness.notifications import NOW, anna, connect, harness, query, repost
from ullgetthejob.hh import responses
from ullgetthejob.vacancies import regrouping, store
from ullgetthejob.vacancies.reposts import LinkChanges

__all__ = ["anna", "harness", "query"]

SALES = (
    "Опыт в рознице от года, грамотная речь, желание учиться и помогать гостям с выбором."
    " Работаем в торговом зале с девяти до шести, платим дважды в месяц, учим две недели."
)
STORE_ROOM = (
    "Опыт в рознице от года, грамотная речь, желание учиться и помогать гостям с выбором."
    " Склад за городом: ночные смены, погрузчик, холодильные камеры, медицинская книжка,"
    " развозка от вокзала, питание, общежитие для иногородних, расчёт в последний день вахты,"
    " испытательный срок три недели, спецодежда за счёт работодателя, премии по итогам месяца."
)


def other_excerpt(number, city):
    """Return a posting of the same job with another excerpt."""
    cut = {"requirement": "Учим две недели, платим дважды в месяц.", "responsibility": None}
    return {**repost(number, city), "snippet": cut}


def read(harness, number, description, city="Казань", connection=None, **changes):
    """Store the vacancy in full."""
    shown = {**repost(number, city), "snippet": None, "description": f"<p>{description}</p>"}
    detail = responses.vacancy_detail({**shown, **changes})
    store.store_detail(detail, connection=connection or harness.connection, now=NOW)


def next_run(harness, query, *searches):
    """End another run with these saved searches; return the number of jobs it announced."""
    run = harness.run(query)
    harness.attach(run, *searches)
    return harness.notify(run)


def links(harness):
    rows = harness.rows("SELECT external_id AS id, repost_of FROM jobs ORDER BY external_id")
    return {row["id"]: row["repost_of"] for row in rows}


def public_feed(harness):
    return {row["vacancy_id"] for row in harness.rows("SELECT vacancy_id FROM public_feed")}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_linked_postings_with_other_texts_are_both_announced(harness, anna, query, order):
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), repost(2, "Казань"))
    assert next_run(harness, query, search) == 1
    assert links(harness) == {"1": None, "2": "1"}
    for number in order:
        read(harness, number, {1: SALES, 2: STORE_ROOM}[number])
    assert links(harness) == {"1": None, "2": None}
    assert public_feed(harness) == {"2"}
    assert [next_run(harness, query, search) for _ in range(2)] == [1, 0]
    assert harness.announced(anna) == ["1", "2"]
    harness.check(anna)
    # Neither the same texts again nor later reposts of both are announced.
    read(harness, 1, SALES)
    read(harness, 2, STORE_ROOM)
    read(harness, 3, STORE_ROOM, city="Пермь")
    read(harness, 4, SALES, city="Пермь")
    assert links(harness) == {"1": None, "2": None, "3": "2", "4": "1"}
    harness.find(query, repost(3, "Пермь"), repost(4, "Пермь"))
    assert next_run(harness, query, search) == 0


def test_linked_postings_with_equal_full_texts_stay_linked(harness, anna, query):
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), repost(2, "Пермь"))
    assert next_run(harness, query, search) == 1
    read(harness, 1, SALES)
    read(harness, 2, SALES, city="Пермь")
    assert links(harness) == {"1": None, "2": "1"}
    assert next_run(harness, query, search) == 0


def test_split_postings_of_one_job_are_announced_as_one(harness, anna, query):
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), repost(2, "Пермь"), repost(3, "Омск"))
    next_run(harness, query, search)
    read(harness, 2, STORE_ROOM, city="Пермь")
    read(harness, 3, STORE_ROOM, city="Омск")
    assert links(harness) == {"1": None, "2": "1", "3": "1"}, "the first may have the same text"
    read(harness, 1, SALES)
    assert links(harness) == {"1": None, "2": None, "3": "2"}
    assert next_run(harness, query, search) == 1
    [job] = harness.log(anna)[-2]["data"]["jobs"]
    assert (job["id"], job["also"]) == ("2", [{"id": "3", "area": "Омск"}])
    assert next_run(harness, query, search) == 0
    harness.check(anna)


def test_unlinked_postings_with_equal_texts_are_announced_once(harness, anna, query):
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    assert links(harness) == {"1": None, "2": None}
    read(harness, 1, SALES)
    read(harness, 2, SALES, city="Пермь")
    assert links(harness) == {"1": None, "2": "1"}
    assert next_run(harness, query, search) == 1
    [job] = harness.log(anna)[-2]["data"]["jobs"]
    assert (job["id"], job["also"]) == ("1", [{"id": "2", "area": "Пермь"}])


def test_joined_postings_announced_before_are_not_repeated(harness, anna, query):
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    assert next_run(harness, query, search) == 2
    read(harness, 1, SALES)
    read(harness, 2, SALES, city="Пермь")
    assert next_run(harness, query, search) == 0
    harness.find(query, other_excerpt(3, "Омск"), repost(4, "Томск"))
    assert next_run(harness, query, search) == 0
    harness.check(anna)


def test_account_notified_of_the_repost_gets_the_split_original(harness, anna, query):
    """The account's search finds the repost; its later search finds the original."""
    other = harness.query()
    harness.find(other, repost(1, "Казань"))
    search = harness.search(anna, query)
    harness.find(query, repost(2, "Пермь"))
    assert next_run(harness, query, search) == 1
    later_search = harness.search(anna, other)
    assert next_run(harness, other, later_search) == 0
    read(harness, 1, SALES)
    read(harness, 2, STORE_ROOM, city="Пермь")
    assert next_run(harness, query, search) == 0
    assert next_run(harness, other, later_search) == 1
    assert [next_run(harness, query, search), next_run(harness, other, later_search)] == [0, 0]
    assert harness.announced(anna) == ["2", "1"]
    harness.check(anna)


def test_split_posting_of_two_searches_is_announced_once(harness, anna, query):
    other = harness.query()
    searches = {query: harness.search(anna, query), other: harness.search(anna, other)}
    for query_id in searches:
        harness.find(query_id, repost(1, "Казань"), repost(2, "Пермь"))
    announced = [next_run(harness, query_id, search) for query_id, search in searches.items()]
    read(harness, 1, SALES)
    read(harness, 2, STORE_ROOM, city="Пермь")
    announced += [next_run(harness, query_id, search) for query_id, search in searches.items()]
    assert announced == [1, 0, 1, 0]
    harness.check(anna)


def test_split_posting_closed_or_applied_to_is_not_announced(harness, anna, query):
    search = harness.search(anna, query)
    harness.find(query, *(repost(number, f"Город{number}") for number in (1, 2, 3)))
    next_run(harness, query, search)
    read(harness, 1, SALES)
    for number in (2, 3):
        read(harness, number, f"{STORE_ROOM} {number * (STORE_ROOM[::-1] + ' ')}")
    assert links(harness) == {"1": None, "2": None, "3": None}
    store.close("2", connection=harness.connection, now=NOW)
    harness.apply(anna, "3")
    assert next_run(harness, query, search) == 0


def test_original_with_an_edited_title_is_not_linked_to_another(harness, anna, query):
    """No link may lead to a repost: the job of the repost would be announced again."""
    search = harness.search(anna, query)
    harness.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"), other_excerpt(3, "Омск"))
    assert links(harness) == {"1": None, "2": None, "3": "2"}
    assert next_run(harness, query, search) == 2
    harness.connection.execute("UPDATE jobs SET repost_key = 'edited' WHERE external_id = '3'")
    read(harness, 1, SALES)
    read(harness, 2, SALES, city="Пермь")
    assert links(harness) == {"1": None, "2": None, "3": "2"}
    assert next_run(harness, query, search) == 0


def wait_for_lock(url):
    """Wait until a connection waits for a lock. (A transaction would see the same all the time.)"""
    with contextlib.closing(connect(url)) as connection:
        until(lambda: waiting_sessions(connection))


def test_link_to_a_posting_that_becomes_a_repost_follows_it(harness, query):
    harness.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    read(harness, 1, SALES)
    find = [responses.vacancy(other_excerpt(3, "Омск"))]
    with (
        contextlib.closing(connect(harness.url)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with harness.connection.transaction():
            read(harness, 2, SALES, city="Пермь")
            stored = pool.submit(
                store.store_vacancies, find, search_query="", connection=other, now=NOW
            )
            wait_for_lock(harness.url)
        assert stored.result().reposts == {"3": "1"}
    assert links(harness) == {"1": None, "2": "1", "3": "1"}


def test_posting_joins_the_original_of_one_linked_meanwhile(harness, query):
    """Another text, read at the same time, has made its target a repost."""
    harness.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    read(harness, 1, SALES)
    evaluated = LinkChanges({"3": "2"})
    read(harness, 2, SALES, city="Пермь")
    read(harness, 3, STORE_ROOM, city="Омск")
    assert links(harness) == {"1": None, "2": "1", "3": None}
    with harness.connection.transaction():
        regrouping.regroup(evaluated, connection=harness.connection, now=NOW)
    assert links(harness) == {"1": None, "2": "1", "3": "1"}


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_joined_posting_of_a_former_search_is_not_repeated(harness, anna, query, change):
    """The account was notified by a search that has got other filters since, or is deleted."""
    former, other = harness.search(anna, query), harness.query()
    harness.find(query, repost(1, "Казань"))
    harness.find(other, other_excerpt(2, "Пермь"), other_excerpt(3, "Омск"))
    assert next_run(harness, query, former) == 1
    if change == "deleted":
        harness.connection.execute("DELETE FROM saved_searches WHERE id = %s", (former,))
    else:
        sql = "UPDATE saved_searches SET query_id = %s WHERE id = %s"
        harness.connection.execute(sql, (harness.query(), former))
    for number, city in ((1, "Казань"), (2, "Пермь"), (3, "Омск")):
        read(harness, number, SALES, city=city)
    search = harness.search(anna, other)
    assert len(set(links(harness).values()) - {None}) == 1
    assert next_run(harness, other, search) == 0
    harness.check(anna)


def work(url, act, turns):
    """Call *act* for each of *turns* with a connection of its own."""
    with contextlib.closing(connect(url)) as connection:
        for turn in range(turns):
            act(connection, turn)


def test_concurrent_regrouping_neither_deadlocks_nor_repeats(harness):
    """Texts that change back and forth split and join the same postings repeatedly."""
    queries = [harness.query() for _ in range(2)]
    for query_id in queries:
        harness.find(query_id, *(repost(number, f"Город{number}") for number in range(1, 7)))
    accounts = [harness.account() for _ in range(3)]
    searches = {
        query: [harness.search(account, query) for account in accounts] for query in queries
    }
    seen = set()

    def change(connection, turn):
        for number in (turn % 6 + 1, (turn * 5 + 2) % 6 + 1):
            text = SALES if (turn + number) % 3 else STORE_ROOM
            read(harness, number, text, city=f"Город{number}", connection=connection)

    def search(connection, turn):
        shown = [
            responses.vacancy({**repost(number, f"Город{number}"), "has_test": bool(turn % 2)})
            for number in (6, 1, 5, 2, 4, 3)
        ]
        store.store_vacancies(shown, search_query="", connection=connection, now=NOW)

    def notify():
        seen.add(tuple(links(harness).items()))
        for query_id, wanted in searches.items():
            next_run(harness, query_id, *wanted)

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work, harness.url, act, 40) for act in (change, change, search)]
        while not all(future.done() for future in futures):
            notify()
    notify()
    assert [future.result() for future in futures] == [None] * 3
    assert len(seen) > 1, "links have changed"
    for account in accounts:
        harness.check(account)
