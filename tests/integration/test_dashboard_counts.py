"""The dashboard's counts of applications: read again when one has changed, and not otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local.dashboard import application_counts
from local.dashboard.application_counts import SELECT_VERSION, ApplicationCounts

if TYPE_CHECKING:
    from uuid import UUID

INSERT_ACCOUNT = """
    INSERT INTO accounts (hh_user_id, access_changed_at, created_at) VALUES (%s, now(), now())
    RETURNING id
"""
INSERT_APPLICATION = """
    INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, hh_state, created_at,
        updated_at)
    VALUES (%s, gen_random_uuid(), %s, %s, %s, now(), now()) RETURNING id
"""
INSERT_STEP = "INSERT INTO application_history (ledger_id, at, state) VALUES (%s, now(), %s)"


class Counting:
    """The counts of a database, and how often applications were counted."""

    def __init__(self, url: str) -> None:
        self.connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            url, autocommit=True, row_factory=dict_row
        )
        self.counts = ApplicationCounts()
        self.counted = 0

    async def select(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        self.counted += 1
        return self.connection.execute(statement, values).fetchall()

    def read(self) -> dict[tuple[UUID, str], tuple[int, int]]:
        version = self.connection.execute(SELECT_VERSION).fetchone()
        assert version is not None
        rows = asyncio.run(self.counts.read(self.select, version))
        return {
            (row["account_id"], row["state"]): (row["applications"], row["invited"]) for row in rows
        }

    def insert(self, statement: Any, *values: Any) -> Any:
        row = self.connection.execute(statement, values).fetchone()
        assert row is not None
        return row["id"]

    def apply(self, account: UUID, number: int, state: str, hh_state: str | None = None) -> UUID:
        ledger_id: UUID = self.insert(INSERT_APPLICATION, account, str(number), state, hh_state)
        self.connection.execute(INSERT_STEP, (ledger_id, state))
        return ledger_id


@pytest.fixture
def counting(database_url: str) -> Any:
    counting = Counting(database_url)
    yield counting
    counting.connection.close()


def test_counts_follow_each_change_and_are_kept_between(counting: Counting) -> None:
    anna, olga = (counting.insert(INSERT_ACCOUNT, name) for name in ("1", "2"))
    assert counting.read() == {}
    first = counting.apply(anna, 1, "queued")
    counting.apply(anna, 2, "submitted", "invitation")
    counting.apply(olga, 1, "submitted")
    expected = {
        (anna, "queued"): (1, 0),
        (anna, "submitted"): (1, 1),
        (olga, "submitted"): (1, 0),
    }
    counted = counting.counted
    assert counting.read() == counting.read() == expected
    assert counting.counted == counted + 1
    counting.connection.execute(
        "UPDATE application_ledger SET state = 'cancelled' WHERE id = %s", (first,)
    )
    counting.connection.execute(INSERT_STEP, (first, "cancelled"))
    assert counting.read() == {
        key: value for key, value in expected.items() if key[1] != "queued"
    } | {(anna, "cancelled"): (1, 0)}


def test_account_that_was_deleted_is_no_longer_counted(counting: Counting) -> None:
    anna = counting.insert(INSERT_ACCOUNT, "1")
    counting.apply(anna, 1, "queued")
    assert counting.read()
    counting.connection.execute("DELETE FROM accounts")
    assert counting.read() == {}


def test_change_without_a_later_step_is_seen_at_the_timeout(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a transaction that took its step's number early and committed late."""
    anna = counting.insert(INSERT_ACCOUNT, "1")
    counting.apply(anna, 1, "queued")
    counting.read()
    counting.insert(INSERT_APPLICATION, anna, "2", "queued", None)
    assert counting.read() == {(anna, "queued"): (1, 0)}
    monkeypatch.setattr(application_counts, "KEPT_S", -1.0)
    assert counting.read() == {(anna, "queued"): (2, 0)}
