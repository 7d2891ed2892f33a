"""Details against the sandbox: each vacancy is read once for all, what has closed is marked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.hh_sandbox import USER_AGENT
from ullgetthejob.hh import responses
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import postgres, settings
from ullgetthejob.vacancies import detail_backfill, store

DAY = timedelta(days=1)


class Reader:
    """Searches, what they found when, and who reads it."""

    def __init__(self, world):
        self.world = world
        self.hh = self.client()
        self.connection = postgres.connection()
        self.late = timedelta(0)

    def client(self):
        """One that no pause holds up that another client began."""
        pacer = Pacer(settings.text("PACER_TABLE"), calls_per_second=1000, egress=uuid4().hex)
        client = HHClient(self.world.sandbox.url, user_agent=USER_AGENT, pacer=pacer)
        self.world.clients.append(client)
        return client

    def now(self):
        return self.world.now() + self.late

    def publish(self, number=1):
        """Vacancies that hh.ru has, the oldest first."""
        found = []
        for _ in range(number):
            shown = self.world.sandbox.publish("Бариста", employer={"id": "1", "name": "Кофе"})
            vacancy = responses.vacancy(shown)
            later = vacancy.published_at + timedelta(minutes=len(found))
            found.append(vacancy.model_copy(update={"published_at": later}))
        return found

    def found(self, *vacancies, full_from=None):
        """A search that found these just now."""
        store.store_vacancies(
            vacancies, search_query="", connection=self.connection, now=self.now()
        )
        row = self.connection.execute(
            "INSERT INTO search_queries (hash, parameters, full_from, created_at)"
            " VALUES (%s, '{}', %s, %s) RETURNING id",
            (uuid4().bytes, full_from, self.now()),
        ).fetchone()
        for number, vacancy in enumerate(vacancies, start=1):
            self.connection.execute(
                "INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)"
                " VALUES (%s, %s, %s, %s, %s)",
                (row["id"], vacancy.id, number, self.now(), self.now()),
            )
        return row["id"]

    def no_longer_found(self, query):
        """A full run begins now that finds nothing of what was found before."""
        self.connection.execute(
            "UPDATE search_queries SET full_from = %s WHERE id = %s", (self.now(), query)
        )

    def read(self, query, most=30, goes_on=lambda: True, connection=None):
        return detail_backfill.backfill(
            query,
            hh=self.hh,
            connection=connection or self.connection,
            clock=self.now,
            most=most,
            goes_on=goes_on,
        )

    def row(self, vacancy):
        found = self.connection.execute("SELECT * FROM jobs WHERE external_id = %s", (vacancy.id,))
        return found.fetchone()

    def with_detail(self):
        found = self.connection.execute("SELECT external_id FROM jobs WHERE detail IS NOT NULL")
        return {row["external_id"] for row in found}

    def calls(self):
        routes = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return sum(times for route, times in routes.items() if route.startswith("GET /vacancies/"))

    def close(self, vacancy):
        self.world.sandbox.control("POST", f"/vacancies/{vacancy.id}/close")


@pytest.fixture
def reader(connected, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    reader = Reader(connected)
    connected.sandbox.control("DELETE", "/hits")
    return reader


def test_each_vacancy_is_read_once_the_newest_first_within_the_budget(reader):
    old, middle, new = reader.publish(3)
    query = reader.found(old, new, middle)
    assert reader.read(query, most=2) == 2
    assert reader.with_detail() == {new.id, middle.id}
    assert reader.read(query, most=2) == 1
    assert reader.with_detail() == {old.id, middle.id, new.id}
    assert reader.row(new)["description"]
    assert reader.read(query) == 0
    assert reader.calls() == 3


def test_what_another_search_has_read_is_not_read_again(reader):
    vacancies = reader.publish(2)
    first, second = reader.found(*vacancies), reader.found(*vacancies)
    assert reader.read(first) == 2
    assert reader.read(second) == 0
    assert reader.calls() == 2


def test_two_searches_that_read_at_once_ask_once_for_each(reader, database_url):
    vacancies = reader.publish(8)
    queries = [reader.found(*vacancies) for _ in range(3)]

    def read(query):
        with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as own:
            return reader.read(query, connection=own)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(read, queries)) == 8
    assert reader.calls() == 8
    assert len(reader.with_detail()) == 8


def test_what_has_closed_is_marked_and_what_is_open_is_left_for_a_week(reader):
    closed, open_one, found = reader.publish(3)
    query = reader.found(closed, open_one, found)
    assert reader.read(query) == 3
    reader.late = DAY
    reader.close(closed)
    reader.no_longer_found(query)
    reader.connection.execute(
        "UPDATE search_matches SET seen_at = %s WHERE vacancy_id = %s", (reader.now(), found.id)
    )
    assert reader.read(query) == 2
    assert reader.row(closed)["archived"] is True
    assert reader.row(closed)["closed_at"] is not None
    assert reader.row(open_one)["closed_at"] is None
    for days, calls in ((2, 0), (7, 0), (9, 1), (10, 0)):
        reader.late = days * DAY
        reader.no_longer_found(query)
        reader.connection.execute(
            "UPDATE search_matches SET seen_at = %s WHERE vacancy_id = %s", (reader.now(), found.id)
        )
        assert reader.read(query) == calls, days


def test_what_was_found_again_and_lost_again_is_looked_at_again(reader):
    [vacancy] = reader.publish()
    query = reader.found(vacancy)
    reader.read(query)
    for day in (1, 3):
        reader.late = day * DAY
        reader.no_longer_found(query)
        assert reader.read(query) == 1
        reader.late = (day + 1) * DAY
        reader.connection.execute("UPDATE search_matches SET seen_at = %s", (reader.now(),))


def test_what_hh_does_not_know_is_closed(reader):
    [vacancy] = reader.publish()
    unknown = vacancy.model_copy(update={"id": "999999999999"})
    query = reader.found(unknown)
    assert reader.read(query) == 1
    assert (reader.row(unknown)["archived"], reader.row(unknown)["detail"]) == (True, None)
    assert reader.row(unknown)["closed_at"] is not None
    assert reader.read(query) == 0


def test_closed_ones_have_their_share_when_new_ones_never_run_out(reader):
    gone = reader.publish(4)
    query = reader.found(*gone)
    reader.read(query)
    for vacancy in gone:
        reader.close(vacancy)
    reader.late = DAY
    reader.no_longer_found(query)
    fresh = reader.publish(8)
    other = reader.found(*fresh)
    reader.connection.execute(
        "UPDATE search_matches SET query_id = %s, number = number + 100, seen_at = %s"
        " WHERE query_id = %s",
        (query, reader.now() + DAY, other),
    )
    assert reader.read(query, most=8) == 8
    assert sum(reader.row(vacancy)["archived"] for vacancy in gone) == 2
    assert reader.read(query, most=8) == 4
    assert sum(reader.row(vacancy)["archived"] for vacancy in gone) == 4


@pytest.mark.parametrize("kind", ["too_many_requests", "captcha", "edge_block"])
def test_what_hh_refuses_ends_the_reading_and_is_read_next_time(reader, kind):
    query = reader.found(*reader.publish(3))
    reader.world.sandbox.fault(kind, path="/vacancies", times=1)
    assert reader.read(query) == 1
    assert reader.with_detail() == set()
    reader.hh = reader.client()
    assert reader.read(query) == 3


def test_a_vacancy_that_cannot_be_read_stands_in_nobody_s_way(reader):
    first, second = reader.publish(2)
    query = reader.found(first, second)
    reader.world.sandbox.fault("server_error", path=f"/vacancies/{second.id}")
    reader.world.sandbox.fault("server_error", path=f"/vacancies/{first.id}", times=1)
    assert reader.read(query) == 2, "one that fails is no reason to leave the next one out"
    assert reader.read(query) == 0
    reader.world.sandbox.control("DELETE", "/faults")
    reader.late = DAY + timedelta(minutes=1)
    assert reader.read(query) == 2
    assert reader.with_detail() == {first.id, second.id}


def test_while_calls_are_paused_nothing_counts_as_looked_at(reader):
    query = reader.found(*reader.publish(2))
    egress = uuid4().hex
    pacer = Pacer(settings.text("PACER_TABLE"), egress=egress)
    pacer.pause("unavailable", 60)
    paused = HHClient(reader.world.sandbox.url, user_agent=USER_AGENT, pacer=pacer)
    reader.world.clients.append(paused)
    reader.hh, good = paused, reader.hh
    assert reader.read(query) == 1
    assert reader.calls() == 0
    reader.hh = good
    assert reader.read(query) == 2


def test_no_call_is_begun_that_something_else_comes_before(reader):
    query = reader.found(*reader.publish(3))
    assert reader.read(query, most=0) == 0
    assert reader.read(query, goes_on=lambda: False) == 0
    assert reader.calls() == 0
    quiet = iter([True, True, False])
    assert reader.read(query, goes_on=lambda: next(quiet)) == 2
    assert reader.calls() == 2
