"""A vacancy of the sandbox, independent of hh.ru's JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.vacancies import russian

if TYPE_CHECKING:
    from local.sandbox.vacancies.employers import Employer

_MARKUP = re.compile(r"<[^>]*>|&[a-z]+;")

# Units of each mode in a month, so that amounts can be compared. INFERRED: hh.ru documents no
# comparison. SERVICE is not comparable with a month and is absent.
_PER_MONTH = {"MONTH": 1.0, "SHIFT": 15.0, "HOUR": 165.0, "FLY_IN_FLY_OUT": 1.0}

Shape = Literal["both", "old", "new"]
Variant = Literal["repost", "other_city", "other_grade"]


@dataclass(frozen=True, slots=True)
class Salary:
    """Amounts in whole units of *currency*; one of *low* and *high* may be ``None``."""

    low: int | None
    high: int | None
    currency: str
    gross: bool
    mode: str = "MONTH"
    frequency: str | None = None

    def monthly(self, amount: int | None) -> float | None:
        """Return *amount* in roubles a month, ``None`` for an incomparable mode."""
        factor = _PER_MONTH.get(self.mode)
        if amount is None or factor is None:
            return None
        return amount * factor / catalogue.rates()[self.currency]


@dataclass(frozen=True, slots=True)
class Address:
    """A place of work. *lat* and *lng* are ``None`` when the employer set no point on the map."""

    id: str
    city: str
    street: str | None
    building: str | None
    lat: float | None
    lng: float | None
    stations: tuple[geography.Station, ...]
    raw: str | None


@dataclass(frozen=True)
class Vacancy:
    """A vacancy that an employer published. Times are seconds since the epoch.

    *kind* is hh.ru's ``type``; *shape* is the generation of keys in its JSON (``old``: schedule and
    employment; ``new``: work_format and employment_form; ``both``). *refusal* names the refusal of
    every application (``negotiations/refusals.py``), ``None`` for no refusal. *variant* is its
    relation to the vacancy *original_id* (``variants.py``), ``None`` for no variant.
    """

    id: str
    published: float
    closes: float
    name: str
    role: str
    employer: Employer
    kind: str
    area_id: str
    salary: Salary | None
    experience: str
    employment_form: str
    work_format: tuple[str, ...]
    work_schedule_by_days: tuple[str, ...]
    working_hours: tuple[str, ...]
    education: str
    address: Address | None
    requirements: tuple[str, ...]
    duties: tuple[str, ...]
    plus: tuple[str, ...]
    conditions: tuple[str, ...]
    intro: tuple[str, ...]
    closing: str
    heads: tuple[str, ...]
    skills: tuple[str, ...]
    shape: Shape = "both"
    fly_in_fly_out_duration: tuple[str, ...] = ()
    internship: bool = False
    night_shifts: bool = False
    accept_temporary: bool = False
    weekends_only: bool = False
    short_shifts: bool = False
    after_sixteen: bool = False
    accept_handicapped: bool = False
    accept_kids: bool = False
    age_restriction: str | None = None
    accept_incomplete_resumes: bool = False
    accept_labor_contract: bool = True
    civil_law_contracts: tuple[str, ...] = ()
    driver_license_types: tuple[str, ...] = ()
    languages: tuple[tuple[str, str], ...] = ()
    premium: bool = False
    billing: str = "standard"
    has_test: bool = False
    test_required: bool = False
    response_letter_required: bool = False
    response_url: str | None = None
    show_contacts: bool = False
    branded: bool = False
    with_department: bool = False
    allow_messages: bool = True
    code: str | None = None
    refusal: str | None = None
    responses: int = 0
    first_created: float = field(default=0.0)
    variant: Variant | None = None
    original_id: str | None = None

    @property
    def text_id(self) -> str:
        """Return the seed of its texts: a variant shares its original's."""
        return self.original_id or self.id

    @property
    def employment(self) -> str:
        """Return *employment_form* in the old shape."""
        if self.internship:
            return "probation"
        older = {"PART": "part", "SIDE_JOB": "part", "PROJECT": "project"}
        return older.get(self.employment_form, "full")

    @property
    def schedule(self) -> str:
        """Return *work_format* and *work_schedule_by_days* in the old shape."""
        if self.employment_form == "FLY_IN_FLY_OUT":
            return "flyInFlyOut"
        if self.work_format and self.work_format[0] == "REMOTE":
            return "remote"
        if "FLEXIBLE" in self.work_schedule_by_days:
            return "flexible"
        usual = {"FIVE_ON_TWO_OFF", "SIX_ON_ONE_OFF", "OTHER"}
        return "fullDay" if usual.intersection(self.work_schedule_by_days) else "shift"

    @property
    def labels(self) -> frozenset[str]:
        """Return the values of hh.ru's ``vacancy_label`` that apply."""
        holds = {
            "with_address": self.address is not None,
            "accept_handicapped": self.accept_handicapped,
            "not_from_agency": not self.employer.agency,
            "accept_kids": self.accept_kids,
            "accredited_it": self.employer.accredited_it and self.kind != "anonymous",
            "low_performance": self.responses < 10,
            "internship": self.internship,
            "accept_teens": self.age_restriction is not None,
            "night_shifts": self.night_shifts,
            "with_salary": self.salary is not None,
        }
        return frozenset(label for label, true in holds.items() if true)

    @property
    def part_time(self) -> frozenset[str]:
        """Return the values of the search's ``part_time`` that apply."""
        holds = {
            "only_saturday_and_sunday": self.weekends_only,
            "from_four_to_six_hours_in_a_day": self.short_shifts,
            "start_after_sixteen": self.after_sixteen,
            "part": self.employment == "part",
            "project": self.employment == "project",
            "accept_temporary": self.accept_temporary,
        }
        return frozenset(value for value, true in holds.items() if true)

    @property
    def employer_id(self) -> str | None:
        """Return the employer's id, ``None`` for anonymous: no search may find it by employer."""
        return None if self.kind == "anonymous" else self.employer.id

    @cached_property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return plain sentences by search field: name, company_name, description."""
        description = (*self.requirements, *self.duties, *self.intro, *self.plus, *self.conditions)
        return {
            "name": (self.name,),
            "company_name": (self.employer.name,) if self.kind != "anonymous" else (),
            "description": (
                *(_MARKUP.sub(" ", line) for line in description),
                *self.skills,
                self.closing,
            ),
        }

    @cached_property
    def words(self) -> dict[str, frozenset[str]]:
        """Return the words of each search field in lower case."""
        return {
            field: frozenset().union(*map(russian.words, lines))
            for field, lines in self.texts.items()
        }

    @cached_property
    def stems(self) -> dict[str, frozenset[str]]:
        """Return the stems of the words of each search field."""
        return {
            field: frozenset().union(*map(russian.stems, lines))
            for field, lines in self.texts.items()
        }
