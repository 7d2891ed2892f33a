"""A harness for fetching: accounts with saved searches, a sandbox of hh.ru with vacancies, and the
invariants that must hold in the end, after any crash."""

from __future__ import annotations

import itertools
import json
import os
import uuid
from collections import Counter, defaultdict
from contextlib import nullcontext
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from tests.harness.context import CORE, make_context
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import aws, periodic, postgres
from ullgetthejob.saved_searches import canonical_searches, run_store, run_worker, scheduler

if TYPE_CHECKING:
    import psycopg

    from tests.fixtures.connected import Connected
    from tests.fixtures.hh_sandbox import HhSandbox
    from ullgetthejob.platform.context import Context

    Connection = psycopg.Connection[dict[str, Any]]

HALF_AN_HOUR = 1_800  # seconds, the interval of saved searches
INSERT_SEARCH = """
    INSERT INTO saved_searches (
        account_id, user_id, query_id, name, search, interval_seconds, time_zone, next_run_at,
        created_at, updated_at
    ) VALUES (
        %(account_id)s, %(account_id)s, %(query_id)s, 'Поиск', '{}', %(interval)s,
        'Europe/Moscow', %(now)s, %(now)s, %(now)s
    )
    RETURNING id
"""
SELECT_MATCHES = "SELECT vacancy_id, number FROM search_matches WHERE query_id = %s ORDER BY number"
# Each test has employers of its own.
_employers = itertools.count(1_000_000 + uuid.uuid4().int % 5_000_000 * 100)


def new_employer() -> str:
    """Return the id of an employer that no other test uses."""
    return str(next(_employers))


def publish(sandbox: HhSandbox, employer: str, count: int) -> list[str]:
    """Publish *count* vacancies of an employer, none of which repeats another; return their ids."""
    return [
        str(
            sandbox.publish(
                f"Мастер {uuid.uuid4().hex}",
                employer={"id": employer, "name": f"Завод {employer}"},
            )["id"]
        )
        for _ in range(count)
    ]


def found_now(sandbox: HhSandbox, parameters: SearchParameters, until: datetime) -> dict[str, str]:
    """Return the vacancies of a search that hh.ru has, up to its depth, published before *until*:
    titles by id."""
    found: dict[str, str] = {}
    token = sandbox.token()
    for page in itertools.count():
        query = parameters.model_copy(update={"page": page}).query()
        body = sandbox.call("GET", "/vacancies", token, params=query).raise_for_status().json()
        found |= {
            item["id"]: item["name"]
            for item in body["items"]
            if datetime.fromisoformat(item["published_at"]) < until
        }
        if page + 1 >= body["pages"]:
            return found
    raise AssertionError


