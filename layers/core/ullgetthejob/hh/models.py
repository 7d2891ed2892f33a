"""Validated models of hh.ru's vacancies, persons and negotiations, for the rest of Core.

All models are frozen and go to JSON and back without loss; :mod:`ullgetthejob.hh.responses` builds
them from hh.ru's responses. hh.ru has two shapes at once, ``schedule``/``employment`` (older) and
``work_format``/``employment_form`` (since 2025; with an application token the older may be
missing): both are kept, both may be absent. Fields that Core does not use are dropped.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from ullgetthejob.platform.models import Model


class _Model(Model):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Entry(_Model):
    """An entry of a dictionary: its id, and its name in Russian."""

    id: str
    name: str | None = None


class Salary(_Model):
    """The offered salary: *lower* and *upper* in whole units of *currency* (hh.ru: ``RUR``, not
    ``RUB``) for one *mode* (MONTH, SHIFT, HOUR, FLY_IN_FLY_OUT, SERVICE). Never compare amounts
    across modes."""

    lower: int | None = None
    upper: int | None = None
    currency: str
    gross: bool | None = None
    mode: str = "MONTH"
    frequency: str | None = None


class Employer(_Model):
    """The employer of a vacancy. *id* is ``None`` for anonymous vacancies. *rating*: of its
    employees, 1 to 5, where hh.ru gives one."""

    id: str | None = None
    name: str
    alternate_url: str | None = None
    trusted: bool | None = None
    accredited_it_employer: bool | None = None
    rating: float | None = None


class Address(_Model):
    """The address of the workplace, as far as the employer gives it."""

    city: str | None = None
    street: str | None = None
    building: str | None = None
    raw: str | None = None
    lat: float | None = None
    lng: float | None = None


class Snippet(_Model):
    """Excerpts of a vacancy that a search shows, as plain text."""

    requirement: str = ""
    responsibility: str = ""


class Vacancy(_Model):
    """A vacancy as an item of a search."""

    id: str = Field(pattern=r"^\d{1,19}$")
    name: str
    area: Entry
    employer: Employer
    salary: Salary | None = None
    snippet: Snippet = Field(default_factory=Snippet)
    type: Entry
    address: Address | None = None
    experience: Entry | None = None
    schedule: Entry | None = None
    employment: Entry | None = None
    employment_form: Entry | None = None
    work_format: tuple[Entry, ...] = ()
    work_schedule_by_days: tuple[Entry, ...] = ()
    working_hours: tuple[Entry, ...] = ()
    professional_roles: tuple[Entry, ...] = ()
    published_at: datetime
    created_at: datetime | None = None
    archived: bool = False
    premium: bool = False
    has_test: bool = False
    response_letter_required: bool = False
    response_url: str | None = None
    closed_for_applicants: bool = False
    accept_temporary: bool = False
    internship: bool = False
    night_shifts: bool = False
    alternate_url: str | None = None
    apply_alternate_url: str | None = None


class Test(_Model):
    """The employer's test; a *required* one makes an application by API impossible."""

    required: bool = False


class VacancyDetail(Vacancy):
    """A vacancy with all its details, *description* as plain text."""

    description: str = ""
    key_skills: tuple[str, ...] = ()
    languages: tuple[Entry, ...] = ()
    driver_license_types: tuple[str, ...] = ()
    test: Test | None = None
    accept_handicapped: bool = False
    allow_messages: bool = True
    initial_created_at: datetime | None = None


class SearchPage(_Model):
    """One page of a search. *found* counts all matches, also those beyond the 2,000 that can be
    paged to; *pages* ends there. *unreadable*: the number of items that had to be left out."""

    items: tuple[Vacancy, ...]
    found: int
    page: int
    pages: int
    per_page: int
    unreadable: int = 0


class MeCounters(_Model):
    """What is new for a person at hh.ru; ``None`` where hh.ru does not say."""

    unread_negotiations: int | None = None
    new_resume_views: int | None = None
    resumes_count: int | None = None


class Me(_Model):
    """The owner of a token. Employers log in through the same page: look at *is_applicant*."""

    id: str = Field(min_length=1, max_length=64)
    is_applicant: bool = False
    is_employer: bool = False
    auth_type: str | None = None
    counters: MeCounters = Field(default_factory=MeCounters)


class Negotiation(_Model):
    """One of a person's negotiations: an application and its current state.

    *state* is an open set (response, invitation, discard, hidden, interview, hired seen).
    *vacancy_id* is missing if the vacancy was deleted. *has_unread_message*: the employer wrote
    something that the person has not read.
    """

    id: str = Field(pattern=r"^\d{1,19}$")
    state: str
    vacancy_id: str | None = None
    resume_id: str | None = None
    created_at: datetime
    updated_at: datetime
    viewed: bool = False
    has_unread_message: bool = False
    # Of both sides, the application itself included; None where hh.ru does not say.
    message_count: int | None = None


class NegotiationPage(_Model):
    """One page of a person's negotiations, the last updated first."""

    items: tuple[Negotiation, ...]
    pages: int


class ConversationMessage(_Model):
    """A message of a negotiation, from either side. *state* is that of the negotiation which came
    with it (an open set; ``text`` for a message alone, ``response`` for the application)."""

    id: str = Field(min_length=1, max_length=64)
    author: Literal["applicant", "employer"]
    text: str = ""
    state: str
    created_at: AwareDatetime


class ConversationPage(_Model):
    """One page of a negotiation's messages, the oldest first. *unreadable*: the number of items
    that had to be left out."""

    items: tuple[ConversationMessage, ...]
    pages: int
    unreadable: int = 0
