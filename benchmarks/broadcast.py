"""An event to many sockets: Core's broadcaster beside one with boto3 in 32 threads.

``make bench-broadcast``. A process serves ``@connections`` (15 ms a post) and the connection table
(4 ms) over verified TLS; Postgres is embedded. Each sender has its own process and keeps its TCP
connections; in each round the senders alternate, and the first round warms up and is dropped.

*Broadcaster*: an event of 4 KB is committed for each account, and the wake-ups are handled: 50
accounts with 20 connections, one with 20, and one with 1,000 (more than an account may have). Both
senders lease each connection, read the log, post, and store the progress. *Posts alone*: the client
of ``@connections`` posts 4 KB to 1,000 connections. All posts are counted, and all progress is
checked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from benchmarks import progress, results, services
from benchmarks.broadcast_server import certify
from benchmarks.results import Goal, Row, compare
from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a session token " * 20,  # as functions have one
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_MAX_ATTEMPTS": "1",
    "CONNECTION_TABLE": "connections",
    "BROADCASTER_QUEUE_URL": "https://localhost/queue",
    "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'layers' / 'core'}",
}
SENDERS = ("core", "boto3")
POSTS = 1000
SHAPES = {(50, 20): Goal(">=", 3.0), (1, 20): None, (1, 1000): None}  # accounts, connections each
POSTS_GOAL = Goal(">=", 4.0)
TEXT = "x" * 4000


def main() -> None:
    """Run the benchmark from the command line."""
    services.end_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    results.add_option(parser)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-broadcast-") as name,
        contextlib.ExitStack() as (stack),
    ):
        folder = Path(name)
        folder.chmod(0o755)  # Postgres's own user must be able to enter it
        certify(folder)
        server = stack.enter_context(process("benchmarks.broadcast_server", name))
        endpoint = f"https://localhost:{server.read()['port']}"
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres", ends_with_us=True))
        upgrade(postgres.url)
        environment = {
            "SSL_CERT_FILE": f"{folder}/certificate.pem",
            "AWS_CA_BUNDLE": f"{folder}/certificate.pem",
            "DATABASE_URL": postgres.url,
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
            "WEBSOCKET_API_ENDPOINT": f"{endpoint}/ws",
        }
        senders = {
            sender: stack.enter_context(
                process("benchmarks.broadcasters", sender, environment=environment)
            )
            for sender in SENDERS
        }
        database = stack.enter_context(
            psycopg.connect(postgres.url, autocommit=True, row_factory=dict_row)
        )
        rows = [measure_posts(server, senders, options.rounds)]
        for shape in SHAPES:
            rows.append(measure_shape(shape, server, senders, database, options.rounds))
    results.finish(rows, options)


def measure_posts(server: Process, senders: Mapping[str, Process], rounds: int) -> Row:
    """Return the row of the clients of ``@connections``, in messages a second."""
    ids = [f"L0SM9cOFvHcCI{number:02x}=" for number in range(POSTS)]
    rates: dict[str, list[float]] = {name: [] for name in SENDERS}
    for number in range(rounds + 1):
        for name in reversed(SENDERS) if number % 2 else SENDERS:
            took = senders[name].run({"posts": ids})
            posts = server.run({})["posts"]
            assert posts == POSTS, f"{name} sent {posts} messages"
            if number:
                rates[name].append(POSTS / took["time"])
    return compare(
        f"{POSTS} posts alone, a second; boto3", rates["core"], rates["boto3"], POSTS_GOAL
    )


def measure_shape(
    shape: tuple[int, int],
    server: Process,
    senders: Mapping[str, Process],
    database: psycopg.Connection[dict[str, Any]],
    rounds: int,
) -> Row:
    """Return the row of the broadcasters for a number of accounts, with as many connections each;
    in events a second."""
    accounts, connections = shape
    owners = [add_account(database) for _ in range(accounts)]
    server.run({"items": [item for owner in owners for item in items_of(*owner, connections)]})
    account_ids = [account_id for account_id, _ in owners]
    rates: dict[str, list[float]] = {name: [] for name in SENDERS}
    for number in range(rounds + 1):
        for name in reversed(SENDERS) if number % 2 else SENDERS:
            seqs = {str(owner): append_event(database, owner) for owner in account_ids}
            took = senders[name].run({"accounts": list(map(str, account_ids))})
            check(server.run({}), seqs, connections, name)
            if number:
                rates[name].append(accounts * connections / took["time"])
        progress.show(f"{accounts} x {connections}: {number}/{rounds}")
    progress.clear()
    what = f"broadcaster, {accounts} x {connections} sockets, events a second; boto3"
    return compare(what, rates["core"], rates["boto3"], SHAPES[shape])


def add_account(database: psycopg.Connection[dict[str, Any]]) -> tuple[UUID, UUID]:
    """Add an account with a user; return their ids."""
    account_id, user_id, now = uuid4(), uuid4(), datetime.now(UTC)
    database.execute(
        "INSERT INTO accounts (id, hh_user_id, access_state, access_changed_at, created_at)"
        " VALUES (%s, %s, 'ok', %s, %s)",
        (account_id, account_id.hex, now, now),
    )
    database.execute(
        "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
        " VALUES (%s, %s, '!', %s, %s, %s)",
        (user_id, f"{user_id}@session.invalid", account_id, now, now),
    )
    return account_id, user_id


def items_of(account_id: UUID, user_id: UUID, count: int) -> list[dict[str, dict[str, str]]]:
    """Return the items of *count* open connections of an account."""
    now = time.time()
    return [
        {
            "pk": {"S": f"account#{account_id}"},
            "sk": {"S": f"{account_id.hex[:11]}{number:04x}="},
            "account_id": {"S": str(account_id)},
            "user_id": {"S": str(user_id)},
            "state": {"S": "open"},
            "proven_at": {"S": datetime.fromtimestamp(now, UTC).isoformat()},
            "connected_at": {"N": str(int(now * 1000))},
            "sent_seq": {"N": "0"},
            "told_seq": {"N": "0"},
        }
        for number in range(count)
    ]


def append_event(database: psycopg.Connection[dict[str, Any]], account_id: UUID) -> int:
    """Commit an event of an account, without a wake-up; return its seq."""
    row = database.execute(
        event_log.INSERT_EVENT,
        {
            "account_id": account_id,
            "at": datetime.now(UTC),
            "type": "jobs.new",
            "data": json.dumps({"jobs": [TEXT]}),
            "trace_id": None,
        },
    ).fetchone()
    assert row is not None
    return int(row["seq"])


def check(report: dict[str, Any], seqs: Mapping[str, int], connections: int, name: str) -> None:
    """Raise unless a round posted each event to each connection and stored that it did."""
    wanted = len(seqs) * connections
    behind = [
        item["sk"]["S"]
        for item in report["items"]
        if int(item["sent_seq"]["N"]) != seqs[item["account_id"]["S"]] or "sender" in item
    ]
    if report["posts"] != wanted or len(report["items"]) != wanted or behind:
        raise RuntimeError(f"{name}: {report['posts']} posts of {wanted}; behind: {behind[:5]}")


# ── processes ────────────────────────────────────────────────────────────────────────────────────


class Process:
    """A process that responds to each line of input with a line of JSON."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """Let the process execute *command*, and return the result."""
        assert self._running.stdin is not None
        self._running.stdin.write(json.dumps(command) + "\n")
        self._running.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the next line of its output."""
        assert self._running.stdout is not None
        result: dict[str, Any] = json.loads(self._running.stdout.readline())
        return result


@contextlib.contextmanager
def process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run ``python -m module`` as a separate process."""
    running = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **VARIABLES, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(running)
    finally:
        running.kill()
        running.communicate()


if __name__ == "__main__":
    main()
