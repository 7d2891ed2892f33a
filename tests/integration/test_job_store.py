"""The table jobs on a real Postgres: what was seen is stored once, and kept whole."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from ullgetthejob.hh import wire
from ullgetthejob.vacancies import store

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
REAL = Path(__file__).parents[3] / "shared" / "data" / "hh-real"


@pytest.fixture
def connection(database_url):
    with psycopg.connect(
        database_url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    ) as connection:
        yield connection


def item(number, **changes):
    return {
        "id": str(number),
        "name": f"Вакансия {number}",
        "area": {"id": "1", "name": "Москва"},
        "employer": {"id": "7", "name": "Работодатель"},
        "type": {"id": "open", "name": "Открытая"},
        "published_at": "2026-11-24T10:15:30+0300",
        "snippet": {"requirement": "Опыт", "responsibility": None},
        "salary": {"from": 100, "to": None, "currency": "RUR", "gross": False},
        **changes,
    }


def seen(*items):
    return [wire.vacancy(one) for one in items]


def put(connection, *items, now=NOW):
    stored = store.store_seen(seen(*items), search_query="q", connection=connection, now=now)
    return list(stored.new), list(stored.changed)


def row(connection, id="1"):
    return connection.execute("SELECT * FROM jobs WHERE external_id = %s", (id,)).fetchone()


def real(name):
    path = REAL / name
    if not path.exists():
        pytest.skip("the collection of real hh.ru answers is not beside this checkout")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_a_search_saw_is_stored_in_the_original_s_columns(connection):
    assert put(connection, item(1)) == (["1"], [])
    kept = row(connection)
    assert kept["hh_vacancy_id"] == "1"
    assert kept["title"] == "Вакансия 1"
    assert kept["company"] == "Работодатель"
    assert kept["salary"] == "from 100 RUR"
    assert kept["area"] == "Москва"
    assert kept["description"] == "Опыт"
    assert kept["source"] == "hh.ru"
    assert kept["search_query"] == "q"
    assert kept["skills"] == []
    assert (kept["has_test"], kept["test_required"]) == (False, False)
    assert kept["fetched_at"] == datetime(2026, 11, 24, 9, 30)  # UTC, without a zone
    assert kept["published_at"] == datetime(2026, 11, 24, 7, 15, 30, tzinfo=UTC)


def test_the_server_s_time_zone_changes_nothing(connection):
    connection.execute("SET TIME ZONE 'Asia/Vladivostok'")
    put(connection, item(1))
    store.store_detail(wire.vacancy_detail(item(2)), connection=connection, now=NOW)
    assert row(connection)["fetched_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["detail_fetched_at"] == NOW


def test_counts_tell_new_changed_and_unchanged_apart(connection):
    assert put(connection, item(3), item(1), item(2)) == (["3", "1", "2"], [])
    later = NOW + timedelta(hours=1)
    assert put(connection, item(1), item(2, name="Другая"), item(4), now=later) == (["4"], ["2"])
    assert row(connection, "1")["updated_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["updated_at"] == datetime(2026, 11, 24, 10, 30)
    assert row(connection, "2")["inserted_at"] == datetime(2026, 11, 24, 9, 30)


def test_one_vacancy_twice_on_a_page_is_one_row(connection):
    assert put(connection, item(1), item(1, name="Позже")) == (["1"], [])
    assert row(connection)["title"] == "Позже"


def test_an_empty_page_stores_nothing(connection):
    assert put(connection) == ([], [])


def test_a_detail_is_kept_and_a_later_search_does_not_shorten_it(connection):
    detail = wire.vacancy_detail(
        item(1, description="<p>Длинное описание</p>", key_skills=[{"name": "Python"}])
    )
    put(connection, item(1))
    store.store_detail(detail, connection=connection, now=NOW)
    put(connection, item(1, name="Новое название"))
    kept = row(connection)
    assert kept["description"] == "Длинное описание"
    assert kept["skills"] == ["Python"]
    assert kept["title"] == "Новое название"
    assert store.read_detail("1", connection=connection) == detail


def test_a_detail_may_come_before_any_search(connection):
    detail = wire.vacancy_detail(item(1, test={"required": True}, has_test=True))
    store.store_detail(detail, connection=connection, now=NOW)
    store.store_detail(detail, connection=connection, now=NOW + timedelta(hours=2))
    kept = row(connection)
    assert kept["test_required"] is True
    assert kept["updated_at"] == datetime(2026, 11, 24, 9, 30)
    assert put(connection, item(1)) == ([], ["1"])
    assert store.vacancy_id_of(str(kept["id"]), connection=connection) == "1"


def test_texts_longer_than_the_original_s_columns_lose_nothing(connection):
    long = item(1, name="Д" * 400, employer={"id": "7", "name": "Е" * 300})
    put(connection, long)
    assert len(row(connection)["title"]) == 255
    [kept] = store.read_seen(["1"], connection=connection)
    assert kept.name == "Д" * 400


def test_each_real_item_and_detail_is_stored_and_read_back(connection):
    items = [wire.vacancy(one) for one in real("search_items.jsonl")]
    for start in range(0, len(items), 100):
        store.store_seen(
            items[start : start + 100], search_query="", connection=connection, now=NOW
        )
    kept = {one.id: one for one in store.read_seen([v.id for v in items], connection=connection)}
    assert kept == {one.id: one for one in items}
    details = [wire.vacancy_detail(one) for one in real("vacancy_details.jsonl")]
    for detail in details:
        store.store_detail(detail, connection=connection, now=NOW)
    for detail in details:
        assert store.read_detail(detail.id, connection=connection) == detail


def test_searches_and_reads_that_overlap_neither_deadlock_nor_fail(database_url):
    failures = []

    def store_many(order):
        try:
            with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as own:
                for turn in range(20):
                    old = [item(n, name=f"{turn} {order}") for n in range(50)[::order]]
                    new = [item(1000 + 50 * turn + n) for n in range(50)[::order]]
                    put(own, *old, *new)
                    store.store_detail(wire.vacancy_detail(new[0]), connection=own, now=NOW)
                    store.store_detail(
                        wire.vacancy_detail(item(9000 + turn)), connection=own, now=NOW
                    )
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=store_many, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
