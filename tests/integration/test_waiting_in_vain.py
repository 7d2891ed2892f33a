"""Which accounts are woken while applying is closed: those whose applications wait for quota."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from tests.harness.notifications import NOW, NotificationHarness
from ullgetthejob.applications import applying

if TYPE_CHECKING:
    from collections.abc import Iterator


class Waiting(NotificationHarness):
    """Accounts with applications, and what hh.ru keeps closed."""

    def add(self, account: UUID, state: str = "waiting_quota", **values: Any) -> None:
        """Add an application of *account* that is due in an hour."""
        row = {
            "account_id": account,
            "user_id": uuid4(),
            "vacancy_id": uuid4().hex,
            "state": state,
            "due_at": NOW + timedelta(hours=1),
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
        names, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
        statement = f"INSERT INTO application_ledger ({names}) VALUES ({places})"
        self.connection.execute(statement, row)

    def close(self, account: UUID | None, method: str = "apply", *, hours: int = 1) -> None:
        """Close a method to an account, or to all, until a probe in so many *hours*."""
        self.connection.execute(
            "INSERT INTO hh_method_access (account_id, method, state, since, confirmed_at,"
            " probe_at) VALUES (%s, %s, 'closed', %s, %s, %s)",
            (account, method, NOW, NOW, NOW + timedelta(hours=hours)),
        )

    def found(self, **values: Any) -> list[UUID]:
        """Return the accounts that would be woken."""
        own = {"now": NOW, "most": applying.BATCH, "looked_at": applying.LOOKED_AT, **values}
        rows = self.connection.execute(applying.SELECT_ACCOUNTS_WAITING_IN_VAIN, own).fetchall()
        return [row["account_id"] for row in rows]


@pytest.fixture
def waiting(database_url: str) -> Iterator[Waiting]:
    waiting = Waiting(database_url)
    yield waiting
    waiting.connection.close()


@pytest.fixture
def accounts(waiting: Waiting) -> list[UUID]:
    """Return two accounts with waiting applications, and one with others only."""
    anna, olga, timur = (waiting.account() for _ in range(3))
    for account in (anna, anna, olga):
        waiting.add(account)
    for state in ("queued", "submitted", "handoff"):
        waiting.add(timur, state)
    return [anna, olga, timur]


def test_applying_closed_to_all_wakes_each_account_that_waits(
    waiting: Waiting, accounts: list[UUID]
) -> None:
    assert waiting.found() == []
    waiting.close(None)
    assert sorted(waiting.found()) == sorted(accounts[:2])


def test_applying_closed_to_one_account_wakes_this_one(
    waiting: Waiting, accounts: list[UUID]
) -> None:
    waiting.close(accounts[1])
    waiting.close(accounts[2])
    assert waiting.found() == [accounts[1]]


def test_method_whose_probe_is_due_and_other_methods_wake_none(
    waiting: Waiting, accounts: list[UUID]
) -> None:
    waiting.close(None, hours=-1)
    waiting.close(None, "negotiations")
    assert len(accounts) == 3
    assert waiting.found() == []


def test_paused_campaign_wakes_none_and_hides_no_other(
    waiting: Waiting, accounts: list[UUID]
) -> None:
    for _ in range(3):  # due first
        waiting.add(accounts[2], workflow_id=uuid4(), due_at=NOW)
    waiting.close(None)
    assert sorted(waiting.found(looked_at=3)) == sorted(accounts[:2])


def test_statement_reads_only_what_waits(waiting: Waiting, accounts: list[UUID]) -> None:
    waiting.close(None)
    waiting.connection.execute(
        "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
        " updated_at) SELECT %s, gen_random_uuid(), n::text, 'submitted', %s, %s"
        " FROM generate_series(1, 20000) AS n",
        (accounts[2], NOW, NOW),
    )
    waiting.connection.execute("ANALYZE")
    values = {"now": NOW, "most": 1, "looked_at": 1}
    explain = f"EXPLAIN {applying.SELECT_ACCOUNTS_WAITING_IN_VAIN}"
    plan = str(waiting.connection.execute(explain, values).fetchall())
    assert "Seq Scan on application_ledger" not in plan
    assert "Index Scan using application_ledger_due_at_index" in plan
