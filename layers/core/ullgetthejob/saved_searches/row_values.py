"""The columns of a saved search: of a new one, and of one that its person changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ullgetthejob.hh import dictionaries
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.working_hours import opening
from ullgetthejob.saved_searches import canonical_searches, schedule
from ullgetthejob.saved_searches.models import MAX_NAME_CHARS, SavedSearch

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.accounts.people import Person
    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.platform.working_hours import WorkingHours
    from ullgetthejob.saved_searches.models import ChangeBody, CreateBody

ANY_SEARCH = "Все вакансии"
FIELDS_NOT_NAMED = ("search_field", "currency", "order_by")
UNNAMED = "Без слов, с фильтрами"  # for filters that hh.ru has no names for


def of_new(
    body: CreateBody, query_id: UUID, *, person: Person, connection: Connection, now: datetime
) -> dict[str, Any]:
    """Return the columns of a new saved search."""
    next_run_at = None if body.paused else opening(body.working_hours, body.time_zone, now)
    return {
        **_field_values(
            body.search,
            body.name or _name_of(body.search, connection=connection),
            body.interval_seconds,
            body.paused,
            body.working_hours,
            body.time_zone,
        ),
        "account_id": person.account_id,
        "user_id": person.user_id,
        "query_id": query_id,
        "next_run_at": next_run_at,
        "now": now,
    }


def of_changed(
    row: dict[str, Any],
    body: ChangeBody,
    query_id: UUID,
    *,
    connection: Connection,
    now: datetime,
) -> dict[str, Any]:
    """Return the columns of the row as *body* changes them; *query_id*: of its filters then."""
    old = SavedSearch.model_validate({**row, "last_run": None})
    search = body.search or SearchParameters.from_stored(old.search)
    name = body.name or old.name
    if body.search is not None and body.name is None:
        before = SearchParameters.from_stored(old.search)
        if old.name == _name_of(before, connection=connection):
            name = _name_of(search, connection=connection)
    hours = body.working_hours if "working_hours" in body.model_fields_set else old.working_hours
    zone = body.time_zone or old.time_zone
    interval_s = body.interval_seconds or old.interval_seconds
    paused = old.paused if body.paused is None else body.paused
    if paused:
        next_run_at = None
    elif old.paused or query_id != row["query_id"]:
        next_run_at = opening(hours, zone, now)
    else:
        soonest = schedule.next_run(now, interval_s, hours, zone, row["id"])
        next_run_at = opening(hours, zone, min(old.next_run_at or now, soonest))
    return {
        **_field_values(search, name, interval_s, paused, hours, zone),
        "id": row["id"],
        "query_id": query_id,
        "next_run_at": next_run_at,
        "now": now,
    }


def _field_values(
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


def _name_of(search: SearchParameters, *, connection: Connection) -> str:
    """Return the default name of a search: its words, else its filters."""
    name = " ".join(search.text.split())
    if not name:
        filters = search.model_copy(update=dict.fromkeys(FIELDS_NOT_NAMED))
        name = ", ".join(dictionaries.names(filters, connection=connection)) or (
            UNNAMED if canonical_searches.canonical(search) else ANY_SEARCH
        )
    return name if len(name) <= MAX_NAME_CHARS else f"{name[: MAX_NAME_CHARS - 1]}…"
