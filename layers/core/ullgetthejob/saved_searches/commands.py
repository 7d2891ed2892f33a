"""Commands of saved searches: list, read, create, change, delete and run them.

A saved search says which vacancies an account wants to be notified of, how often, and in which
hours. It belongs to the account; equal ones of several accounts share one row of
``search_queries``, the canonical search (:mod:`ullgetthejob.saved_searches.canonical_searches`).
The same filters are saved once: a repeated POST returns the existing saved search.

A change of saved searches locks the account's row, then theirs, then the query's, which is
rescheduled. A query without saved searches stays, never due: its matches are still known when an
account saves it again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ullgetthejob.accounts import audit
from ullgetthejob.autopilot import changes as autopilot_changes
from ullgetthejob.autopilot import progress as autopilot_progress
from ullgetthejob.fit import commands as fit_commands
from ullgetthejob.fit import store as fit_store
from ullgetthejob.hh import dictionaries
from ullgetthejob.platform.errors import Conflict, NotFound
from ullgetthejob.platform.telemetry import count
from ullgetthejob.saved_searches import (
    canonical_searches,
    matches,
    row_values,
    run_store,
    run_worker,
)
from ullgetthejob.saved_searches.models import (
    ChangeBody,
    CreateBody,
    Deleted,
    Fetched,
    OneSearch,
    SavedSearches,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.autopilot.models import ApplyAnswer
    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.saved_searches.matches import Matches, MatchQuery

MAX_PER_ACCOUNT = 50
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
# Other filters start without notified matches and without a run.
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


def list_searches(person: Person, context: Context) -> SavedSearches:
    """Return the saved searches of the person's account, the oldest first."""
    connection = context.connection
    rows = connection.execute(SELECT_SEARCHES, {"account_id": person.account_id}).fetchall()
    filtered = matches.count_filtered(
        person.account_id, [row["query_id"] for row in rows], connection=connection
    )
    pilots = {}
    if person.account_id is not None:
        pilots = autopilot_progress.list_answers(
            person.account_id, [row["id"] for row in rows], connection=connection, now=context.now()
        )
    return SavedSearches(
        items=[
            _to_model(
                row,
                filtered=filtered,
                pilots=pilots,
                connection=connection,
                now=context.now(),
            )
            for row in rows
        ]
    )


def read_search(search_id: str, person: Person, context: Context) -> OneSearch:
    """Return a saved search of the person's account. Raises :class:`NotFound`."""
    row = _find_row(search_id, SELECT_SEARCH, person=person, connection=context.connection)
    return _to_model(row, connection=context.connection, now=context.now())


def show_matches(search_id: str, query: MatchQuery, person: Person, context: Context) -> Matches:
    """Return a page of the vacancies that a saved search found; their fit, where it is asked for,
    is that of the person's resumes at hh.ru now.

    Raises :class:`NotFound`; for a fit also what :func:`.resumes.read_in_full` raises.
    """
    connection = context.connection
    row = _find_row(search_id, SELECT_SEARCH, person=person, connection=connection)
    if not query.asks_for_fit:
        return matches.list_matches(row, query, connection=connection)
    profiles = fit_commands.read_profiles(person, context, resume_id=query.resume_id)
    weights = fit_store.read_weights(person.account_id, connection=connection).weights
    return matches.list_matches_by_fit(
        row, query, profiles, weights, connection=connection, now=context.now()
    )


