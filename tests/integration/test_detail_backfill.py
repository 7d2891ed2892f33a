"""The backfill of details on the sandbox: each vacancy is read once, and closed ones are marked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.hh_sandbox import USER_AGENT
from tests.harness.context import CORE, make_context
from ullgetthejob.hh import responses
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import postgres, settings
from ullgetthejob.vacancies import detail_backfill, store

DAY = timedelta(days=1)


class BackfillHarness:
    """Canonical searches, their matches, and a client that reads details."""

    def __init__(self, world):
        self.world = world
        self.hh = self.client()
        self.connection = postgres.connection()
        self.clock_offset = timedelta(0)

    def client(self):
        """Return a client that no other client's pause holds up."""
        pacer = Pacer(settings.PACER_TABLE(), calls_per_second=1000, egress=uuid4().hex)
        client = HHClient(self.world.sandbox.url, user_agent=USER_AGENT, pacer=pacer)
        self.world.clients.append(client)
        return client

    def now(self):
        return self.world.now() + self.clock_offset

    def publish(self, number=1):
        """Publish vacancies at hh.ru; return them, the oldest first."""
        published = []
        for _ in range(number):
            shown = self.world.sandbox.publish("Бариста", employer={"id": "1", "name": "Кофе"})
            vacancy = responses.vacancy(shown)
            later = vacancy.published_at + timedelta(minutes=len(published))
            published.append(vacancy.model_copy(update={"published_at": later}))
        return published

    def found(self, *vacancies, full_from=None):
        """Insert a search that found these just now; return its id."""
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
        """Let a full run begin now that finds none of the earlier vacancies."""
        self.connection.execute(
            "UPDATE search_queries SET full_from = %s WHERE id = %s", (self.now(), query)
        )

    def read(self, query, most=30, may_continue=lambda: True, connection=None):
        context = make_context(connection or self.connection, self.now, caller=CORE, hh=self.hh)
        return detail_backfill.backfill(query, context, most=most, may_continue=may_continue)

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
def harness(connected, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    harness = BackfillHarness(connected)
    connected.sandbox.control("DELETE", "/hits")
    return harness


def test_vacancies_are_read_once_newest_first_within_the_budget(harness):
    old, middle, new = harness.publish(3)
    query = harness.found(old, new, middle)
    assert harness.read(query, most=2) == 2
    assert harness.with_detail() == {new.id, middle.id}
    assert harness.read(query, most=2) == 1
    assert harness.with_detail() == {old.id, middle.id, new.id}
    assert harness.row(new)["description"]
    assert harness.read(query) == 0
    assert harness.calls() == 3


def test_vacancy_read_for_another_search_is_not_read_again(harness):
    vacancies = harness.publish(2)
    first, second = harness.found(*vacancies), harness.found(*vacancies)
    assert harness.read(first) == 2
    assert harness.read(second) == 0
    assert harness.calls() == 2


def test_concurrent_backfills_read_each_vacancy_once(harness, database_url):
    vacancies = harness.publish(8)
    queries = [harness.found(*vacancies) for _ in range(3)]

    def read(query):
        with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as own:
            return harness.read(query, connection=own)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(read, queries)) == 8
    assert harness.calls() == 8
    assert len(harness.with_detail()) == 8


def test_vacancies_no_longer_found_are_rechecked_weekly(harness):
    closed, open_one, found = harness.publish(3)
    query = harness.found(closed, open_one, found)
    assert harness.read(query) == 3
    harness.clock_offset = DAY
    harness.close(closed)
    harness.no_longer_found(query)
    harness.connection.execute(
        "UPDATE search_matches SET seen_at = %s WHERE vacancy_id = %s", (harness.now(), found.id)
    )
    assert harness.read(query) == 2
    assert harness.row(closed)["archived"] is True
    assert harness.row(closed)["closed_at"] is not None
    assert harness.row(open_one)["closed_at"] is None
    for days, calls in ((2, 0), (7, 0), (9, 1), (10, 0)):
        harness.clock_offset = days * DAY
        harness.no_longer_found(query)
        harness.connection.execute(
            "UPDATE search_matches SET seen_at = %s WHERE vacancy_id = %s",
            (harness.now(), found.id),
        )
        assert harness.read(query) == calls, days


