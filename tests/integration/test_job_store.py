"""The table jobs on a real Postgres: what was seen is stored once, and kept whole."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures import hh_answers
from ullgetthejob.hh import responses
from ullgetthejob.vacancies import reposts, store

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


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
    return [responses.vacancy(one) for one in items]


def put(connection, *items, now=NOW):
    stored = store.store_vacancies(seen(*items), search_query="q", connection=connection, now=now)
    return list(stored.new), list(stored.changed)


def row(connection, id="1"):
    return connection.execute("SELECT * FROM jobs WHERE external_id = %s", (id,)).fetchone()


def test_what_a_search_saw_is_stored_in_the_original_s_columns(connection):
    assert put(connection, item(1)) == (["1"], [])
    kept = row(connection)
    assert kept["hh_vacancy_id"] == "1"
    assert kept["title"] == "Вакансия 1"
    assert kept["company"] == "Работодатель"
    assert kept["salary"] == "from 100 RUR net"
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
    store.store_detail(responses.vacancy_detail(item(2)), connection=connection, now=NOW)
    assert row(connection)["fetched_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["detail_fetched_at"] == NOW


def test_counts_tell_new_changed_and_unchanged_apart(connection):
    assert put(connection, item(3), item(1), item(2)) == (["3", "1", "2"], [])
    later = NOW + timedelta(hours=1)
    assert put(connection, item(1), item(2, name="Другая"), item(4), now=later) == (["4"], ["2"])
    assert row(connection, "1")["updated_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["updated_at"] == datetime(2026, 11, 24, 10, 30)
    assert row(connection, "2")["inserted_at"] == datetime(2026, 11, 24, 9, 30)


def test_what_an_earlier_release_stored_is_hashed_anew_and_has_not_changed(connection):
    """Its hash had the snippet in it."""
    cut = {"requirement": "...желание учиться", "responsibility": None}
    put(connection, item(1), item(2), item(3), item(4), item(5))
    new = {id: row(connection, id)["vacancy_hash"] for id in "12345"}
    connection.execute(
        "UPDATE jobs SET salary = 'as it was said',"
        " vacancy_hash = sha256(convert_to(vacancy::text, 'UTF8'))"
    )
    store.close("5", connection=connection, now=NOW)
    page = [item(1), item(2, snippet=cut), item(3, name="Другая"), item(5)]
    assert put(connection, *page) == ([], ["3", "5"])
    for id in "125":
        assert row(connection, id)["vacancy_hash"] == new[id]
        assert row(connection, id)["salary"] != "as it was said"
    assert put(connection, *page) == ([], [])


def test_one_vacancy_twice_on_a_page_is_one_row(connection):
    assert put(connection, item(1), item(1, name="Позже")) == (["1"], [])
    assert row(connection)["title"] == "Позже"


def test_an_empty_page_stores_nothing(connection):
    assert put(connection) == ([], [])


def test_a_detail_is_kept_and_a_later_search_does_not_shorten_it(connection):
    detail = responses.vacancy_detail(
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
    detail = responses.vacancy_detail(item(1, test={"required": True}, has_test=True))
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


class Counting:
    """A connection whose statements are counted."""

    def __init__(self, connection):
        self.connection = connection
        self.statements = 0

    def execute(self, *arguments):
        self.statements += 1
        return self.connection.execute(*arguments)

    def transaction(self):
        return self.connection.transaction()


def test_what_did_not_change_costs_one_query_and_is_not_written(connection):
    many = [item(number) for number in range(100)]
    put(connection, *many)
    before = connection.execute("SELECT external_id, xmin, ctid FROM jobs ORDER BY 1").fetchall()
    counting = Counting(connection)
    assert put(counting, *many, now=NOW + timedelta(hours=1)) == ([], [])
    assert counting.statements == 1
    after = connection.execute("SELECT external_id, xmin, ctid FROM jobs ORDER BY 1").fetchall()
    assert after == before


def test_what_somebody_else_inserts_between_the_probe_and_the_statement_is_not_new(
    connection, database_url
):
    class Overtaken(Counting):
        def execute(self, *arguments):
            found = super().execute(*arguments)
            if self.statements == 1:
                with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as other:
                    assert put(other, item(1), item(2)) == (["1", "2"], [])
            return found

    assert put(Overtaken(connection), item(1), item(3)) == (["3"], [])


def test_what_is_seen_again_is_open_again(connection):
    put(connection, item(1))
    store.close("1", connection=connection, now=NOW)
    assert (row(connection)["archived"], row(connection)["closed_at"]) == (True, NOW)
    store.close("1", connection=connection, now=NOW + timedelta(hours=1))
    assert row(connection)["closed_at"] == NOW
    assert put(connection, item(1)) == ([], ["1"])
    assert (row(connection)["archived"], row(connection)["closed_at"]) == (False, None)
    assert put(connection, item(1)) == ([], [])


def test_an_archived_vacancy_is_closed_whoever_says_so(connection):
    put(connection, item(1, archived=True), item(2))
    assert row(connection)["closed_at"] == NOW
    store.store_detail(
        responses.vacancy_detail(item(2, archived=True)), connection=connection, now=NOW
    )
    assert row(connection, "2")["closed_at"] == NOW
    store.store_detail(
        responses.vacancy_detail(item(3, archived=True)), connection=connection, now=NOW
    )
    assert row(connection, "3")["closed_at"] == NOW
    store.store_detail(responses.vacancy_detail(item(3)), connection=connection, now=NOW)
    assert row(connection, "3")["closed_at"] is None


TEXT = {
    "requirement": "Опыт в рознице от года, грамотная речь, желание учиться и расти вместе с нами.",
    "responsibility": "Помогать гостям с выбором, вести учёт остатков, готовить зал к открытию.",
}
KAZAN = {"id": "88", "name": "Казань"}
PERM = {"id": "72", "name": "Пермь"}


def post(number, city=KAZAN, day=24, **changes):
    name = f"Продавец-консультант (г. {city['name']})"
    published_at = f"2026-11-{day:02}T10:15:30+0300"
    return item(
        number,
        **{"name": name, "area": city, "published_at": published_at, "snippet": TEXT, **changes},
    )


def links(connection):
    rows = connection.execute("SELECT external_id, repost_of FROM jobs ORDER BY external_id")
    return {row["external_id"]: row["repost_of"] for row in rows}


def test_another_snippet_of_a_vacancy_is_no_change(connection):
    put(connection, post(1))
    cut = {"requirement": "...желание учиться и расти вместе с нами.", "responsibility": None}
    assert put(connection, post(1, snippet=cut)) == ([], [])
    assert put(connection, post(1, snippet=cut, has_test=True)) == ([], ["1"])


def test_a_job_in_two_cities_is_one_whatever_two_searches_cut_out(connection):
    put(connection, post(1))
    cut = {
        "requirement": "...грамотная речь, желание учиться и расти вместе с нами.",
        "responsibility": "...вести учёт остатков, готовить зал к открытию.",
    }
    put(connection, post(2, PERM, snippet=cut))
    assert links(connection) == {"1": None, "2": "1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"experience": {"id": "between3And6", "name": "3–6 лет"}},
        {"employment_form": {"id": "PART", "name": "Частичная"}},
        {"work_format": [{"id": "REMOTE", "name": "Удалённо"}]},
        {"salary": {"from": 125, "to": None, "currency": "RUR", "gross": False}},
    ],
)
def test_an_opening_of_another_grade_is_another_job_until_one_is_closed(connection, changes):
    junior = {
        "experience": {"id": "noExperience", "name": "Нет опыта"},
        "employment_form": {"id": "FULL", "name": "Полная"},
        "work_format": [{"id": "ON_SITE", "name": "На месте"}],
    }
    put(connection, post(1, **junior))
    put(connection, post(2, **{**junior, **changes}))
    assert links(connection) == {"1": None, "2": None}
    store.close("1", connection=connection, now=NOW)
    store.close("2", connection=connection, now=NOW)
    put(connection, post(3, **{**junior, **changes}))
    assert links(connection)["3"] in ("1", "2")


def test_of_reposts_on_one_page_the_oldest_is_the_original(connection):
    page = seen(post(3, day=24), post(1, PERM, day=22), post(2, day=23))
    stored = store.store_vacancies(page, search_query="", connection=connection, now=NOW)
    assert stored.new == ("3", "1", "2")
    assert stored.reposts == {"2": "1", "3": "1"}
    assert stored.originals == ("1",)
    assert links(connection) == {"1": None, "2": "1", "3": "1"}


def test_what_was_stored_first_stays_the_original_and_no_chain_is_made(connection):
    put(connection, post(5, day=20))
    put(connection, post(6, PERM, day=22))
    put(connection, post(4, PERM, day=18), post(7, day=24))
    assert links(connection) == {"4": "5", "5": None, "6": "5", "7": "5"}


def test_a_job_that_is_posted_anew_again_and_again_stays_one_job(connection):
    for number, month in enumerate((1, 2, 4, 5, 6, 7), start=1):
        published_at = f"2026-{month:02}-10T10:00:00+0300"
        put(connection, post(number, published_at=published_at))
    assert links(connection) == {"1": None, **dict.fromkeys("23456", "1")}


@pytest.mark.parametrize(
    "changes",
    [
        {"employer": {"id": "8", "name": "Другой"}},
        {"employer": {"name": "Аноним"}},
        {"name": "Кассир"},
        {"snippet": {"requirement": "Права категории B", "responsibility": "Возить"}},
        {"snippet": {"requirement": None, "responsibility": None}},
        {"published_at": "2026-09-20T10:15:30+0300"},
    ],
)
def test_what_is_another_job_is_not_linked(connection, changes):
    put(connection, post(1))
    put(connection, post(2, **changes))
    assert links(connection) == {"1": None, "2": None}


def test_anonymous_jobs_are_never_linked(connection):
    put(connection, *(post(number, employer={"name": "Аноним"}) for number in (1, 2)))
    assert links(connection) == {"1": None, "2": None}


def test_a_change_links_nothing_and_unlinks_nothing(connection):
    put(connection, post(1), post(2), post(3, name="Кассир"))
    put(connection, post(2, name="Кассир"), post(3))
    assert links(connection) == {"1": None, "2": "1", "3": None}


def test_of_one_key_s_thousands_only_some_are_looked_at(connection, monkeypatch):
    monkeypatch.setattr(reposts, "MAX_CANDIDATES", 2)
    other = {"snippet": {"requirement": "Совсем другое", "responsibility": "дело"}}
    put(connection, post(1, day=10))
    put(connection, *(post(number, day=number, **other) for number in (11, 12)))
    put(connection, post(20, day=20))
    assert links(connection)["20"] is None


def test_a_detail_that_comes_before_any_search_is_linked_too(connection):
    first, second = (
        responses.vacancy_detail(post(number, snippet=None, description="<p>Помогать гостям</p>"))
        for number in (1, 2)
    )
    store.store_detail(first, connection=connection, now=NOW)
    store.store_detail(second, connection=connection, now=NOW)
    assert links(connection) == {"1": None, "2": "1"}


def test_each_real_item_and_detail_is_stored_and_read_back(connection):
    items = [responses.vacancy(one) for one in hh_answers.search_items()]
    for start in range(0, len(items), 100):
        store.store_vacancies(
            items[start : start + 100], search_query="", connection=connection, now=NOW
        )
    kept = {one.id: one for one in store.read_seen([v.id for v in items], connection=connection)}
    assert kept == {one.id: one for one in items}
    details = [responses.vacancy_detail(one) for one in hh_answers.vacancy_details()]
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
                    store.store_detail(responses.vacancy_detail(new[0]), connection=own, now=NOW)
                    store.store_detail(
                        responses.vacancy_detail(item(9000 + turn)), connection=own, now=NOW
                    )
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=store_many, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