def create_search(body: CreateBody, person: Person, context: Context) -> tuple[OneSearch, bool]:
    """Save a search, due at once; return it, and whether the account did not have it yet.

    Raises :class:`NeedsPerson` for a user who never connected hh.ru, :class:`Invalid` for codes
    that hh.ru does not know, :class:`NotFound` for another account's letter template,
    :class:`Conflict` above the limit, and hh.ru's errors.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    owner = {"account_id": person.account, "id": None}
    dictionaries.check(body.search, client=context.hh, connection=connection, now=now)
    with connection.transaction():
        connection.execute(LOCK_ACCOUNT, owner)
        query_id = canonical_searches.get_or_create(body.search, connection=connection, now=now)
        duplicate = connection.execute(SELECT_DUPLICATE, {**owner, "query_id": query_id}).fetchone()
        if duplicate is not None:
            return _to_model(duplicate, connection=connection, now=now), False
        number = connection.execute(COUNT_SEARCHES, owner).fetchone()
        if number is not None and number["number"] >= MAX_PER_ACCOUNT:
            raise Conflict(
                f"there are {MAX_PER_ACCOUNT} saved searches already", code="too_many_searches"
            )
        values = row_values.of_new(body, query_id, person=person, connection=connection, now=now)
        row = connection.execute(INSERT_SEARCH, values).fetchone()
        if body.apply is not None and row is not None:
            autopilot_changes.change(
                row, body.apply, is_new_query=True, connection=connection, now=now
            )
        canonical_searches.reschedule(query_id, connection=connection, now=now)
        audit.record("saved_search.create", person, context)
    count("SavedSearchesCreated")
    return _to_model(row, connection=connection, now=now), True


def change_search(search_id: str, body: ChangeBody, person: Person, context: Context) -> OneSearch:
    """Change fields of a saved search and return it. Other filters, and the end of a pause, make it
    due at once; a shorter interval and other hours count from now.

    Raises as :func:`create_search` does, :class:`NotFound`, and :class:`Conflict`
    (``same_search``) if the account has another saved search with these filters.
    """
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    found = _find_row(search_id, SELECT_SEARCH, person=person, connection=connection)
    if body.search is not None:
        dictionaries.check(body.search, client=context.hh, connection=connection, now=now)
    with connection.transaction():
        if body.apply is not None:
            autopilot_changes.lock(found["id"], body.apply, connection=connection, now=now)
        connection.execute(LOCK_ACCOUNT, {"account_id": person.account_id})
        row = _find_row(search_id, LOCK_SEARCH, person=person, connection=connection)
        query_id = _find_query(row, body, connection=connection, now=now)
        values = row_values.of_changed(row, body, query_id, connection=connection, now=now)
        updated = connection.execute(UPDATE_SEARCH, values).fetchone()
        is_new_query = query_id != row["query_id"]
        if body.apply is not None and updated is not None:
            autopilot_changes.change(
                updated, body.apply, is_new_query=is_new_query, connection=connection, now=now
            )
        elif is_new_query:
            autopilot_changes.forget_matches(row["id"], connection=connection)
        for affected_id in sorted({row["query_id"], query_id}):
            canonical_searches.reschedule(affected_id, connection=connection, now=now)
        audit.record("saved_search.change", person, context)
    return _to_model(updated, connection=connection, now=now)


def delete_search(search_id: str, person: Person, context: Context) -> Deleted:
    """Delete a saved search, and cancel what its autopilot did not send. Raises
    :class:`NotFound`."""
    context = context.with_fixed_time()
    connection, now = context.connection, context.now()
    found = _find_row(search_id, SELECT_SEARCH, person=person, connection=connection)
    with connection.transaction():
        autopilot_changes.lock(found["id"], None, connection=connection, now=now)
        connection.execute(LOCK_ACCOUNT, {"account_id": person.account_id})
        row = _find_row(search_id, LOCK_SEARCH, person=person, connection=connection)
        autopilot_changes.cancel_campaign(row["id"], connection=connection, now=now)
        connection.execute(DELETE_SEARCH, {"id": row["id"]})
        canonical_searches.reschedule(row["query_id"], connection=connection, now=now)
        audit.record("saved_search.delete", person, context)
    return Deleted()


def run_search(search_id: str, person: Person, context: Context) -> Fetched:
    """Run a saved search now, even if it is paused or outside of its hours, or join its current
    run; return the run. Raises :class:`NotFound`."""
    row = _find_row(search_id, SELECT_SEARCH, person=person, connection=context.connection)
    return Fetched(run=run_worker.run_now(row["query_id"], row["id"], context))


def _find_row(
    search_id: str, sql: str, *, person: Person, connection: Connection
) -> dict[str, Any]:
    """Return the row of the person's saved search by *sql*. Raises :class:`NotFound`."""
    row = None
    if ID.fullmatch(search_id) and person.account_id is not None:
        values = {"id": search_id, "account_id": person.account_id}
        row = connection.execute(sql, values).fetchone()
    if row is None:
        raise NotFound("there is no such saved search")
    return row


def _find_query(
    row: dict[str, Any], body: ChangeBody, *, connection: Connection, now: datetime
) -> UUID:
    """Return the id of the canonical search of a row as *body* changes it. Raises
    :class:`Conflict`."""
    query_id: UUID = row["query_id"]
    if body.search is None:
        return query_id
    query_id = canonical_searches.get_or_create(body.search, connection=connection, now=now)
    duplicate = connection.execute(SELECT_DUPLICATE, {**row, "query_id": query_id}).fetchone()
    if duplicate is not None:
        raise Conflict(
            "another saved search has the same filters",
            code="same_search",
            details={"id": str(duplicate["id"])},
        )
    return query_id


def _to_model(
    row: dict[str, Any] | None,
    *,
    filtered: dict[UUID, int] | None = None,
    pilots: dict[UUID, ApplyAnswer] | None = None,
    connection: Connection,
    now: datetime,
) -> OneSearch:
    """Return the answer for a row. *filtered*, *pilots*: the counts, and the autopilots of the
    account's searches, where they were read already."""
    assert row is not None  # noqa: S101 - INSERT and UPDATE … RETURNING of a locked row
    query_id = row["query_id"]
    if filtered is None:
        filtered = matches.count_filtered(row["account_id"], [query_id], connection=connection)
    if pilots is None:
        pilots = autopilot_progress.list_answers(
            row["account_id"], [row["id"]], connection=connection, now=now
        )
    last_run = run_store.latest(query_id, connection=connection)
    shown = {**row, "last_run": last_run, "filtered": filtered.get(query_id, 0)}
    if row["id"] in pilots:
        shown["apply"] = pilots[row["id"]]
    return OneSearch.model_validate(shown)