def test_vacancy_found_and_lost_again_is_rechecked(harness):
    [vacancy] = harness.publish()
    query = harness.found(vacancy)
    harness.read(query)
    for day in (1, 3):
        harness.clock_offset = day * DAY
        harness.no_longer_found(query)
        assert harness.read(query) == 1
        harness.clock_offset = (day + 1) * DAY
        harness.connection.execute("UPDATE search_matches SET seen_at = %s", (harness.now(),))


def test_vacancy_unknown_to_hh_is_closed(harness):
    [vacancy] = harness.publish()
    unknown = vacancy.model_copy(update={"id": "999999999999"})
    query = harness.found(unknown)
    assert harness.read(query) == 1
    assert (harness.row(unknown)["archived"], harness.row(unknown)["detail"]) == (True, None)
    assert harness.row(unknown)["closed_at"] is not None
    assert harness.read(query) == 0


def test_gone_vacancies_get_a_share_of_the_calls(harness):
    gone = harness.publish(4)
    query = harness.found(*gone)
    harness.read(query)
    for vacancy in gone:
        harness.close(vacancy)
    harness.clock_offset = DAY
    harness.no_longer_found(query)
    fresh = harness.publish(8)
    other = harness.found(*fresh)
    harness.connection.execute(
        "UPDATE search_matches SET query_id = %s, number = number + 100, seen_at = %s"
        " WHERE query_id = %s",
        (query, harness.now() + DAY, other),
    )
    assert harness.read(query, most=8) == 8
    assert sum(harness.row(vacancy)["archived"] for vacancy in gone) == 2
    assert harness.read(query, most=8) == 4
    assert sum(harness.row(vacancy)["archived"] for vacancy in gone) == 4


@pytest.mark.parametrize("kind", ["too_many_requests", "captcha", "edge_block"])
def test_refused_call_ends_the_backfill_until_the_next(harness, kind):
    query = harness.found(*harness.publish(3))
    harness.world.sandbox.fault(kind, path="/vacancies", times=1)
    assert harness.read(query) == 1
    assert harness.with_detail() == set()
    harness.hh = harness.client()
    assert harness.read(query) == 3


def test_unreadable_vacancy_does_not_block_others(harness):
    first, second = harness.publish(2)
    query = harness.found(first, second)
    harness.world.sandbox.fault("server_error", path=f"/vacancies/{second.id}")
    harness.world.sandbox.fault("server_error", path=f"/vacancies/{first.id}", times=1)
    assert harness.read(query) == 2, "a failure does not skip the next vacancy"
    assert harness.read(query) == 0
    harness.world.sandbox.control("DELETE", "/faults")
    harness.clock_offset = DAY + timedelta(minutes=1)
    assert harness.read(query) == 2
    assert harness.with_detail() == {first.id, second.id}


def test_backfill_during_a_pause_leaves_no_vacancy_claimed(harness):
    query = harness.found(*harness.publish(2))
    egress = uuid4().hex
    pacer = Pacer(settings.PACER_TABLE(), egress=egress)
    pacer.pause("unavailable", 60)
    paused = HHClient(harness.world.sandbox.url, user_agent=USER_AGENT, pacer=pacer)
    harness.world.clients.append(paused)
    harness.hh, good = paused, harness.hh
    assert harness.read(query) == 1
    assert harness.calls() == 0
    harness.hh = good
    assert harness.read(query) == 2


def test_backfill_stops_when_it_may_not_continue(harness):
    query = harness.found(*harness.publish(3))
    assert harness.read(query, most=0) == 0
    assert harness.read(query, may_continue=lambda: False) == 0
    assert harness.calls() == 0
    answers = iter([True, True, False])
    assert harness.read(query, may_continue=lambda: next(answers)) == 2
    assert harness.calls() == 2


def test_vacancies_beyond_the_scanned_matches_are_read(harness, monkeypatch):
    monkeypatch.setattr(detail_backfill, "MATCHES_SCANNED", 2)
    published = harness.publish(7)
    query = harness.found(*published)
    harness.connection.execute("UPDATE search_queries SET last_match = 7 WHERE id = %s", [query])
    assert harness.read(query, most=1) == 1
    assert harness.row(published[-1])["detail"] is not None  # the newest first
    for _ in range(200):
        harness.read(query)
        if all(harness.row(vacancy)["detail"] is not None for vacancy in published):
            break
    else:
        pytest.fail("some vacancies are never read")
    assert harness.read(query) == 0
