"""The table jobs on Postgres: each vacancy is stored once, and its model whole."""

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
    return [responses.vacancy(shown) for shown in items]


def put(connection, *items, now=NOW):
    stored = store.store_vacancies(seen(*items), search_query="q", connection=connection, now=now)
    return list(stored.new), list(stored.changed)


def row(connection, vacancy_id="1"):
    found = connection.execute("SELECT * FROM jobs WHERE external_id = %s", (vacancy_id,))
    return found.fetchone()


def test_vacancy_of_a_search_is_stored_in_the_original_columns(connection):
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


def test_stored_times_do_not_depend_on_the_server_time_zone(connection):
    connection.execute("SET TIME ZONE 'Asia/Vladivostok'")
    put(connection, item(1))
    store.store_detail(responses.vacancy_detail(item(2)), connection=connection, now=NOW)
    assert row(connection)["fetched_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["detail_fetched_at"] == NOW


def test_new_changed_and_unchanged_vacancies_are_distinguished(connection):
    assert put(connection, item(3), item(1), item(2)) == (["3", "1", "2"], [])
    later = NOW + timedelta(hours=1)
    assert put(connection, item(1), item(2, name="Другая"), item(4), now=later) == (["4"], ["2"])
    assert row(connection, "1")["updated_at"] == datetime(2026, 11, 24, 9, 30)
    assert row(connection, "2")["updated_at"] == datetime(2026, 11, 24, 10, 30)
    assert row(connection, "2")["inserted_at"] == datetime(2026, 11, 24, 9, 30)


def test_rows_of_an_earlier_release_are_rehashed_as_unchanged(connection):
    """The hash of an earlier release included the snippet."""
    cut = {"requirement": "...желание учиться", "responsibility": None}
    put(connection, item(1), item(2), item(3), item(4), item(5))
    new = {number: row(connection, number)["vacancy_hash"] for number in "12345"}
    connection.execute(
        "UPDATE jobs SET salary = 'of an earlier release',"
        " vacancy_hash = sha256(convert_to(vacancy::text, 'UTF8'))"
    )
    store.close("5", connection=connection, now=NOW)
    page = [item(1), item(2, snippet=cut), item(3, name="Другая"), item(5)]
    assert put(connection, *page) == ([], ["3", "5"])
    for number in "125":
        assert row(connection, number)["vacancy_hash"] == new[number]
        assert row(connection, number)["salary"] != "of an earlier release"
    assert put(connection, *page) == ([], [])


def test_vacancy_twice_on_a_page_is_stored_once(connection):
    assert put(connection, item(1), item(1, name="Позже")) == (["1"], [])
    assert row(connection)["title"] == "Позже"


def test_empty_page_stores_nothing(connection):
    assert put(connection) == ([], [])


def test_search_does_not_overwrite_a_stored_detail(connection):
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
    assert responses.VacancyDetail.model_validate(kept["detail"]) == detail


def test_detail_without_an_earlier_search_is_stored(connection):
    detail = responses.vacancy_detail(item(1, test={"required": True}, has_test=True))
    store.store_detail(detail, connection=connection, now=NOW)
    store.store_detail(detail, connection=connection, now=NOW + timedelta(hours=2))
    kept = row(connection)
    assert kept["test_required"] is True
    assert kept["updated_at"] == datetime(2026, 11, 24, 9, 30)
    assert put(connection, item(1)) == ([], ["1"])
    assert store.vacancy_id_of(str(kept["id"]), connection=connection) == "1"


def test_overlong_texts_are_kept_whole_in_the_model(connection):
    long = item(1, name="Д" * 400, employer={"id": "7", "name": "Е" * 300})
    put(connection, long)
    kept = row(connection)
    assert len(kept["title"]) == 255
    assert kept["vacancy"]["name"] == "Д" * 400


class CountingConnection:
    """A connection that counts its statements."""

    def __init__(self, connection):
        self.connection = connection
        self.statements = 0

    def execute(self, *arguments):
        self.statements += 1
        return self.connection.execute(*arguments)

    def transaction(self):
        return self.connection.transaction()


def test_unchanged_page_costs_one_query_and_no_write(connection):
    many = [item(number) for number in range(100)]
    put(connection, *many)
    before = connection.execute("SELECT external_id, xmin, ctid FROM jobs ORDER BY 1").fetchall()
    counting = CountingConnection(connection)
    assert put(counting, *many, now=NOW + timedelta(hours=1)) == ([], [])
    assert counting.statements == 1
    after = connection.execute("SELECT external_id, xmin, ctid FROM jobs ORDER BY 1").fetchall()
    assert after == before


def test_row_inserted_by_a_concurrent_search_is_not_new(connection, database_url):
    class OvertakenConnection(CountingConnection):
        def execute(self, *arguments):
            found = super().execute(*arguments)
            if self.statements == 1:
                with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as other:
                    assert put(other, item(1), item(2)) == (["1", "2"], [])
            return found

    assert put(OvertakenConnection(connection), item(1), item(3)) == (["3"], [])


def test_closed_vacancy_that_is_seen_again_is_open(connection):
    put(connection, item(1))
    store.close("1", connection=connection, now=NOW)
    assert (row(connection)["archived"], row(connection)["closed_at"]) == (True, NOW)
    store.close("1", connection=connection, now=NOW + timedelta(hours=1))
    assert row(connection)["closed_at"] == NOW
    assert put(connection, item(1)) == ([], ["1"])
    assert (row(connection)["archived"], row(connection)["closed_at"]) == (False, None)
    assert put(connection, item(1)) == ([], [])


def test_archived_vacancy_is_closed_by_search_or_detail(connection):
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


def test_other_snippet_of_a_vacancy_is_no_change(connection):
    put(connection, post(1))
    cut = {"requirement": "...желание учиться и расти вместе с нами.", "responsibility": None}
    assert put(connection, post(1, snippet=cut)) == ([], [])
    assert put(connection, post(1, snippet=cut, has_test=True)) == ([], ["1"])


def test_job_in_two_cities_is_linked_despite_other_excerpts(connection):
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
def test_opening_of_another_grade_is_linked_only_when_closed(connection, changes):
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


def test_oldest_of_reposts_on_a_page_is_the_original(connection):
    page = seen(post(3, day=24), post(1, PERM, day=22), post(2, day=23))
    stored = store.store_vacancies(page, search_query="", connection=connection, now=NOW)
    assert stored.new == ("3", "1", "2")
    assert stored.reposts == {"2": "1", "3": "1"}
    assert stored.originals == ("1",)
    assert links(connection) == {"1": None, "2": "1", "3": "1"}


def test_vacancy_stored_first_stays_the_original(connection):
    put(connection, post(5, day=20))
    put(connection, post(6, PERM, day=22))
    put(connection, post(4, PERM, day=18), post(7, day=24))
    assert links(connection) == {"4": "5", "5": None, "6": "5", "7": "5"}


def test_job_reposted_repeatedly_stays_one_job(connection):
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
def test_different_jobs_are_not_linked(connection, changes):
    put(connection, post(1))
    put(connection, post(2, **changes))
    assert links(connection) == {"1": None, "2": None}


def test_anonymous_jobs_are_not_linked(connection):
    put(connection, *(post(number, employer={"name": "Аноним"}) for number in (1, 2)))
    assert links(connection) == {"1": None, "2": None}


def test_changed_vacancy_keeps_its_links(connection):
    put(connection, post(1), post(2), post(3, name="Кассир"))
    put(connection, post(2, name="Кассир"), post(3))
    assert links(connection) == {"1": None, "2": "1", "3": None}


def test_only_newest_candidates_of_a_key_are_compared(connection, monkeypatch):
    monkeypatch.setattr(reposts, "MAX_CANDIDATES", 2)
    other = {"snippet": {"requirement": "Совсем другое", "responsibility": "дело"}}
    put(connection, post(1, day=10))
    put(connection, *(post(number, day=number, **other) for number in (11, 12)))
    put(connection, post(20, day=20))
    assert links(connection)["20"] is None


def test_detail_without_an_earlier_search_is_linked(connection):
    first, second = (
        responses.vacancy_detail(post(number, snippet=None, description="<p>Помогать гостям</p>"))
        for number in (1, 2)
    )
    store.store_detail(first, connection=connection, now=NOW)
    store.store_detail(second, connection=connection, now=NOW)
    assert links(connection) == {"1": None, "2": "1"}


def test_made_up_items_and_details_are_stored_and_read_back(connection):
    items = [responses.vacancy(shown) for shown in hh_answers.search_items()]
    for start in range(0, len(items), 100):
        store.store_vacancies(
            items[start : start + 100], search_query="", connection=connection, now=NOW
        )
    kept = connection.execute("SELECT external_id, vacancy FROM jobs").fetchall()
    assert {
        stored["external_id"]: responses.Vacancy.model_validate(stored["vacancy"])
        for stored in kept
    } == {vacancy.id: vacancy for vacancy in items}
    details = [responses.vacancy_detail(shown) for shown in hh_answers.vacancy_details()]
    for detail in details:
        store.store_detail(detail, connection=connection, now=NOW)
    for detail in details:
        kept = row(connection, detail.id)["detail"]
        assert responses.VacancyDetail.model_validate(kept) == detail


def test_overlapping_searches_and_reads_do_not_deadlock(database_url):
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
