"""The grade of an opening: what tells two openings under one title apart while both are open.

An employer who looks for a junior and a senior may post both under one title, with one text. They
are two jobs if they differ in experience, employment or work format, or in salary by a fifth or
more. What one of them does not say is no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ullgetthejob.hh.models import Vacancy

FIFTH = 0.2  # of the larger salary: a difference from there on is another grade
# hh.ru: dictionaries "employment" (older) and "employment_form"; what only one of them has an entry
# for cannot be compared.
EMPLOYMENT_FORMS = {"full": "FULL", "part": "PART", "project": "PROJECT"}
REMOTE = "REMOTE"  # of "work_format"; the older "schedule" has remote work among its entries


@dataclass(frozen=True)
class Grade:
    """Ids of hh.ru's dictionaries (``None``, empty: not said), and the salary in *currency*."""

    experience: str | None = None
    employment: str | None = None
    formats: frozenset[str] = frozenset()
    lower: int | None = None
    upper: int | None = None
    currency: str | None = None

    def differs_from(self, other: Grade) -> bool:
        """Return whether two openings of these grades are two jobs."""
        return (
            _differ(self.experience, other.experience)
            or _differ(self.employment, other.employment)
            or _differ(self.formats, other.formats)
            or self._differs_in_salary(other)
        )

    def _differs_in_salary(self, other: Grade) -> bool:
        if self.currency is None or self.currency != other.currency:
            return False
        pairs = ((self.lower, other.lower), (self.upper, other.upper))
        return any(
            one is not None and another is not None
            and abs(one - another) >= FIFTH * max(one, another)
            for one, another in pairs
        )  # fmt: skip


UNKNOWN = Grade()


def grade_of(vacancy: Vacancy) -> Grade:
    """Return the grade of a vacancy of hh.ru's."""
    employment = vacancy.employment_form or vacancy.employment
    salary = vacancy.salary
    return Grade(
        vacancy.experience.id if vacancy.experience else None,
        _employment(employment.id if employment else None),
        _formats(
            (entry.id for entry in vacancy.work_format),
            vacancy.schedule.id if vacancy.schedule else None,
        ),
        salary.lower if salary else None,
        salary.upper if salary else None,
        salary.currency if salary else None,
    )


def stored_grade(row: dict[str, Any]) -> Grade:
    """Return the grade of a stored vacancy: *row* has ``experience``, ``employment``, ``schedule``,
    ``formats`` (a list of dictionary entries) and ``salary``, as the model's JSON has them."""
    salary = row["salary"] or {}
    return Grade(
        row["experience"],
        _employment(row["employment"]),
        _formats((entry.get("id") for entry in row["formats"] or ()), row["schedule"]),
        salary.get("lower"),
        salary.get("upper"),
        salary.get("currency"),
    )


def _employment(id: str | None) -> str | None:
    """Return an id of either dictionary as the newer one has it; ``None`` where it has none."""
    if id is None or id.isupper():
        return id
    return EMPLOYMENT_FORMS.get(id)


def _formats(ids: Iterable[str | None], schedule: str | None) -> frozenset[str]:
    formats = frozenset(id for id in ids if id)
    return formats or frozenset([REMOTE] if schedule == "remote" else [])


def _differ(one: Any, other: Any) -> bool:
    return bool(one and other and one != other)
