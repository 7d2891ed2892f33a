"""The API's models of saved searches: the bodies of its requests, and its answers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from ullgetthejob.autopilot.models import ApplyAnswer, ApplySettings
from ullgetthejob.hh import addresses
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.working_hours import WorkingHours, Zone
from ullgetthejob.saved_searches import url_import
from ullgetthejob.saved_searches.run_store import RunAnswer

INTERVAL_S = 1800
ZONE = "Europe/Moscow"
MAX_NAME_CHARS = 200
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _one_line(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("must be one line of text")
    return value


def _search_at_url(value: Any) -> Any:
    """Return the search at an address, a string or ``{"url": …}``; other values as they are."""
    if isinstance(value, dict) and "url" in value:
        if len(value) > 1:
            raise ValueError("url excludes other filters: they are those of the address")
        value = value["url"]
        if not isinstance(value, str):
            raise ValueError("url must be a text")
    return url_import.parse(value) if isinstance(value, str) else value


class SearchAtUrl(Model):
    """A search by its address on hh.ru's site."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=addresses.MAX_CHARS)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS),
    AfterValidator(_one_line),
]
Search = Annotated[
    SearchParameters,
    BeforeValidator(_search_at_url, json_schema_input_type=SearchParameters | SearchAtUrl | str),
]
Interval = Annotated[int, Field(ge=300, le=604_800, description="seconds between two runs")]


class _Strict(Model):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateBody(_Strict):
    """*search*: filters, or the address of a search on hh.ru. *name*: by default the words or
    filters searched for. *working_hours*: when runs may begin, in *time_zone*; by default always.
    *apply*: whether what it finds is applied to; by default not. *user_id*: the owner, for a
    service without a token of the user."""

    search: Search
    name: Name | None = None
    interval_seconds: Interval = INTERVAL_S
    paused: bool = False
    working_hours: WorkingHours | None = None
    time_zone: Zone = ZONE
    apply: ApplySettings | None = None
    user_id: str | None = None


class ChangeBody(_Strict):
    """The fields to change; a field that is left out, or null, stays, also those of *apply*.
    ``working_hours: null`` removes them."""

    search: Search | None = None
    name: Name | None = None
    interval_seconds: Interval | None = None
    paused: bool | None = None
    working_hours: WorkingHours | None = None
    time_zone: Zone | None = None
    apply: ApplySettings | None = None
    user_id: str | None = None


class SavedSearch(Model):
    """A saved search. *search*: its filters, in canonical form. *next_run_at*: null while it is
    paused. *last_run*: the last run of these filters, perhaps shared with other accounts.
    *filtered*: how many of its vacancies a rule of the account kept from being announced."""

    id: UUID
    name: str
    search: dict[str, Any]
    interval_seconds: int
    paused: bool
    working_hours: WorkingHours | None
    time_zone: str
    next_run_at: AwareDatetime | None
    last_run: RunAnswer | None
    filtered: int = 0
    apply: ApplyAnswer = Field(default_factory=ApplyAnswer)
    created_at: AwareDatetime
    updated_at: AwareDatetime


class OneSearch(SavedSearch):
    """One saved search."""

    success: Literal[True] = True


class SavedSearches(Model):
    """All saved searches of an account, the oldest first."""

    success: Literal[True] = True
    items: list[SavedSearch]


class Deleted(Model):
    """The saved search is deleted."""

    success: Literal[True] = True


class Fetched(Model):
    """The run that was requested, ended or still running."""

    success: Literal[True] = True
    run: RunAnswer
