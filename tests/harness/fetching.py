"""People with saved searches, an hh.ru that has what they search for, and what must be true of it
all in the end, whoever died on the way."""

from __future__ import annotations

import itertools
import json
import uuid
from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform import aws, postgres, settings
from ullgetthejob.saved_searches import canonical_searches, run_store, run_worker, scheduler

if TYPE_CHECKING:
    import psycopg

    from tests.fixtures.connected import Connected
    from tests.fixtures.hh_sandbox import HhSandbox

    Connection = psycopg.Connection[dict[str, Any]]

SAVE = """
    INSERT INTO saved_searches (
        account_id, user_id, query_id, name, search, interval_seconds, time_zone, next_run_at,
        created_at, updated_at
    ) VALUES (
        %(account_id)s, %(account_id)s, %(query_id)s, 'Поиск', '{}', %(interval)s,
        'Europe/Moscow', %(now)s, %(now)s, %(now)s
    )
    RETURNING id
"""
MATCHES = "SELECT vacancy_id, number FROM search_matches WHERE query_id = %s ORDER BY number"
# An employer of one test alone.
_employers = itertools.count(1_000_000 + uuid.uuid4().int % 5_000_000 * 100)


def new_employer() -> str:
    """Its id."""
    return str(next(_employers))


def publish(sandbox: HhSandbox, employer: str, count: int) -> list[str]:
    """*count* new vacancies of an employer, none of which repeats another; their ids."""
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
    """What hh.ru has of a search, up to its depth and published *until* then: titles by id."""
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
    """The function's work in this process, at *world*'s clock; its bells are real."""

    def __init__(self, world: Connected) -> None:
        self.world = world
        self.sandbox = world.sandbox
        self.hh = world.hh()

    @property
    def connection(self) -> Connection:
        """The environment's."""
        return postgres.connection()

    def query(self, **parameters: Any) -> uuid.UUID:
        """A search that hh.ru can be asked for."""
        return canonical_searches.get_or_create(
            SearchParameters(**parameters), connection=self.connection, now=self.world.now()
        )

    def save(
        self, query_id: uuid.UUID, account_id: uuid.UUID | None = None, interval: int = 1800
    ) -> uuid.UUID:
        """A saved search, due at once, of an account (a new one by default); its id."""
        now = self.world.now()
        values = {
            "account_id": account_id or self.world.account(),
            "query_id": query_id,
            "interval": interval,
            "now": now,
        }
        row = self.connection.execute(SAVE, values).fetchone()
        assert row is not None
        canonical_searches.reschedule(query_id, connection=self.connection, now=now)
        return uuid.UUID(str(row["id"]))

    def tick(self) -> scheduler.Ticked:
        """The fetcher's minute."""
        return scheduler.tick(connection=self.connection, clock=self.world.now)

    def work(self, query_id: uuid.UUID) -> bool:
        """A bell for the search is answered."""
        return run_worker.run_query(
            query_id,
            hh=self.hh,
            connection=self.connection,
            clock=self.world.now,
            request_id="bell",
        )

    def bells(self) -> list[str]:
        """The searches whose bells have rung since."""
        return rung("FETCH_QUEUE_URL", "query_id")

    def minute(self, seconds: float = 61) -> list[str]:
        """Time passes, the fetcher ticks, and each bell is answered; who rang."""
        self.sandbox.advance(seconds)
        self.tick()
        heard = self.bells()
        for query_id in heard:
            self.work(uuid.UUID(query_id))
        return heard

    def run(self, query_id: uuid.UUID) -> run_store.RunAnswer:
        """The search's last run."""
        latest = run_store.latest(query_id, connection=self.connection)
        assert latest is not None
        return latest

    def matches(self, query_id: uuid.UUID) -> list[str]:
        """What the search found, in the order of finding."""
        return [row["vacancy_id"] for row in self.connection.execute(MATCHES, [query_id])]

    def events(self, account_id: uuid.UUID, type: str | None = None) -> list[dict[str, Any]]:
        """The account's event log."""
        rows = self.connection.execute(
            "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", [account_id]
        ).fetchall()
        return [row for row in rows if type in (None, row["type"])]

    def account_of(self, search_id: uuid.UUID) -> uuid.UUID:
        """Whose saved search it is."""
        row = self.connection.execute(
            "SELECT account_id FROM saved_searches WHERE id = %s", [search_id]
        ).fetchone()
        assert row is not None
        return uuid.UUID(str(row["account_id"]))

    # ── what hh.ru was asked ─────────────────────────────────────────────────────────────────────

    def forget_calls(self) -> None:
        """Count anew."""
        self.sandbox.control("DELETE", "/hits")

    def calls(self, route: str = "GET /vacancies") -> int:
        """How often hh.ru was called there."""
        calls = self.sandbox.control("GET", "/state")["calls"]["by_route"]
        return int(calls.get(route, 0))

    def pages_asked(self) -> list[tuple[str, ...]]:
        """Each search that was asked for (of the last 200 calls), without what never varies."""
        hits = self.sandbox.control("GET", "/hits")["hits"]
        asked = [parse_qs(hit["query"]) for hit in hits if hit["path"] == "/vacancies"]
        return [
            (*(",".join(one.get(name, [])) for name in ("employer_id", "date_to", "page")),)
            for one in asked
        ]


