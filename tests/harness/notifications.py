"""A harness for notifications: accounts, saved searches, and runs with matches, in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from psycopg.rows import dict_row

from ullgetthejob.hh import responses
from ullgetthejob.platform import postgres
from ullgetthejob.saved_searches import notifications
from ullgetthejob.vacancies import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def connect(url: str) -> Any:
    """Return a new connection, such as the functions have."""
    return postgres.connection_class().connect(
        url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


def item(number: int, **changes: Any) -> dict[str, Any]:
    """Return an item of hh.ru's search answer."""
    return {
        "id": str(number),
        "name": f"Вакансия {number}",
        "area": {"id": "88", "name": "Казань"},
        "employer": {"id": "7", "name": "Работодатель"},
        "type": {"id": "open", "name": "Открытая"},
        "published_at": "2026-11-24T10:15:30+0300",
        "alternate_url": f"https://hh.example/vacancy/{number}",
        **changes,
    }


def repost(number: int, city: str) -> dict[str, Any]:
    """Return a posting of the same job in a city."""
    text = "Опыт в рознице от года, грамотная речь, желание учиться и помогать гостям с выбором."
    return item(
        number,
        name=f"Продавец (г. {city})",
        area={"id": "1", "name": city},
        snippet={"requirement": text, "responsibility": text},
    )


class NotificationHarness:
    """Accounts, their saved searches, and the runs and matches of these."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Connection = connect(url)

    def scalar(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row."""
        row = self.connection.execute(sql, values).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def insert(self, sql: str, *values: Any) -> UUID:
        """Insert a row; return the id that the statement returns."""
        return UUID(str(self.scalar(sql, *values)))

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Return all rows."""
        return self.connection.execute(sql, values).fetchall()

    def account(self) -> UUID:
        """Insert an account; return its id."""
        return self.insert(
            "INSERT INTO accounts (hh_user_id, access_changed_at, created_at)"
            " VALUES (%s, %s, %s) RETURNING id",
            uuid4().hex,
            NOW,
            NOW,
        )

    def query(self) -> UUID:
        """Insert a canonical search; return its id."""
        return self.insert(
            "INSERT INTO search_queries (hash, parameters, created_at) VALUES (%s, '{}', %s)"
            " RETURNING id",
            uuid4().bytes,
            NOW,
        )

    def run(
        self,
        query_id: UUID,
        state: str = "completed",
        reason: str | None = None,
        trigger: str = "schedule",
    ) -> UUID:
        """Insert a run; return its id."""
        return self.insert(
            "INSERT INTO fetch_runs (query_id, state, trigger, reason, is_full, plan, started_at,"
            " finished_at, found, fetched, new, changed, failed)"
            " VALUES (%s, %s, %s, %s, true, '{}', %s, %s, 5, 4, 3, 2, 1) RETURNING id",
            query_id,
            state,
            trigger,
            reason,
            NOW,
            None if state == "running" else NOW,
        )

    def search(
        self,
        account_id: UUID,
        query_id: UUID,
        run_id: UUID | None = None,
        *,
        paused: bool = False,
        name: str = "Казань",
    ) -> UUID:
        """Insert a saved search, attached to a run if one is given; return its id."""
        return self.insert(
            "INSERT INTO saved_searches (account_id, user_id, query_id, name, search, run_id,"
            " paused, interval_seconds, time_zone, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, '{}', %s, %s, 1800, 'Europe/Moscow', %s, %s) RETURNING id",
            account_id,
            uuid4(),
            query_id,
            name,
            run_id,
            paused,
            NOW,
            NOW,
        )

    def attach(self, run_id: UUID, *search_ids: UUID) -> None:
        """Attach saved searches to a run."""
        sql = "UPDATE saved_searches SET run_id = %s WHERE id = ANY(%s)"
        self.connection.execute(sql, (run_id, list(search_ids)))

    def find(self, query_id: UUID, *items: dict[str, Any]) -> None:
        """Store *items* as new matches of a canonical search."""
        vacancies = [responses.vacancy(shown) for shown in items]
        store.store_vacancies(vacancies, search_query="", connection=self.connection, now=NOW)
        self.connection.execute(
            """
            WITH known AS (SELECT last_match FROM search_queries WHERE id = %(query)s),
            found AS (
                INSERT INTO search_matches (query_id, vacancy_id, number, first_seen_at, seen_at)
                SELECT %(query)s, id, known.last_match + place, %(now)s, %(now)s
                FROM known, unnest(%(ids)s::text[]) WITH ORDINALITY AS page (id, place)
                RETURNING number
            )
            UPDATE search_queries SET last_match = (SELECT max(number) FROM found)
            WHERE id = %(query)s
            """,
            {"query": query_id, "ids": [shown["id"] for shown in items], "now": NOW},
        )

    def apply(self, account_id: UUID, vacancy_id: str) -> UUID:
        """Insert a queued application; return its id."""
        return self.insert(
            "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
            " updated_at) VALUES (%s, %s, %s, 'queued', %s, %s) RETURNING id",
            account_id,
            uuid4(),
            vacancy_id,
            NOW,
            NOW,
        )

    def notify(self, run_id: UUID) -> int:
        """Notify the accounts of a run; return the number of jobs announced."""
        return notifications.notify_accounts(run_id, connection=self.connection, now=NOW)

    def log(self, account_id: UUID) -> list[dict[str, Any]]:
        """Return the account's event log."""
        return self.rows(
            "SELECT seq, type, data FROM events WHERE account_id = %s ORDER BY seq", account_id
        )

    def announced(self, account_id: UUID) -> list[str]:
        """Return the ids of all jobs in the event log, with repetitions."""
        events = [event for event in self.log(account_id) if event["type"] == "jobs.new"]
        return [job["id"] for event in events for job in event["data"]["jobs"]]

    def notified(self, account_id: UUID) -> dict[str, int | None]:
        """Return the seqs of the account's notified vacancies, by vacancy, as the database says."""
        sql = "SELECT vacancy_id, seq FROM account_vacancies WHERE account_id = %s"
        return {row["vacancy_id"]: row["seq"] for row in self.rows(sql, account_id)}

    def check(self, account_id: UUID) -> None:
        """Check that the event log has what the database says, without a gap or a repetition."""
        log = self.log(account_id)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        announced = [
            (job["id"], event["seq"])
            for event in log
            if event["type"] == "jobs.new"
            for job in event["data"]["jobs"]
        ]
        assert len(announced) == len(dict(announced))
        assert dict(announced) == {
            vacancy_id: seq
            for vacancy_id, seq in self.notified(account_id).items()
            if seq is not None
        }


@pytest.fixture
def harness(database_url: str, dynamodb_tables: dict[str, str]) -> Iterator[NotificationHarness]:
    harness = NotificationHarness(database_url)
    yield harness
    harness.connection.close()


@pytest.fixture
def anna(harness: NotificationHarness) -> UUID:
    return harness.account()


@pytest.fixture
def query(harness: NotificationHarness) -> UUID:
    return harness.query()