class FetchHarness:
    """The functions' work in this process, at *world*'s clock; its wake-ups are real."""

    def __init__(self, world: Connected) -> None:
        self.world = world
        self.sandbox = world.sandbox
        self.hh = world.hh()

    @property
    def connection(self) -> Connection:
        """Return the environment's connection."""
        return postgres.connection()

    @property
    def context(self) -> Context:
        """Return the context of a wake-up."""
        return make_context(self.connection, self.world.now, caller=CORE, hh=self.hh)

    def query(self, **parameters: Any) -> uuid.UUID:
        """Insert a canonical search; return its id."""
        return canonical_searches.get_or_create(
            SearchParameters(**parameters), connection=self.connection, now=self.world.now()
        )

    def save(
        self, query_id: uuid.UUID, account_id: uuid.UUID | None = None, interval: int = 1800
    ) -> uuid.UUID:
        """Insert a saved search, due at once, of an account (default: a new one); return its id."""
        now = self.world.now()
        values = {
            "account_id": account_id or self.world.account(),
            "query_id": query_id,
            "interval": interval,
            "now": now,
        }
        row = self.connection.execute(INSERT_SEARCH, values).fetchone()
        assert row is not None
        canonical_searches.reschedule(query_id, connection=self.connection, now=now)
        return uuid.UUID(str(row["id"]))

    def tick(self) -> SimpleNamespace:
        """Do the fetcher's work of a minute over the harness's connection; return the counts."""
        context = self.context
        return SimpleNamespace(**periodic.run(scheduler.steps(), lambda: nullcontext(context)))

    def work(self, query_id: uuid.UUID) -> bool:
        """Process a wake-up for the search; return whether work is left."""
        return run_worker.run_query(query_id, self.context)

    def wake_ups(self) -> list[str]:
        """Receive the wake-ups of the fetch queue; return the ids of their searches."""
        return receive_wake_ups("FETCH_QUEUE_URL", "query_id")

    def minute(self, seconds: float = 61) -> list[str]:
        """Advance the clock, run the fetcher, and process each wake-up; return the wake-ups."""
        self.sandbox.advance(seconds)
        self.tick()
        received = self.wake_ups()
        for query_id in received:
            self.work(uuid.UUID(query_id))
        return received

    def run(self, query_id: uuid.UUID) -> run_store.RunAnswer:
        """Return the search's last run."""
        latest = run_store.latest(query_id, connection=self.connection)
        assert latest is not None
        return latest

    def outcome(self, query_id: uuid.UUID) -> tuple[str, str | None]:
        """Return state and reason of the latest run."""
        run = self.run(query_id)
        return run.state, run.reason

    def matches(self, query_id: uuid.UUID) -> list[str]:
        """Return the ids of the vacancies that the search found, in order."""
        return [row["vacancy_id"] for row in self.connection.execute(SELECT_MATCHES, [query_id])]

    def events(self, account_id: uuid.UUID, event_type: str | None = None) -> list[dict[str, Any]]:
        """Return the account's event log, or its events of one type."""
        rows = self.connection.execute(
            "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", [account_id]
        ).fetchall()
        return [row for row in rows if event_type in (None, row["type"])]

    def account_of(self, search_id: uuid.UUID) -> uuid.UUID:
        """Return the account of a saved search."""
        row = self.connection.execute(
            "SELECT account_id FROM saved_searches WHERE id = %s", [search_id]
        ).fetchone()
        assert row is not None
        return uuid.UUID(str(row["account_id"]))

    # ── calls of hh.ru ───────────────────────────────────────────────────────────────────────────

    def reset_calls(self) -> None:
        """Reset the sandbox's counts of calls."""
        self.sandbox.control("DELETE", "/hits")

    def calls(self, route: str = "GET /vacancies") -> int:
        """Return the number of calls of a route."""
        calls = self.sandbox.control("GET", "/state")["calls"]["by_route"]
        return int(calls.get(route, 0))

    def requested_pages(self) -> list[tuple[str, ...]]:
        """Return (employer_id, date_to, page) of each search request among the last 200 calls."""
        hits = self.sandbox.control("GET", "/hits")["hits"]
        queries = [parse_qs(hit["query"]) for hit in hits if hit["path"] == "/vacancies"]
        return [
            (*(",".join(query.get(name, [])) for name in ("employer_id", "date_to", "page")),)
            for query in queries
        ]


def receive_wake_ups(queue: str, name: str) -> list[str]:
    """Receive and delete all wake-ups of a queue; return the field *name* of each."""
    received = []
    request = {"QueueUrl": os.environ[queue], "MaxNumberOfMessages": 10}
    while messages := aws.call("sqs", "ReceiveMessage", request).get("Messages"):
        received += [json.loads(message["Body"])[name] for message in messages]
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        deletion = {"QueueUrl": request["QueueUrl"], "Entries": entries}
        aws.call("sqs", "DeleteMessageBatch", deletion)
    return received


# ── invariants ───────────────────────────────────────────────────────────────────────────────────


