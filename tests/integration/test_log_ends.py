"""The ends of logs, which threads that wait for Postgres read together."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures.realtime import DEADLINE_S
from tests.fixtures.waiting import until
from ullgetthejob.platform import postgres
from ullgetthejob.realtime.log_reader import LogEnds

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


class Database:
    """The connection to Postgres. The result of its first statement is held until *released*;
    *fails*: the second raises instead."""

    def __init__(self, connection, *, fails=False):
        self.connection = connection
        self.statements = []
        self.executed, self.released = threading.Event(), threading.Event()
        self._fails = fails

    def execute(self, sql, values):
        self.statements.append(sorted(values["account_ids"]))
        if len(self.statements) == 2 and self._fails:
            raise psycopg.OperationalError("of a test")
        result = self.connection.execute(sql, values)
        if len(self.statements) == 1:
            self.executed.set()
            assert self.released.wait(DEADLINE_S)
        return result


@pytest.fixture
def connection(database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    postgres.close()
    yield postgres.connection()
    postgres.close()


@pytest.fixture
def account_ids(connection):
    rows = [
        connection.execute(
            "INSERT INTO accounts (hh_user_id, access_changed_at, created_at)"
            " VALUES (%s, %s, %s) RETURNING id",
            (uuid4().hex, NOW, NOW),
        ).fetchone()
        for _ in range(3)
    ]
    return sorted(row["id"] for row in rows)


def set_end(connection, account_id, seq):
    connection.execute("UPDATE accounts SET last_event_seq = %s WHERE id = %s", (seq, account_id))


def read_during_a_read(database, account_ids):
    """Read the first end; while its result is held, change all ends to 7 and read them all. Return
    the first result and a future of each later one, once all have ended."""
    ends = LogEnds(database)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ends.read, account_ids[0])
        assert database.executed.wait(DEADLINE_S)
        for account_id in account_ids:
            set_end(database.connection, account_id, 7)
        later = [pool.submit(ends.read, account_id) for account_id in account_ids]
        until(lambda: len(ends._next.account_ids) == len(account_ids))
        database.released.set()
    return first.result(), later


def test_ends_asked_for_during_a_read_are_read_by_the_next(connection, account_ids):
    database = Database(connection)
    first, later = read_during_a_read(database, account_ids)
    assert first == 0
    assert [end.result() for end in later] == [7, 7, 7]
    assert database.statements == [account_ids[:1], account_ids]


def test_failed_read_is_repeated_by_the_others(connection, account_ids):
    database = Database(connection, fails=True)
    _, later = read_during_a_read(database, account_ids)
    failed = [end for end in later if end.exception() is not None]
    assert [type(end.exception()) for end in failed] == [psycopg.OperationalError]
    assert [end.result() for end in later if end not in failed] == [7, 7]
    assert database.statements == [account_ids[:1], account_ids, account_ids]


def test_end_that_was_read_before_is_read_again(connection, account_ids):
    ends = LogEnds(connection)
    assert ends.read(account_ids[0]) == 0
    set_end(connection, account_ids[0], 3)
    assert ends.read(account_ids[0]) == 3


def test_end_of_an_unknown_account_is_zero(connection):
    assert LogEnds(connection).read(uuid4()) == 0