def rung(queue: str, name: str) -> list[str]:
    """Whom the bells of a queue have rung for."""
    found = []
    asked = {"QueueUrl": settings.text(queue), "MaxNumberOfMessages": 10}
    while messages := aws.call("sqs", "ReceiveMessage", asked).get("Messages"):
        found += [json.loads(message["Body"])[name] for message in messages]
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        deleted = {"QueueUrl": asked["QueueUrl"], "Entries": entries}
        aws.call("sqs", "DeleteMessageBatch", deleted)
    return found


# ── the judge ────────────────────────────────────────────────────────────────────────────────────


def check_invariants(harness: FetchHarness) -> None:
    """The database has what hh.ru has, and every account was told of it, once. What has closed need
    not have been told."""
    connection = harness.connection
    rows = connection.execute("SELECT external_id, title, closed_at FROM jobs").fetchall()
    jobs = {row["external_id"]: row for row in rows}
    wanted: dict[str, set[str]] = defaultdict(set)
    for query in connection.execute("SELECT * FROM search_queries").fetchall():
        found = harness.matches(query["id"])
        judge_matches(query, connection)
        # What came later, while others were fetched, the next run will find.
        until = query["complete_from"]
        parameters = canonical_searches.parameters_of(query)
        at_hh = found_now(harness.sandbox, parameters, until) if until else {}
        assert set(at_hh) <= set(found), query["parameters"]
        assert at_hh == {id: jobs[id]["title"] for id in at_hh}
        for row in connection.execute(
            "SELECT account_id FROM saved_searches WHERE query_id = %s", [query["id"]]
        ):
            wanted[row["account_id"]] |= set(found)
    feed = [row["vacancy_id"] for row in connection.execute("SELECT vacancy_id FROM public_feed")]
    assert len(set(feed)) == len(feed)
    for account_id, vacancies in wanted.items():
        told = judge_account(account_id, connection)
        assert told <= vacancies
        assert all(jobs[id]["closed_at"] for id in vacancies - told)
    running = connection.execute("SELECT * FROM fetch_runs WHERE state = 'running'").fetchall()
    assert not running


def judge_matches(query: dict[str, Any], connection: Connection) -> None:
    """Numbered without a gap, but for what was numbered anew when a job turned out to be two."""
    numbers = [row["number"] for row in connection.execute(MATCHES, [query["id"]])]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers, default=0) == query["last_match"]
    gaps = query["last_match"] - len(numbers)
    row = connection.execute(
        "SELECT count(*) AS parted FROM jobs WHERE repost_key IN"
        " (SELECT repost_key FROM jobs GROUP BY repost_key HAVING count(*) > 1)"
    ).fetchone()
    assert row is not None
    assert gaps == 0 or row["parted"]


def judge_account(account_id: Any, connection: Connection) -> set[str]:
    """What the account was told of; its log says the same, without a gap, and nothing twice."""
    rows = connection.execute(
        "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", [account_id]
    ).fetchall()
    last = connection.execute(
        "SELECT last_event_seq AS seq FROM accounts WHERE id = %s", [account_id]
    ).fetchone()
    assert last is not None
    assert [row["seq"] for row in rows] == list(range(1, last["seq"] + 1))
    announced = [
        (one["id"], row["seq"])
        for row in rows
        if row["type"] == "jobs.new"
        for one in row["data"]["jobs"]
    ]
    assert not [one for one, times in Counter(id for id, _ in announced).items() if times > 1]
    told = connection.execute(
        "SELECT vacancy_id, seq FROM account_vacancies WHERE account_id = %s", [account_id]
    ).fetchall()
    assert {(row["vacancy_id"], row["seq"]) for row in told if row["seq"]} == set(announced)
    runs = Counter(
        (row["data"]["search_id"], row["data"]["run_id"])
        for row in rows
        if row["type"] == "fetch.completed"
    )
    assert set(runs.values()) <= {1}
    return {row["vacancy_id"] for row in told}
