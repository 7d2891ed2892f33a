"""Links of reposts are judged anew by full texts: what was found is told, and nothing twice."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.test_news import NOW, World, apply, connect, repost
from ullgetthejob.hh import responses
from ullgetthejob.vacancies import store

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


def other_excerpt(number, city):
    """A posting of the same job of which another search cut out something else."""
    cut = {"requirement": "Учим две недели, платим дважды в месяц.", "responsibility": None}
    return {**repost(number, city), "snippet": cut}


def read(world, number, description, city="Казань", connection=None, **changes):
    """The vacancy is read in full."""
    shown = {**repost(number, city), "snippet": None, "description": f"<p>{description}</p>"}
    detail = responses.vacancy_detail({**shown, **changes})
    store.store_detail(detail, connection=connection or world.connection, now=NOW)


def next_run(world, query, *searches):
    """Another run ends; how many jobs it told."""
    run = world.run(query)
    world.attach(run, *searches)
    return world.tell(run)


def links(world):
    rows = world.rows("SELECT external_id AS id, repost_of FROM jobs ORDER BY external_id")
    return {row["id"]: row["repost_of"] for row in rows}


def shown_to_all(world):
    return {row["vacancy_id"] for row in world.rows("SELECT vacancy_id FROM public_feed")}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_taken_for_one_that_differ_in_full_are_told_both_the_second_once(
    world, anna, query, order
):
    search = world.search(anna, query)
    world.find(query, repost(1, "Казань"), repost(2, "Казань"))
    assert next_run(world, query, search) == 1
    assert links(world) == {"1": None, "2": "1"}
    for number in order:
        read(world, number, {1: SALES, 2: STORE_ROOM}[number])
    assert links(world) == {"1": None, "2": None}
    assert shown_to_all(world) == {"2"}
    assert [next_run(world, query, search) for _ in range(2)] == [1, 0]
    assert world.announced(anna) == ["1", "2"]
    world.check(anna)
    # Read again as they are, and later reposts of both: nothing is told twice.
    read(world, 1, SALES)
    read(world, 2, STORE_ROOM)
    read(world, 3, STORE_ROOM, city="Пермь")
    read(world, 4, SALES, city="Пермь")
    assert links(world) == {"1": None, "2": None, "3": "2", "4": "1"}
    world.find(query, repost(3, "Пермь"), repost(4, "Пермь"))
    assert next_run(world, query, search) == 0


def test_two_taken_for_one_that_are_one_in_full_stay_one(world, anna, query):
    search = world.search(anna, query)
    world.find(query, repost(1, "Казань"), repost(2, "Пермь"))
    assert next_run(world, query, search) == 1
    read(world, 1, SALES)
    read(world, 2, SALES, city="Пермь")
    assert links(world) == {"1": None, "2": "1"}
    assert next_run(world, query, search) == 0


def test_those_that_differ_from_the_first_are_told_as_the_one_job_that_they_are(world, anna, query):
    search = world.search(anna, query)
    world.find(query, repost(1, "Казань"), repost(2, "Пермь"), repost(3, "Омск"))
    next_run(world, query, search)
    read(world, 2, STORE_ROOM, city="Пермь")
    read(world, 3, STORE_ROOM, city="Омск")
    assert links(world) == {"1": None, "2": "1", "3": "1"}, "the first may be like them"
    read(world, 1, SALES)
    assert links(world) == {"1": None, "2": None, "3": "2"}
    assert next_run(world, query, search) == 1
    [job] = world.log(anna)[-2]["data"]["jobs"]
    assert (job["id"], job["also"]) == ("2", [{"id": "3", "area": "Омск"}])
    assert next_run(world, query, search) == 0
    world.check(anna)


def test_two_taken_for_two_that_are_one_in_full_are_told_once(world, anna, query):
    search = world.search(anna, query)
    world.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    assert links(world) == {"1": None, "2": None}
    read(world, 1, SALES)
    read(world, 2, SALES, city="Пермь")
    assert links(world) == {"1": None, "2": "1"}
    assert next_run(world, query, search) == 1
    [job] = world.log(anna)[-2]["data"]["jobs"]
    assert (job["id"], job["also"]) == ("1", [{"id": "2", "area": "Пермь"}])


def test_two_that_were_told_both_and_are_one_are_not_told_again_nor_is_a_third(world, anna, query):
    search = world.search(anna, query)
    world.find(query, repost(1, "Казань"), other_excerpt(2, "Пермь"))
    assert next_run(world, query, search) == 2
    read(world, 1, SALES)
    read(world, 2, SALES, city="Пермь")
    assert next_run(world, query, search) == 0
    world.find(query, other_excerpt(3, "Омск"), repost(4, "Томск"))
    assert next_run(world, query, search) == 0
    world.check(anna)


def test_of_two_taken_for_one_whoever_was_told_only_of_the_second_is_told_of_the_first(
    world, anna, query
):
    """The second was found by another search, before the first was."""
    other = world.query()
    world.find(other, repost(1, "Казань"))
    search = world.search(anna, query)
    world.find(query, repost(2, "Пермь"))
    assert next_run(world, query, search) == 1
    one_more = world.search(anna, other)
    assert next_run(world, other, one_more) == 0
    read(world, 1, SALES)
    read(world, 2, STORE_ROOM, city="Пермь")
    assert next_run(world, query, search) == 0
    assert next_run(world, other, one_more) == 1
    assert [next_run(world, query, search), next_run(world, other, one_more)] == [0, 0]
    assert world.announced(anna) == ["2", "1"]
    world.check(anna)


def test_what_two_searches_of_an_account_find_is_told_once_after_parting(world, anna, query):
    other = world.query()
    searches = {query: world.search(anna, query), other: world.search(anna, other)}
    for each in searches:
        world.find(each, repost(1, "Казань"), repost(2, "Пермь"))
    told = [next_run(world, each, search) for each, search in searches.items()]
    read(world, 1, SALES)
    read(world, 2, STORE_ROOM, city="Пермь")
    told += [next_run(world, each, search) for each, search in searches.items()]
    assert told == [1, 0, 1, 0]
    world.check(anna)


def test_what_has_closed_by_then_or_was_applied_to_is_not_told(world, anna, query):
    search = world.search(anna, query)
    world.find(query, *(repost(number, f"Город{number}") for number in (1, 2, 3)))
    next_run(world, query, search)
    read(world, 1, SALES)
    for number in (2, 3):
        read(world, number, f"{STORE_ROOM} {number * (STORE_ROOM[::-1] + ' ')}")
    assert links(world) == {"1": None, "2": None, "3": None}
    store.close("2", connection=world.connection, now=NOW)
    apply(world, anna, "3")
    assert next_run(world, query, search) == 0


def work(url, act, turns):
    """*act* so many times over a connection of its own."""
    with contextlib.closing(connect(url)) as connection:
        for turn in range(turns):
            act(connection, turn)


def test_parting_joining_telling_and_storing_at_once_neither_deadlock_nor_tell_twice(world):
    """Texts that change back and forth part and join the same postings again and again."""
    queries = [world.query() for _ in range(2)]
    for query in queries:
        world.find(query, *(repost(number, f"Город{number}") for number in range(1, 7)))
    accounts = [world.account() for _ in range(3)]
    searches = {query: [world.search(one, query) for one in accounts] for query in queries}
    seen = set()

    def change(connection, turn):
        for number in (turn % 6 + 1, (turn * 5 + 2) % 6 + 1):
            text = SALES if (turn + number) % 3 else STORE_ROOM
            read(world, number, text, city=f"Город{number}", connection=connection)

    def look(connection, turn):
        shown = [
            responses.vacancy({**repost(number, f"Город{number}"), "has_test": bool(turn % 2)})
            for number in (6, 1, 5, 2, 4, 3)
        ]
        store.store_vacancies(shown, search_query="", connection=connection, now=NOW)

    def tell():
        seen.add(tuple(links(world).items()))
        for query, wanted in searches.items():
            next_run(world, query, *wanted)

    with ThreadPoolExecutor(3) as pool:
        works = [pool.submit(work, world.url, act, 40) for act in (change, change, look)]
        while not all(one.done() for one in works):
            tell()
    tell()
    assert [one.result() for one in works] == [None] * 3
    assert len(seen) > 1, "links have changed"
    for account in accounts:
        world.check(account)
