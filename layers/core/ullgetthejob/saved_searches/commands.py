"""Saved searches: what an account wants to be told of, how often, and in which hours.

A saved search belongs to the account; equal ones of several accounts share one row of
``search_queries``, which is what hh.ru is asked for
(:mod:`ullgetthejob.saved_searches.canonical_searches`). The same filters are saved once: a repeated
POST answers with the one that is there.

Who changes saved searches has the account's row locked, then theirs, then the query's, which is
made due anew. A query that nobody wants any longer stays, never due: what it found is known already
when somebody wants it again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from ullgetthejob.accounts import audit
from ullgetthejob.hh import dictionaries
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.errors import Conflict, NotFound
from ullgetthejob.platform.telemetry import count
from ullgetthejob.saved_searches import (
    canonical_searches,
    run_store,
    run_worker,
    schedule,
    url_import,
)
from ullgetthejob.saved_searches.run_store import RunAnswer
from ullgetthejob.saved_searches.schedule import WorkingHours, Zone

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

MAX_PER_ACCOUNT = 50
INTERVAL_S = 1800
ZONE = "Europe/Moscow"
MAX_NAME_CHARS = 200
ANY_SEARCH = "Все вакансии"
UNCHANGED_FIELDS = ("search_field", "currency", "order_by")  # in a name
UNNAMED = "Без слов, с фильтрами"  # where all filters are such that hh.ru has no names for
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

LOCK_ACCOUNT = "SELECT FROM accounts WHERE id = %(account_id)s FOR UPDATE"
SELECT_SEARCHES = """
    SELECT * FROM saved_searches WHERE account_id = %(account_id)s ORDER BY created_at, id
"""
SELECT_SEARCH = "SELECT * FROM saved_searches WHERE id = %(id)s AND account_id = %(account_id)s"
LOCK_SEARCH = f"{SELECT_SEARCH} FOR UPDATE"
SELECT_DUPLICATE = """
    SELECT * FROM saved_searches
    WHERE account_id = %(account_id)s AND query_id = %(query_id)s AND id IS DISTINCT FROM %(id)s
"""
COUNT_SEARCHES = "SELECT count(*) AS number FROM saved_searches WHERE account_id = %(account_id)s"
INSERT_SEARCH = """
    INSERT INTO saved_searches (
        account_id, user_id, query_id, name, search, interval_seconds, paused, working_hours,
        time_zone, next_run_at, created_at, updated_at
    )
    VALUES (
        %(account_id)s, %(user_id)s, %(query_id)s, %(name)s, %(search)s::jsonb,
        %(interval_seconds)s, %(paused)s, %(working_hours)s::jsonb, %(time_zone)s,
        %(next_run_at)s, %(now)s, %(now)s
    )
    RETURNING *
"""
# What was found for other filters is nothing that was told of these.
UPDATE_SEARCH = """
    UPDATE saved_searches SET
        told_match = CASE WHEN query_id = %(query_id)s THEN told_match ELSE 0 END,
        run_id = CASE WHEN query_id = %(query_id)s THEN run_id END,
        query_id = %(query_id)s,
        name = %(name)s,
        search = %(search)s::jsonb,
        interval_seconds = %(interval_seconds)s,
        paused = %(paused)s,
        working_hours = %(working_hours)s::jsonb,
        time_zone = %(time_zone)s,
        next_run_at = %(next_run_at)s,
        updated_at = %(now)s
    WHERE id = %(id)s
    RETURNING *
