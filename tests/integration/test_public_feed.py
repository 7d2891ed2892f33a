"""The public feed, from the outbox to a BFF that validates as the real one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from functions.public_feed.app import handler
from functions.realtime.app import handler as realtime
from local.clock import FILE_NAME
from local.template.reader import load
from tests.fixtures.bff import SECRET, Bff
from tests.fixtures.local_cloud import ROOT
from tests.fixtures.ports import free_port
from tests.harness.context import make_context
from tests.harness.killing import sqs_message
from ullgetthejob.platform import aws, clock, leases, postgres, telemetry
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.public_feed import outbox, publisher
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from tests.harness.killing import Functions

START = datetime(2026, 11, 25, 9, tzinfo=UTC)
INSERT_JOB = """
    INSERT INTO jobs (external_id, hh_vacancy_id, title, company, salary, area, url, description,
                      source, search_query, inserted_at, updated_at, vacancy)
    VALUES (%(id)s, %(id)s, %(title)s, %(company)s, %(salary)s, %(area)s, %(url)s,
            %(description)s, 'hh.ru', %(search_query)s, %(now)s, %(now)s, '{}')
"""
WORKER = """
import sys
from datetime import datetime
from ullgetthejob.platform import postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.context import Context
from ullgetthejob.public_feed import publisher
moment = datetime.fromisoformat(sys.argv[1])
with postgres.session() as connection:
    publisher.run(Context(connection, lambda: moment, Caller("core", "a-worker")))
