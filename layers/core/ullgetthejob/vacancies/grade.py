"""The grade of an opening: what tells two openings under one title apart while both are open.

An employer who looks for a junior and a senior may post both under one title, with one text. They
are two jobs if they differ in experience, employment or work format, or in salary by a fifth or
more. What one of them does not say is no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ullgetthejob.hh.models import Vacancy

FIFTH = 0.2  # of the larger salary: a difference from there on is another grade


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
        employment.id if employment else None,
        frozenset(entry.id for entry in vacancy.work_format if entry.id),
        salary.lower if salary else None,
        salary.upper if salary else None,
        salary.currency if salary else None,
    )


def stored_grade(row: dict[str, Any]) -> Grade:
    """Return the grade of a stored vacancy: *row* has ``experience``, ``employment``, ``formats``
    (a list of dictionary entries) and ``salary``, as the model's JSON has them."""
    salary = row["salary"] or {}
    return Grade(
        row["experience"],
        row["employment"],
        frozenset(entry["id"] for entry in row["formats"] or () if entry.get("id")),
        salary.get("lower"),
        salary.get("upper"),
        salary.get("currency"),
    )


def _differ(one: Any, other: Any) -> bool:
    return bool(one and other and one != other)