"""
DELETE_SEARCH = "DELETE FROM saved_searches WHERE id = %(id)s"


def _one_line(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("must be one line of text")
    return value


def _of_url(value: Any) -> Any:
    """The search at an address, which is a text or ``{"url": …}``."""
    if isinstance(value, dict) and "url" in value:
        if len(value) > 1:
            raise ValueError("url stands alone: the filters are those of the address")
        value = value["url"]
        if not isinstance(value, str):
            raise ValueError("url must be a text")
    return url_import.parse(value) if isinstance(value, str) else value


class SearchAtUrl(BaseModel):
    """A search by the address that it has on hh.ru's site."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=url_import.MAX_URL_CHARS)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS),
    AfterValidator(_one_line),
]
Search = Annotated[
    SearchParameters,
    BeforeValidator(_of_url, json_schema_input_type=SearchParameters | SearchAtUrl | str),
]
Interval = Annotated[int, Field(ge=300, le=604_800, description="seconds between two runs")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateBody(_Strict):
    """*search*: filters, or the address of a search on hh.ru. *name*: by default what is searched.
    *working_hours*: when runs may be, in *time_zone*; by default always. *user_id*: whose, for a
    service without a token of the user."""

    search: Search
    name: Name | None = None
    interval_seconds: Interval = INTERVAL_S
    paused: bool = False
    working_hours: WorkingHours | None = None
    time_zone: Zone = ZONE
    user_id: str | None = None


class ChangeBody(_Strict):
    """What is to be otherwise; what is left out, or null, stays. ``working_hours: null`` does away
    with them."""

    search: Search | None = None
    name: Name | None = None
    interval_seconds: Interval | None = None
    paused: bool | None = None
    working_hours: WorkingHours | None = None
    time_zone: Zone | None = None
    user_id: str | None = None


class SavedSearch(BaseModel):
    """A saved search. *search*: its filters, as they are compared. *next_run_at*: null while it is
    paused. *last_run*: the last time that hh.ru was asked for them, maybe for somebody else, too.
    """

    id: UUID
    name: str
    search: dict[str, Any]
    interval_seconds: int
    paused: bool
    working_hours: WorkingHours | None
    time_zone: str
    next_run_at: AwareDatetime | None
    last_run: RunAnswer | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class OneSearch(SavedSearch):
    """One saved search."""

    success: Literal[True] = True


class SavedSearches(BaseModel):
    """All of an account, the oldest first."""

    success: Literal[True] = True
    items: list[SavedSearch]


class Deleted(BaseModel):
    """It is gone."""

    success: Literal[True] = True


class Fetched(BaseModel):
    """The run that was asked for, ended or still going on."""

    success: Literal[True] = True
    run: RunAnswer


# ── what callers see ─────────────────────────────────────────────────────────────────────────────


def list_searches(person: Person, *, connection: Connection) -> SavedSearches:
    """Those of the person's account."""
    rows = connection.execute(SELECT_SEARCHES, {"account_id": person.account_id}).fetchall()
    return SavedSearches(items=[_answer(row, connection=connection) for row in rows])


def read_search(id: str, person: Person, *, connection: Connection) -> OneSearch:
    """One. Raises :class:`NotFound`."""
    return _answer(
        _row(id, SELECT_SEARCH, person=person, connection=connection), connection=connection
    )


def create_search(
    body: CreateBody,
    person: Person,
    caller: Caller,
    *,
    hh: HHClient,
    connection: Connection,
    now: datetime,
) -> tuple[OneSearch, bool]:
    """Save a search, due at once; return it, and whether it is new to the account.

    Raises :class:`NeedsPerson` for a user who never connected hh.ru, :class:`Invalid` for codes
    that hh.ru does not know, :class:`Conflict` above the limit, and hh.ru's errors.
    """
    whose = {"account_id": person.account, "id": None}
    dictionaries.check(body.search, client=hh, connection=connection, now=now)
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, whose)
        query_id = canonical_searches.get_or_create(body.search, connection=connection, now=now)
        same = connection.execute(SELECT_DUPLICATE, {**whose, "query_id": query_id}).fetchone()
        if same is not None:
            return _answer(same, connection=connection), False
        number = connection.execute(COUNT_SEARCHES, whose).fetchone()
        if number is not None and number["number"] >= MAX_PER_ACCOUNT:
            raise Conflict(
                f"there are {MAX_PER_ACCOUNT} saved searches already", code="too_many_searches"
            )
        row = connection.execute(
            INSERT_SEARCH,
            {
                **_columns(
                    body.search,
                    body.name or name_of(body.search, connection=connection),
                    body.interval_seconds,
                    body.paused,
                    body.working_hours,
                    body.time_zone,
                ),
                "account_id": person.account_id,
                "user_id": person.user_id,
                "query_id": query_id,
                "next_run_at": None
                if body.paused
                else schedule.opening(body.working_hours, body.time_zone, now),
                "now": now,
            },
        ).fetchone()
        canonical_searches.reschedule(query_id, connection=connection, now=now)
        _record("saved_search.create", person=person, caller=caller, connection=connection, now=now)
    count("SavedSearchesCreated")
    return _answer(row, connection=connection), True


def change_search(
    id: str,
    body: ChangeBody,
    person: Person,
    caller: Caller,
    *,
    hh: HHClient,
    connection: Connection,
    now: datetime,
) -> OneSearch:
    """Change some of it. Other filters, and the end of a pause, make it due at once; a shorter
    interval and other hours count from now.

    Raises as :func:`create` does, :class:`NotFound`, and :class:`Conflict` (``same_search``) where
    the account has a saved search with these filters.
    """
    _row(id, SELECT_SEARCH, person=person, connection=connection)
    if body.search is not None:
        dictionaries.check(body.search, client=hh, connection=connection, now=now)
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, {"account_id": person.account_id})
        row = _row(id, LOCK_SEARCH, person=person, connection=connection)
        changed = _changed(row, body, connection=connection, now=now)
        row_now = connection.execute(UPDATE_SEARCH, changed).fetchone()
        for query_id in sorted({row["query_id"], changed["query_id"]}):
            canonical_searches.reschedule(query_id, connection=connection, now=now)
        _record("saved_search.change", person=person, caller=caller, connection=connection, now=now)
    return _answer(row_now, connection=connection)


