"""Listings by cursor: each row once, in the order of the numbered pages, whatever is added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.harness.context import make_context
from tests.harness.notifications import NOW, NotificationHarness
from ullgetthejob.accounts.access import Access
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications import commands, models
from ullgetthejob.applications.campaigns import progress
from ullgetthejob.applications.campaigns.models import StatusQuery
from ullgetthejob.platform.paging import PageQuery
from ullgetthejob.saved_searches import matches

if TYPE_CHECKING:
    from ullgetthejob.platform import paging
    from ullgetthejob.platform.context import Context

ROWS = 7
AT = [NOW - timedelta(hours=number // 3) for number in range(ROWS)]  # several of each moment


class Account(NotificationHarness):
    """An account with rows in every listing."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.account_id = self.account()
        self.user_id = uuid4()
        self.connection.execute(
            "INSERT INTO users (id, email, password_hash, account_id, inserted_at, updated_at)"
            " VALUES (%(id)s, %(id)s::text, '!', %(account)s, now(), now())",
            {"id": self.user_id, "account": self.account_id},
        )
        self.person = Person(self.user_id, self.account_id, Access("ok"))
        self.query_id = self.query()
        self.search_id = self.search(self.account_id, self.query_id)
        self.workflow_id = uuid4()
        self.connection.execute(
            "INSERT INTO campaigns (workflow_id, account_id, user_id, state, created_at,"
            " updated_at) VALUES (%s, %s, %s, 'created', %s, %s)",
            (self.workflow_id, self.account_id, self.user_id, NOW, NOW),
        )

    @property
    def context(self) -> Context:
        return make_context(self.connection, lambda: NOW)

    def add(self, number: int, at: Any = NOW) -> None:
        """Add an application, an announced vacancy and an item of the campaign."""
        values = {
            "account": self.account_id,
            "user": self.user_id,
            "query": self.query_id,
            "workflow": self.workflow_id,
            "vacancy": str(number),
            "number": number,
            "at": at,
            "priority": None if number % 2 else 0,  # the same place: the column's default is 0
        }
        for statement in (
            "INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, created_at,"
            " updated_at) VALUES (%(account)s, %(user)s, %(vacancy)s, 'queued', %(at)s, %(at)s)",
            "INSERT INTO jobs (external_id, title, inserted_at, updated_at)"
            " VALUES (%(vacancy)s, 'Повар', now(), now())",
            "INSERT INTO search_matches VALUES (%(query)s, %(vacancy)s, %(number)s, %(at)s,"
            " %(at)s)",
            "INSERT INTO account_vacancies (account_id, vacancy_id, original_id, seq, at)"
            " VALUES (%(account)s, %(vacancy)s, %(vacancy)s, 1, %(at)s)",
            "INSERT INTO application_queue (workflow_id, user_id, job_external_id, priority,"
            " status, created_at, updated_at) VALUES (%(workflow)s, %(user)s, %(vacancy)s,"
            " %(priority)s, 'submitted', %(at)s, %(at)s)",
        ):
            self.connection.execute(statement, values)


@pytest.fixture
def account(database_url: str) -> Iterator[Account]:
    account = Account(database_url)
    for number, at in enumerate(AT):
        account.add(number, at)
    yield account
    account.connection.close()


def applications(account: Account, **page: Any) -> models.Applications:
    query = models.ApplicationQuery(**page)
    return commands.list_applications(query, account.person, account.context)


def announced(account: Account, **page: Any) -> matches.Matches:
    [search] = account.rows("SELECT * FROM saved_searches")
    query = matches.MatchQuery(**page)
    return matches.list_matches(search, query, connection=account.connection)


def items(account: Account, **page: Any) -> Any:
    query = StatusQuery(workflow_id=account.workflow_id, **page)
    return progress.status(query, account.person, account.context)


INDEXES = {
    applications: "application_ledger_account_created_at_index",
    announced: "account_vacancies_announced_index",
    items: "application_queue_items_index",
}
STATEMENTS: dict[Any, tuple[str, paging.Keyset[Any]]] = {
    applications: (commands.SELECT_APPLICATIONS, commands.KEYSET),
    announced: (matches.SELECT_MATCHES_ANNOUNCED, matches.KEYSET),
    items: (progress.SELECT_QUEUE_ITEMS, progress.KEYSET),
}
Listing = Callable[..., Any]
LISTINGS = pytest.mark.parametrize("listing", [applications, announced, items])


def keys(page: Any) -> list[str]:
    """Return the vacancies of a page."""
    names = ("job_id", "job_external_id", "id")
    return [next(getattr(i, name) for name in names if hasattr(i, name)) for i in page.items]


@LISTINGS
def test_pages_by_cursor_are_those_by_number(account: Account, listing: Listing) -> None:
    whole = keys(listing(account))
    assert len(set(whole)) == ROWS
    numbered = [key for page in range(4) for key in keys(listing(account, page=page, per_page=2))]
    walked, cursor = [], None
    for _ in range(4):
        page = listing(account, per_page=2, cursor=cursor)
        walked += keys(page)
        cursor = page.next_cursor
    assert cursor is None
    assert walked == numbered == whole


@pytest.mark.parametrize("listing", [applications, announced])
def test_row_added_between_pages_hides_and_repeats_none(account: Account, listing: Listing) -> None:
    whole = keys(listing(account))
    first = listing(account, per_page=3)
    account.add(100, NOW + timedelta(minutes=1))
    rest = listing(account, per_page=100, cursor=first.next_cursor)
    assert keys(first) + keys(rest) == whole
    assert (first.found, rest.found) == (ROWS, None)


def test_cursor_of_another_account_shows_nothing_of_it(account: Account) -> None:
    other = Account(account.url)
    cursor = applications(account, per_page=2).next_cursor
    assert applications(other, cursor=cursor).items == []
    other.connection.close()


@LISTINGS
def test_deep_page_by_cursor_reads_an_index(account: Account, listing: Listing) -> None:
    """Not a sort of all rows: the plan of a listing with many of them."""
    account.connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    statement, keyset = STATEMENTS[listing]
    query = PageQuery(per_page=2, cursor=listing(account, per_page=2).next_cursor)
    values = {
        "account_id": account.account_id,
        "query_id": account.query_id,
        "workflow_id": account.workflow_id,
        "state": None,
        **keyset.values(query),
    }
    explained = account.connection.execute(f"EXPLAIN {statement}", values).fetchall()
    plan = "\n".join(str(row["QUERY PLAN"]) for row in explained)
    assert "Sort" not in plan
    assert f"using {INDEXES[listing]}" in plan
    assert re.search(r"Index Cond: .*ROW\(", plan)
