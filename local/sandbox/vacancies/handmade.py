"""Vacancies that a person or a test publishes through the control route.

Fields that the body lacks are generated, the same for the same id.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue, geography
from local.sandbox.negotiations.refusals import REFUSALS
from local.sandbox.vacancies import employers, vacancy_maker
from local.sandbox.vacancies.vacancy import Salary
from local.sandbox.vacancies.world import LONGEST_LIFE

if TYPE_CHECKING:
    from collections.abc import Collection

    from local.sandbox.vacancies.employers import Employer
    from local.sandbox.vacancies.vacancy import Vacancy


class InvalidVacancy(ValueError):
    """The body is not a vacancy; the message names the field."""


_FLAGS = frozenset(
    {
        "premium", "has_test", "test_required", "response_letter_required", "accept_temporary",
        "allow_messages", "internship",
    }
)  # fmt: skip
_TEXTS = frozenset({"skills", "requirements", "duties"})


def _known_ids(name: str) -> Collection[str]:
    tables: dict[str, Collection[str]] = {
        "area": geography.areas(),
        "professional_role": catalogue.roles(),
        "type": catalogue.ids("vacancy_type"),
        "currency": catalogue.rates(),
    }
    return tables.get(name) or catalogue.ids(name)


_SINGLE = {"area": "area_id", "professional_role": "role", "type": "kind"} | {
    name: name for name in ("experience", "employment_form")
}
_MULTIPLE = ("work_format", "work_schedule_by_days", "working_hours")
FIELDS = (
    "title", "employer", "salary", "response_url", "shape", "refusal",
    *_SINGLE, *_MULTIPLE, *sorted(_FLAGS), *sorted(_TEXTS),
)  # fmt: skip


def _entry(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in _known_ids(name):
        raise InvalidVacancy(f"{name}: {value!r} is not in hh.ru's dictionary")
    return value


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise InvalidVacancy(f"{name}: must be a list of strings")
    return tuple(value)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        raise InvalidVacancy(f"{name}: must be a string of 1 to 200 characters")
    return value


def _salary(value: Any) -> Salary | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - {
        "from", "to", "currency", "gross", "mode", "frequency",
    }:  # fmt: skip
        raise InvalidVacancy("salary: must be null or {from, to, currency, gross, mode, frequency}")
    low, high = value.get("from"), value.get("to")
    for amount in (low, high):
        if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int)):
            raise InvalidVacancy("salary: from and to must be whole numbers or null")
    if low is None and high is None:
        raise InvalidVacancy("salary: from or to must be given")
    frequency = value.get("frequency")
    return Salary(
        low=low,
        high=high,
        currency=_entry("currency", value.get("currency", "RUR")),
        gross=bool(value.get("gross", False)),
        mode=_entry("salary_range_mode", value.get("mode", "MONTH")),
        frequency=frequency and _entry("salary_range_frequency", frequency),
    )


def _employer(seed: int, value: Any) -> Employer:
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or set(value) - {"id", "name", "trusted"}:
        raise InvalidVacancy("employer: must be a name or {id?, name, trusted?}")
    name = _string("employer.name", value.get("name"))
    # The same name always means the same company.
    number = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % employers.COUNT
    employer_id = value.get("id") or str(9_000_000 + sum(name.encode()) * 37 % 900_000)
    if not isinstance(employer_id, str) or not employer_id.isascii() or not employer_id.isdigit():
        raise InvalidVacancy("employer.id: must be a string of digits")
    return dataclasses.replace(
        employers.employer(seed, number),
        id=employer_id,
        name=name,
        trusted=bool(value.get("trusted", True)),
    )


def _changes(seed: int, body: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in body.items():
        if name == "title":
            changes["name"] = _string(name, value)
        elif name == "employer":
            changes["employer"] = _employer(seed, value)
        elif name == "salary":
            changes["salary"] = _salary(value)
        elif name in _SINGLE:
            changes[_SINGLE[name]] = _entry(name, value)
        elif name in _MULTIPLE:
            changes[name] = tuple(_entry(name, entry) for entry in _strings(name, value))
        else:
            changes[name] = _check_other(name, value)
    return changes


def _check_other(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return _strings(name, value)
    if name == "response_url":
        return None if value is None else _string(name, value)
    if name == "shape" and value in {"both", "old", "new"}:
        return value
    if name == "refusal" and (value is None or value in REFUSALS):
        return value
    if name in _FLAGS and isinstance(value, bool):
        return value
    raise InvalidVacancy(f"{name}: {'wrong value' if name in FIELDS else 'unknown field'}")


def make(seed: int, vacancy_id: str, published: float, body: Any) -> Vacancy:
    """Return the vacancy that *body* describes. Raises :class:`InvalidVacancy`."""
    if not isinstance(body, dict) or "title" not in body:
        raise InvalidVacancy("title: is required")
    changes = _changes(seed, body)
    # Generated vacancies have no numbers below zero.
    vacancy = vacancy_maker.make(
        seed, -int(vacancy_id), vacancy_id, published, published + LONGEST_LIFE, "both"
    )
    plain = {"kind": "open", "has_test": False, "response_letter_required": False}
    # A test is required unless the body says otherwise.
    plain |= {"test_required": bool(changes.get("has_test")), "allow_messages": True}
    unset = {"response_url": None, "shape": "both", "premium": False, "address": None}
    changes = {**plain, **unset, **changes}
    intro = (f"<strong>{changes['name']}</strong>", *vacancy.intro[1:])
    return dataclasses.replace(vacancy, **{"intro": intro, **changes})