def delete_search(
    id: str, person: Person, caller: Caller, *, connection: Connection, now: datetime
) -> Deleted:
    """Forget it. Raises :class:`NotFound`."""
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, {"account_id": person.account_id})
        row = _row(id, LOCK_SEARCH, person=person, connection=connection)
        connection.execute(DELETE_SEARCH, {"id": row["id"]})
        canonical_searches.reschedule(row["query_id"], connection=connection, now=now)
        _record("saved_search.delete", person=person, caller=caller, connection=connection, now=now)
    return Deleted()


def run_search(
    id: str,
    person: Person,
    caller: Caller,
    *,
    hh: HHClient,
    connection: Connection,
    clock: Callable[[], datetime],
) -> Fetched:
    """Ask hh.ru now, also for one that is paused, or outside of its hours; join the run that is
    under way. Raises :class:`NotFound`."""
    row = _row(id, SELECT_SEARCH, person=person, connection=connection)
    run = run_worker.run_now(
        row["query_id"],
        row["id"],
        hh=hh,
        connection=connection,
        clock=clock,
        request_id=caller.request_id,
    )
    return Fetched(run=run)


def name_of(search: SearchParameters, *, connection: Connection) -> str:
    """What a search is called that nobody gave a name: its words, else its filters."""
    words = " ".join(search.text.split())
    if not words:
        telling = search.model_copy(update=dict.fromkeys(UNCHANGED_FIELDS))
        named = dictionaries.names(telling, connection=connection)
        words = ", ".join(named) or (
            UNNAMED if canonical_searches.canonical(search) else ANY_SEARCH
        )
    return words if len(words) <= MAX_NAME_CHARS else f"{words[: MAX_NAME_CHARS - 1]}…"


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


def _row(id: str, sql: str, *, person: Person, connection: Connection) -> dict[str, Any]:
    row = None
    if ID.fullmatch(id) and person.account_id is not None:
        row = connection.execute(sql, {"id": id, "account_id": person.account_id}).fetchone()
    if row is None:
        raise NotFound("there is no such saved search")
    return row


def _answer(row: dict[str, Any] | None, *, connection: Connection) -> OneSearch:
    assert row is not None  # noqa: S101 - INSERT and UPDATE … RETURNING of a locked row
    last_run = run_store.latest(row["query_id"], connection=connection)
    return OneSearch.model_validate({**row, "last_run": last_run})


def _columns(
    search: SearchParameters,
    name: str,
    interval_seconds: int,
    paused: bool,
    working_hours: WorkingHours | None,
    time_zone: str,
) -> dict[str, Any]:
    return {
        "name": name,
        "search": json.dumps(canonical_searches.canonical(search), ensure_ascii=False),
        "interval_seconds": interval_seconds,
        "paused": paused,
        "working_hours": working_hours and working_hours.model_dump_json(exclude_defaults=True),
        "time_zone": time_zone,
    }


def _changed(
    row: dict[str, Any], body: ChangeBody, *, connection: Connection, now: datetime
) -> dict[str, Any]:
    """The row as *body* wants it. Raises :class:`Conflict`."""
    old = SavedSearch.model_validate({**row, "last_run": None})
    search = body.search or SearchParameters.model_validate(old.search)
    query_id = row["query_id"]
    if body.search is not None:
        query_id = canonical_searches.get_or_create(search, connection=connection, now=now)
        same = connection.execute(SELECT_DUPLICATE, {**row, "query_id": query_id}).fetchone()
        if same is not None:
            raise Conflict(
                "another saved search has the same filters",
                code="same_search",
                details={"id": str(same["id"])},
            )
    name = body.name or old.name
    if body.search is not None and body.name is None:
        before = SearchParameters.model_validate(old.search)
        if old.name == name_of(before, connection=connection):
            name = name_of(search, connection=connection)
    hours = body.working_hours if "working_hours" in body.model_fields_set else old.working_hours
    zone = body.time_zone or old.time_zone
    interval_s = body.interval_seconds or old.interval_seconds
    paused = old.paused if body.paused is None else body.paused
    if paused:
        next_run_at = None
    elif old.paused or query_id != row["query_id"]:
        next_run_at = schedule.opening(hours, zone, now)
    else:
        soonest = schedule.next_run(now, interval_s, hours, zone, row["id"])
        next_run_at = schedule.opening(hours, zone, min(old.next_run_at or now, soonest))
    return {
        **_columns(search, name, interval_s, paused, hours, zone),
        "id": row["id"],
        "query_id": query_id,
        "next_run_at": next_run_at,
        "now": now,
    }


def _record(
    action: audit.Action,
    *,
    person: Person,
    caller: Caller,
    connection: Connection,
    now: datetime,
) -> None:
    audit.write(
        action,
        "ok",
        caller=caller,
        user_id=person.user_id,
        account_id=person.account_id,
        connection=connection,
        now=now,
    )