def check_invariants(harness: FetchHarness) -> None:
    """Check that the database has hh.ru's vacancies, and that each account was notified of them,
    once; of closed ones it need not have been."""
    connection = harness.connection
    rows = connection.execute("SELECT external_id, title, closed_at FROM jobs").fetchall()
    jobs = {row["external_id"]: row for row in rows}
    wanted: dict[str, set[str]] = defaultdict(set)
    for query in connection.execute("SELECT * FROM search_queries").fetchall():
        found = harness.matches(query["id"])
        check_matches(query, connection)
        # Vacancies posted while other searches were fetched are left to the next run.
        until = query["complete_from"]
        parameters = canonical_searches.parameters_of(query)
        titles = found_now(harness.sandbox, parameters, until) if until else {}
        assert set(titles) <= set(found), query["parameters"]
        assert titles == {vacancy_id: jobs[vacancy_id]["title"] for vacancy_id in titles}
        for row in connection.execute(
            "SELECT account_id FROM saved_searches WHERE query_id = %s", [query["id"]]
        ):
            wanted[row["account_id"]] |= set(found)
    feed = [row["vacancy_id"] for row in connection.execute("SELECT vacancy_id FROM public_feed")]
    assert len(set(feed)) == len(feed)
    for account_id, vacancies in wanted.items():
        notified = check_account(account_id, connection)
        assert notified <= vacancies
        assert all(jobs[vacancy_id]["closed_at"] for vacancy_id in vacancies - notified)
    running = connection.execute("SELECT * FROM fetch_runs WHERE state = 'running'").fetchall()
    assert not running


def check_matches(query: dict[str, Any], connection: Connection) -> None:
    """Check that the matches are numbered without a gap, except where a job was split into two and
    its matches got new numbers."""
    numbers = [row["number"] for row in connection.execute(SELECT_MATCHES, [query["id"]])]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers, default=0) == query["last_match"]
    gaps = query["last_match"] - len(numbers)
    row = connection.execute(
        "SELECT count(*) AS same_key FROM jobs WHERE repost_key IN"
        " (SELECT repost_key FROM jobs GROUP BY repost_key HAVING count(*) > 1)"
    ).fetchone()
    assert row is not None
    assert gaps == 0 or row["same_key"]


def check_account(account_id: Any, connection: Connection) -> set[str]:
    """Check that the account's event log has no gap, no job twice, and the jobs that the database
    says; return the ids of the vacancies that the account was notified of."""
    rows = connection.execute(
        "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", [account_id]
    ).fetchall()
    last = connection.execute(
        "SELECT last_event_seq AS seq FROM accounts WHERE id = %s", [account_id]
    ).fetchone()
    assert last is not None
    assert [row["seq"] for row in rows] == list(range(1, last["seq"] + 1))
    announced = [
        (job["id"], row["seq"])
        for row in rows
        if row["type"] == "jobs.new"
        for job in row["data"]["jobs"]
    ]
    times = Counter(vacancy_id for vacancy_id, _ in announced)
    assert not [vacancy_id for vacancy_id, number in times.items() if number > 1]
    notified = connection.execute(
        "SELECT vacancy_id, seq, filtered_by FROM account_vacancies WHERE account_id = %s",
        [account_id],
    ).fetchall()
    assert {(row["vacancy_id"], row["seq"]) for row in notified if row["seq"]} == set(announced)
    filtered = [row for row in notified if row["filtered_by"]]
    assert not [row for row in filtered if row["seq"]]
    ended = [row["data"] for row in rows if row["type"] == "fetch.completed"]
    assert sum(data["filtered"] for data in ended) == len(filtered), "each is counted once"
    runs = Counter(
        (row["data"]["search_id"], row["data"]["run_id"])
        for row in rows
        if row["type"] == "fetch.completed"
    )
    assert set(runs.values()) <= {1}
    return {row["vacancy_id"] for row in notified}


@pytest.fixture
def fetching(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> FetchHarness:
    """Return a :class:`FetchHarness` that reads no vacancy in full."""
    monkeypatch.setenv("HH_ACCESS_TOKEN", connected.sandbox.token())
    monkeypatch.setenv("FETCH_DETAILS_PER_RUN", "0")
    return FetchHarness(connected)


@pytest.fixture
def employer() -> str:
    """Return the id of an employer without vacancies."""
    return new_employer()


@pytest.fixture
def search(fetching: FetchHarness, employer: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Return the ids of a query for one employer's vacancies, and of a saved search of it."""
    query_id = fetching.query(employer_id=employer)
    return query_id, fetching.save(query_id)