"""


@dataclass
class FeedHarness:
    """Drives the outbox and the publisher, on a clock that the test moves."""

    bff: Bff
    at: datetime = START
    created: int = 0

    def now(self) -> datetime:
        return self.at

    def advance(self, **duration: float) -> None:
        self.at += timedelta(**duration)

    def add_vacancies(self, number: int = 1, **columns: Any) -> list[str]:
        """Store vacancies with these *columns*, add them to the feed, and return their ids."""
        ids = []
        connection = postgres.connection()
        with connection.transaction():
            for _ in range(number):
                self.created += 1
                vacancy_id = str(100_000_000 + self.created)
                row = {
                    "title": f"Vacancy {self.created}",
                    "company": None,
                    "salary": None,
                    "area": None,
                    "url": None,
                    "description": None,
                    "search_query": None,
                    **columns,
                }
                now = self.at.replace(tzinfo=None)
                connection.execute(INSERT_JOB, {"id": vacancy_id, "now": now, **row})
                ids.append(vacancy_id)
            outbox.add(ids, connection=connection, now=self.at)
        return ids

    def run(self) -> bool:
        return self.run_over(postgres.connection())

    def run_over(
        self,
        connection: psycopg.Connection[dict[str, Any]],
        clock: Callable[[], datetime] | None = None,
    ) -> bool:
        """Process a wake-up over *connection*; return whether rows are left."""
        caller = Caller("core", "the-wake-up")
        return publisher.run(make_context(connection, clock or self.now, caller=caller))

    def rows(self, columns: str = "vacancy_id, state, reason") -> list[tuple[Any, ...]]:
        found = postgres.connection().execute(f"SELECT {columns} FROM public_feed ORDER BY number")
        return [tuple(row.values()) for row in found.fetchall()]

    def states(self) -> list[str]:
        return [state for (state,) in self.rows("state")]


@pytest.fixture
def feed(
    dynamodb_tables: dict[str, str],
    database_url: str,
    bff: Bff,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FeedHarness]:
    assert dynamodb_tables
    for name, value in {
        "DATABASE_URL": database_url,
        "ORCHESTRATOR_SECRET": SECRET,
        "SECRET_KEY_BASE": "a secret key base of tests, long enough",
        "API_BASE_URL": bff.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BFF_BROADCAST", raising=False)
    postgres.close()
    harness = FeedHarness(bff)
    clock.install(harness.now)
    telemetry.flush()
    yield harness
    telemetry.flush()
    clock.install(None)
    postgres.close()


def take_wake_ups(seconds: float = 0) -> list[dict[str, Any]]:
    """Receive and delete the messages in the queue; wait up to *seconds* for the first."""
    found: list[dict[str, Any]] = []
    queue = {"QueueUrl": os.environ["PUBLIC_FEED_QUEUE_URL"]}
    ends = time.monotonic() + seconds
    while True:
        received = aws.call("sqs", "ReceiveMessage", {**queue, "MaxNumberOfMessages": 10})
        messages = received.get("Messages", [])
        if not messages and (found or time.monotonic() >= ends):
            return found
        for message in messages:
            found.append(json.loads(message["Body"]))
            handle = {"ReceiptHandle": message["ReceiptHandle"]}
            aws.call("sqs", "DeleteMessage", {**queue, **handle})
        time.sleep(0.1)


def metrics(text: str) -> dict[str, float]:
    """Return the sum of each metric in the printed lines."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        found = json.loads(line) if line.startswith("{") else {}
        for directive in found.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                name = metric["Name"]
                sums[name] = sums.get(name, 0) + sum(found[name])
    return sums


# ── what is posted ───────────────────────────────────────────────────────────────────────────────


def test_new_vacancy_is_posted_once_in_the_bff_format(feed: FeedHarness) -> None:
    [first] = feed.add_vacancies(
        title="Python developer",
        company="Ромашка",
        salary="100-200 RUR",
        area="Москва",
        url="https://hh.ru/vacancy/1",
        description="x" * 5_000,
    )
    [second] = feed.add_vacancies(title="Nothing else is known")
    assert feed.run() is False
    [broadcast] = feed.bff.received
    assert broadcast.status == 200
    assert broadcast.headers["x-request-id"] == "the-wake-up"
    assert broadcast.headers["content-type"] == "application/json"
    assert broadcast.body == {
        "jobs": [
            {
                "id": first,
                "externalId": first,
                "title": "Python developer",
                "company": "Ромашка",
                "salary": "100-200 RUR",
                "area": "Москва",
                "url": "https://hh.ru/vacancy/1",
                "description": "x" * 1_000,
                "source": "hh.ru",
            },
            {
                "id": second,
                "externalId": second,
                "title": "Nothing else is known",
                "source": "hh.ru",
            },
        ],
        "stats": {
            "total": 2,
            "broadcasted": 2,
            "source": "hh.ru",
            "timestamp": "2026-11-25T09:00:00+00:00",
        },
    }
    assert feed.states() == ["posted", "posted"]
    assert feed.run() is False
    assert len(feed.bff.received) == 1


def test_vacancy_added_twice_is_posted_once(feed: FeedHarness) -> None:
    [id] = feed.add_vacancies()
    feed.run()
    outbox.add([id, id], connection=postgres.connection(), now=feed.at)
    feed.run()
    assert feed.bff.shown == [id]


def test_body_holds_no_person_and_no_search(feed: FeedHarness) -> None:
    marker = "MARKER-of-a-person-or-search"
    connection = postgres.connection()
    query = connection.execute(
        "INSERT INTO search_queries (hash, parameters, created_at)"
        " VALUES ('x', jsonb_build_object('text', %s::text), %s) RETURNING id",
        (marker, feed.at),
    ).fetchone()
    account = connection.execute(
        "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
        " VALUES (%s, 'ok', %s, %s) RETURNING id",
        (marker, feed.at, feed.at),
    ).fetchone()
    assert query is not None
    assert account is not None
    [id] = feed.add_vacancies(search_query=marker)
    connection.execute(
        "INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
        " interval_seconds, time_zone, created_at, updated_at)"
        " VALUES (%(account)s, %(account)s, %(query)s, %(marker)s, '{}', 1800, 'UTC', %(at)s,"
        " %(at)s)",
        {"account": account["id"], "query": query["id"], "marker": marker, "at": feed.at},
    )
    connection.execute(
        "INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)"
        " VALUES (%s, %s, 1, %s, %s)",
        (query["id"], id, feed.at, feed.at),
    )
    feed.run()
    [broadcast] = feed.bff.received
    sent = broadcast.raw + json.dumps(broadcast.headers)
    for secret_word in (marker, str(account["id"]), str(query["id"])):
        assert secret_word not in sent


def test_vacancies_are_posted_in_order_in_batches_of_100(feed: FeedHarness) -> None:
    ids = feed.add_vacancies(250)
    assert feed.run() is False
    assert [len(broadcast.ids) for broadcast in feed.bff.received] == [100, 100, 50]
    assert [broadcast.body["stats"]["total"] for broadcast in feed.bff.received] == [250, 150, 50]
    assert feed.bff.shown == ids


def test_transaction_sends_one_wake_up_after_its_commit(feed: FeedHarness) -> None:
    connection = postgres.connection()
    with connection.transaction():
        outbox.add(["1", "2"], connection=connection, now=feed.at)
        outbox.add(["3"], connection=connection, now=feed.at)
        assert take_wake_ups() == []
    assert take_wake_ups(20) == [{"feed": "public"}]
    outbox.add(["1"], connection=connection, now=feed.at)
    assert take_wake_ups() == [], "it was there already"

    def fail() -> None:
        with connection.transaction():
            outbox.add(["4"], connection=connection, now=feed.at)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert take_wake_ups() == []
    assert len(feed.rows()) == 3


def test_missing_vacancy_is_dead_and_delays_no_other(feed: FeedHarness) -> None:
    outbox.add(["1"], connection=postgres.connection(), now=feed.at)
    [id] = feed.add_vacancies()
    feed.run()
    assert feed.rows() == [("1", "dead", "no_such_vacancy"), (id, "posted", None)]


# ── failures of the BFF ──────────────────────────────────────────────────────────────────────────


def test_rejected_batch_ends_dead_only_for_bad_vacancies(feed: FeedHarness) -> None:
    good = feed.add_vacancies(40)
    bad = feed.add_vacancies(1, title="BAD") + feed.add_vacancies(1, title="BAD")
    good += feed.add_vacancies(30)
    bad += feed.add_vacancies(1, title="BAD")
    feed.bff.trouble = lambda body: 400 if "BAD" in json.dumps(body) else None
    while feed.run():
        pass
    assert feed.bff.shown == good, "each once, in order"
    dead = [row[0] for row in feed.rows() if row[1:] == ("dead", "http_400")]
    assert dead == bad
    assert len(feed.bff.received) < 40


@pytest.mark.parametrize("status", [400, 413, 422])
def test_permanently_rejected_vacancy_is_dead_at_once(
    feed: FeedHarness, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    feed.add_vacancies()
    feed.bff.trouble = lambda _body: status
    assert feed.run() is False
    assert [row[1:] for row in feed.rows()] == [("dead", f"http_{status}")]
    telemetry.flush()
    assert metrics(capsys.readouterr().out) == {"PublicFeedDead": 1}


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_failing_bff_is_retried_with_growing_pauses(
    feed: FeedHarness, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    feed.add_vacancies()
    feed.bff.trouble = lambda _body: status
    for pause in (10, 30, 120, 600, 1800, 1800):
        posts = len(feed.bff.received)
        assert feed.run() is False
        assert feed.run() is False
        assert len(feed.bff.received) == posts + 1
        feed.advance(seconds=pause - 1)
        assert feed.run() is False
        assert len(feed.bff.received) == posts + 1
        feed.advance(seconds=1)
    telemetry.flush()
    assert metrics(capsys.readouterr().out) == {"PublicFeedFailed": 6}
    feed.bff.trouble = lambda _body: None
    feed.run()
    assert feed.states() == ["posted"]


def test_new_vacancies_wait_behind_old_while_the_bff_is_down(
    feed: FeedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BASE_URL", f"http://127.0.0.1:{free_port()}")
    old = feed.add_vacancies(3)
    feed.run()
    assert [row[1:] for row in feed.rows()] == [("waiting", "unreachable")] * 3
    monkeypatch.setenv("API_BASE_URL", f"{feed.bff.url}/")
    new = feed.add_vacancies(2)
    feed.run()
    assert feed.bff.received == [], "the pause applies to new vacancies too"
    feed.advance(seconds=10)
    feed.run()
    assert feed.bff.shown == old + new


def test_short_pause_sends_a_wake_up_long_one_awaits_sweeper(feed: FeedHarness) -> None:
    feed.add_vacancies()
    take_wake_ups(20)
    feed.bff.trouble = lambda _body: 500
    feed.run()
    assert take_wake_ups(30) == [{"feed": "public"}], "10 seconds later"
    connection = postgres.connection()
    assert outbox.notify_due(connection=connection, now=feed.at) == 0
    connection.execute("UPDATE public_feed SET attempts = 3")
    feed.advance(seconds=10)
    feed.run()
    feed.advance(seconds=599)
    assert outbox.notify_due(connection=connection, now=feed.at) == 0
    assert take_wake_ups() == []
    feed.advance(seconds=1)
    assert outbox.notify_due(connection=connection, now=feed.at) == 1
    assert take_wake_ups(20) == [{"feed": "public"}]


def test_row_unposted_for_a_day_is_dead_with_its_reason(
    feed: FeedHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    [old] = feed.add_vacancies()
    feed.bff.trouble = lambda _body: 503
    feed.run()
    feed.advance(hours=23, minutes=59)
    [young] = feed.add_vacancies()
    feed.run()
    assert feed.states() == ["waiting", "waiting"]
    feed.advance(minutes=2)
    feed.run()
    assert feed.rows() == [(old, "dead", "http_503"), (young, "waiting", "http_503")]
    telemetry.flush()
    assert metrics(capsys.readouterr().out) == {"PublicFeedFailed": 3, "PublicFeedDead": 1}


def test_wrong_secret_is_refused_until_it_is_corrected(
    feed: FeedHarness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = feed.add_vacancies(2)
    monkeypatch.setenv("ORCHESTRATOR_SECRET", "another one")
    feed.run()
    assert [row[1:] for row in feed.rows()] == [("waiting", "http_401")] * 2
    telemetry.flush()
    output = capsys.readouterr().out
    assert metrics(output) == {"PublicFeedRefused": 1}
    assert "another one" not in output
    monkeypatch.setenv("ORCHESTRATOR_SECRET", SECRET)
    feed.advance(seconds=10)
    feed.run()
    assert feed.bff.shown == ids


@pytest.mark.parametrize("how", ["hangs", "trickles"])
def test_slow_bff_is_timed_out(
    feed: FeedHarness, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publisher.CONNECT_TIMEOUT_S == 2
    assert publisher.TOTAL_TIMEOUT_S == 10
    monkeypatch.setattr(publisher, "TOTAL_TIMEOUT_S", 0.5)
    setattr(feed.bff, how, True)
    feed.add_vacancies()
    done = threading.Event()

    def run() -> None:
        with connect() as connection:
            feed.run_over(connection)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert done.wait(30)
    assert [row[1:] for row in feed.rows()] == [("waiting", "timeout")]


def test_last_post_fits_into_the_function_timeout() -> None:
    function = load().functions["PublicFeedFunction"]
    assert function.timeout_s > publisher.RUN_BUDGET_S + publisher.TOTAL_TIMEOUT_S
    assert function.timeout_s < publisher.LEASE_S


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("BFF_BROADCAST", "off", "off"), ("API_BASE_URL", "", "no_api_base_url")],
)
def test_rows_of_a_disabled_feed_do_not_wait(
    feed: FeedHarness, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    feed.add_vacancies(150)
    monkeypatch.setenv(name, value)
    assert feed.run() is False
    assert {row[1:] for row in feed.rows()} == {("off", reason)}
    monkeypatch.setenv("BFF_BROADCAST", "on")
    monkeypatch.setenv("API_BASE_URL", feed.bff.url)
    feed.advance(days=1)
    feed.run()
    assert feed.bff.received == []


def test_feed_is_off_by_default() -> None:
    parameters = load().functions["PublicFeedFunction"].environment
    assert parameters["API_BASE_URL"] == ""
    assert parameters["BFF_BROADCAST"] == "on"


def test_ended_rows_are_deleted_after_30_days_waiting_kept(
    feed: FeedHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    feed.add_vacancies(3)
    feed.run()
    connection = postgres.connection()
    feed.advance(days=30)
    feed.add_vacancies()
    assert outbox.delete_ended(connection=connection, now=feed.at) == 0
    feed.advance(seconds=90)
    assert outbox.delete_ended(connection=connection, now=feed.at, most=2) == 2
    assert outbox.delete_ended(connection=connection, now=feed.at) == 1
    assert feed.states() == ["waiting"]
    assert outbox.notify_due(connection=connection, now=feed.at) == 1
    telemetry.flush()
    assert metrics(capsys.readouterr().out)["PublicFeedOldestAgeSeconds"] == 90


# ── crashes and concurrency ──────────────────────────────────────────────────────────────────────


def connect() -> Any:
    """Open a separate connection."""
    return postgres.connection_class().connect(
        os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


def worker(feed: FeedHarness) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, feed.at.isoformat()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        text=True,
    )


def test_crash_during_a_post_repeats_that_post_alone(feed: FeedHarness) -> None:
    ids = feed.add_vacancies(250)
    killed: list[int] = []

    def kill_in_the_second_post(body: Any) -> None:
        if len(feed.bff.received) == 1 and not killed:
            killed.append(len(body["jobs"]))
            os.kill(process.pid, signal.SIGKILL)

    feed.bff.trouble = kill_in_the_second_post
    process = worker(feed)
    process.wait(60)
    assert killed == [100]
    assert feed.states().count("posted") == 100
    assert feed.run() is False
    assert feed.states().count("posted") == 100, "the killed worker's lease has not expired"
    feed.advance(seconds=publisher.LEASE_S)
    assert outbox.notify_due(connection=postgres.connection(), now=feed.at) == 1
    assert feed.run() is False
    assert feed.bff.shown == ids[:200] + ids[100:200] + ids[200:]
    assert set(feed.states()) == {"posted"}


def test_publisher_killed_after_any_effect_posts_all_in_order(
    feed: FeedHarness, functions_on: Callable[[Path], Functions], tmp_path: Path
) -> None:
    """Only what was posted, and not stored as posted, is posted again."""
    functions, ids = functions_on(tmp_path / FILE_NAME), []

    def publish_more() -> str:
        ids.extend(feed.add_vacancies(2))
        stop_clock(tmp_path / FILE_NAME, feed.at)
        return sqs_message("public_feed", feed="public")

    effects, repeated = [], 0
    for effect in functions.kill_after_each(publish_more):
        effects.append(effect.split()[0])
        repeated += feed.states().count("waiting") if effect == "post" else 0
        feed.advance(seconds=publisher.LEASE_S + 1)
    assert effects == ["UpdateItem", "post", "UPDATE", "UpdateItem"]
    assert list(dict.fromkeys(feed.bff.shown)) == ids
    assert len(feed.bff.shown) == len(ids) + repeated
    assert set(feed.states()) == {"posted"}


def test_wake_ups_at_once_in_two_processes_post_once(
    feed: FeedHarness, functions_on: Callable[[Path], Functions], tmp_path: Path
) -> None:
    ids = feed.add_vacancies(250)
    stop_clock(tmp_path / FILE_NAME, feed.at)
    wake_up = sqs_message("public_feed", feed="public")
    functions_on(tmp_path / FILE_NAME).call(wake_up, wake_up)
    assert feed.bff.shown == ids


def stop_clock(path: Path, at: datetime) -> None:
    """Let a clock's file say *at*."""
    path.write_text(json.dumps({"real": time.time(), "virtual": at.timestamp(), "rate": 0}))


def test_concurrent_publishers_post_once_in_order(feed: FeedHarness) -> None:
    ids = feed.add_vacancies(300)
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with connect() as connection:
                barrier.wait()
                feed.run_over(connection)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(60)
    assert failures == []
    assert feed.bff.shown == ids


def test_rows_stay_locked_after_lease_expiry(feed: FeedHarness) -> None:
    ids = feed.add_vacancies(2)
    second: list[threading.Thread] = []

    def work() -> None:
        with connect() as connection:
            feed.run_over(connection, lambda: feed.at + timedelta(minutes=5))

    def start_another_worker(_body: Any) -> None:
        if not second:
            second.append(threading.Thread(target=work))
            second[0].start()
            second[0].join(1)  # it waits for the rows
            assert second[0].is_alive()

    feed.bff.trouble = start_another_worker
    feed.run()
    second[0].join(60)
    assert feed.bff.shown == ids
    assert [broadcast.status for broadcast in feed.bff.received] == [200]


def test_wake_up_during_a_lease_is_dropped(feed: FeedHarness) -> None:
    feed.add_vacancies()
    lease = leases.acquire(publisher.LEASE, seconds=60, now=feed.at)
    assert lease is not None
    assert feed.run() is False
    assert feed.bff.received == []
    lease.release()
    feed.run()
    assert feed.states() == ["posted"]


# ── isolation ────────────────────────────────────────────────────────────────────────────────────


def test_feed_has_its_own_function_and_queue() -> None:
    template = load()
    users = {
        name
        for name, function in template.functions.items()
        if "PublicFeedQueue" in {source.queue for source in function.queue_sources}
    }
    assert users == {"PublicFeedFunction"}
    function = template.functions["PublicFeedFunction"]
    assert {source.queue for source in function.queue_sources} == {"PublicFeedQueue"}
    [broadcaster] = template.functions["BroadcasterFunction"].queue_sources
    assert broadcaster.queue == "BroadcasterQueue"
    assert "API_BASE_URL" not in template.functions["BroadcasterFunction"].environment


def test_hanging_bff_blocks_nothing_else(feed: FeedHarness) -> None:
    """A fetch adds to the feed, events are appended and the sweeper runs while a post hangs."""
    feed.bff.hangs = True
    [old] = feed.add_vacancies()
    connection = postgres.connection()
    account = connection.execute(
        "INSERT INTO accounts (hh_user_id, access_state, access_changed_at, created_at)"
        " VALUES ('1', 'ok', %s, %s) RETURNING id",
        (feed.at, feed.at),
    ).fetchone()
    assert account is not None

    def post() -> None:
        with connect() as own:
            feed.run_over(own)

    poster = threading.Thread(target=post)
    poster.start()
    while not feed.bff.received:
        time.sleep(0.01)
    with connection.transaction():
        outbox.add([old, "1"], connection=connection, now=feed.at)
        event_log.append(account["id"], "jobs.new", {}, connection=connection, now=feed.at)
    outbox.notify_due(connection=connection, now=feed.at)
    assert len(feed.rows()) == 2
    assert poster.is_alive()
    feed.bff.stopped.set()
    poster.join(30)
    assert feed.rows()[0] == (old, "waiting", "unreachable")


def test_function_handles_its_wake_up(
    feed: FeedHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = feed.add_vacancies(2)
    event = json.loads((ROOT / "events" / "public_feed.json").read_text())
    context = SimpleNamespace(aws_request_id="of-the-invocation")
    assert handler(event, context) == {"batchItemFailures": []}
    assert feed.bff.shown == ids
    assert feed.bff.received[0].headers["x-request-id"] == "of-the-invocation"
    assert metrics(capsys.readouterr().out) == {"PublicFeedPosted": 2}


# ── the dummy ────────────────────────────────────────────────────────────────────────────────────


def dummy(secret: str | None = SECRET) -> tuple[int, dict[str, Any]]:
    event = json.loads((ROOT / "events" / "realtime-broadcast_dummy.json").read_text())
    event["headers"]["x-core-secret"] = secret
    event["headers"]["x-request-id"] = "a-try-of-the-bff"
    answer = realtime(event, SimpleNamespace(aws_request_id="-"))
    return answer["statusCode"], json.loads(answer["body"])


def test_dummy_is_one_marked_job_posted_at_once(feed: FeedHarness) -> None:
    feed.add_vacancies()
    status, body = dummy()
    external_id = f"dummy-{int(START.timestamp())}"
    assert status == 200
    assert body == {
        "success": True,
        "status": 200,
        "external_id": external_id,
        "broadcasted": 1,
    }
    [broadcast] = feed.bff.received
    assert broadcast.headers["x-request-id"] == "a-try-of-the-bff"
    [job] = broadcast.body["jobs"]
    assert (job["id"], job["externalId"]) == ("0", external_id)
    assert "TEST" in job["title"]
    assert feed.states() == ["waiting"]


def test_dummy_requires_the_service_secret(feed: FeedHarness) -> None:
    for secret in ("wrong", ""):
        status, _ = dummy(secret)
        assert status == 401
    assert feed.bff.received == []


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(400, "bff_refused"), (404, "bff_refused"), (500, "bff_unavailable")],
)
def test_dummy_reports_the_response_of_the_bff(feed: FeedHarness, trouble: int, code: str) -> None:
    feed.bff.trouble = lambda _body: trouble
    status, body = dummy()
    assert (status, body["error"], body["details"]) == (503, code, {"reason": f"http_{trouble}"})


def test_dummy_reports_a_bff_that_is_down_or_off(
    feed: FeedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert feed.states() == []
    monkeypatch.setenv("API_BASE_URL", f"http://127.0.0.1:{free_port()}")
    status, body = dummy()
    assert (status, body["error"]) == (503, "bff_unavailable")
    assert body["details"] == {"reason": "unreachable"}
    monkeypatch.setenv("API_BASE_URL", "")
    status, body = dummy()
    assert (status, body["error"]) == (409, "broadcast_off")
